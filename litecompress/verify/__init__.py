"""How true a package is to its model, and how far each statement about that was really run."""

from litecompress.verify.parity import (
    Parity,
    Reference,
    finite,
    forced_logits,
    greedy_tokens,
    parity,
    psnr_db,
)

__all__ = [
    "Parity",
    "Reference",
    "finite",
    "forced_logits",
    "greedy_tokens",
    "parity",
    "psnr_db",
]
