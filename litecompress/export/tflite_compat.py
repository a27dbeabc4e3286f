"""What `tflite-runtime` 2.14 executes rightly, the last release of LiteRT's predecessor.

It runs integer products with inputs quantized on the fly without a word and gets other numbers;
it has no 4 bits and no composites.
"""

from __future__ import annotations

from litecompress.errors import ExportError


def check_compat(storage: str, activations: str, conv_branch: str) -> None:
    """An ExportError that names every option which that runtime does not execute rightly."""
    wrong = []
    if storage not in ("float32", "int8"):
        wrong.append(f"storage: float32 or int8, got {storage}")
    if storage == "int8" and activations != "float32":
        wrong.append(f"activations: float32 with int8, got {activations}")
    if conv_branch != "builtin":
        wrong.append(f"conv_branch: builtin, got {conv_branch}")
    if wrong:
        raise ExportError(
            "tflite: expected for compat: tflite-runtime " + "; ".join(wrong) + "; change them, or "
            "leave out compat and run the package with ai-edge-litert"
        )
