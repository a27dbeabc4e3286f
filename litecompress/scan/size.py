"""Bytes of a weight whose symbols are coded in as few bits as their frequencies allow."""

from __future__ import annotations

import numpy as np

from litecompress.encoding import (
    Affine,
    Array,
    Bands,
    Dense,
    Encoding,
    Palette,
    Sparse,
    packed_bytes,
)
from litecompress.entropy.code_length import UNIT, entropy
from litecompress.errors import ArtifactError


def coded_bytes(encoding: Encoding) -> int:
    """Order-0 entropy of the symbols, with codebooks, scales, zero points and bands counted.

    Zero is one more symbol of a sparse weight's alphabet. Floating-point values count as they are,
    with a mask of one bit a weight where they are sparse.
    """
    match encoding:
        case Dense(values):
            return values.nbytes
        case Affine(values, scale, zero_point):
            return _entropy_bytes(values) + scale.nbytes + zero_point.nbytes
        case Palette(indices, codebook):
            return _entropy_bytes(indices) + codebook.nbytes
        case Sparse(mask, Dense(values)):
            return packed_bytes(mask.size, 1) + values.nbytes
        case Sparse(mask, values):
            symbols = values.indices if isinstance(values, Palette) else values.values
            zeros = mask.size - int(np.count_nonzero(mask))
            return coded_bytes(values) - _entropy_bytes(symbols) + _entropy_bytes(symbols, zeros)
        case Bands(band, parts):
            bits = max(1, (len(parts) - 1).bit_length())
            return packed_bytes(len(band), bits) + sum(coded_bytes(part) for part in parts)
    raise ArtifactError(f"cannot tell the size of an encoding of type {type(encoding).__name__}")


def _entropy_bytes(symbols: Array, zeros: int = 0) -> int:
    """Bytes of the symbols and of so many zeros among them, at their entropy."""
    counts = np.unique(symbols, return_counts=True)[1]
    bits = int(entropy(np.append(counts, zeros).astype(np.int64))) / UNIT
    return -int(-bits // 8)
