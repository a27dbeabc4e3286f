"""Rounding to half precision within float32, much faster than by NumPy's conversion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

OVERFLOW = np.float32(65520)  # from here on half precision rounds to infinity
SUBNORMAL = np.float32(2**-14)  # below it, numbers are apart by 2^-24
MAGIC = np.float32(0.75)  # whose last bit is 2^-24


def rounded_to_half(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """What `x.astype(float16).astype(float32)` gives: to nearest, ties to even."""
    magnitude = np.abs(x)
    if x.size and not magnitude.max() < OVERFLOW:  # or not a number
        with np.errstate(over="ignore"):
            return x.astype(np.float16).astype(np.float32)
    bits = np.ascontiguousarray(x).view(np.uint32)
    result = bits >> 13
    result &= 1
    result += bits
    result += 0xFFF
    result &= 0xFFFFE000
    found = result.view(np.float32)
    small = magnitude < SUBNORMAL
    if small.any():
        found[small] = np.copysign((magnitude[small] + MAGIC) - MAGIC, x[small])
    return found
