"""Checkpoints of fairseq 0.8 and of the Lite Transformer that was built on it, as our own."""
