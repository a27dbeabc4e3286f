"""The content of a `.litec` file: streams, encodings, tokenizers (docs/format.md)."""
