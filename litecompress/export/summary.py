"""What an export says of itself, for reports and for the command line."""

from __future__ import annotations

from math import isfinite
from typing import Any

from litecompress.export.base import Exported


def encoding_row(exported: Exported) -> dict[str, Any]:
    """What became of the weights; a rounding error that is none or without end is null."""
    psnr_db = exported.re_encoding_psnr_db
    return {
        "target": exported.target,
        "native": len(exported.native),
        "re_encoded": len(exported.re_encoded),
        "decoded": len(exported.decoded),
        "fallbacks": list(exported.fallbacks),
        "decoded_weights": list(exported.decoded),
        "re_encoding_psnr_db": psnr_db if psnr_db is not None and isfinite(psnr_db) else None,
        "quantized_byte_share": exported.quantized_byte_share,
        "ops": dict(exported.ops),
    }
