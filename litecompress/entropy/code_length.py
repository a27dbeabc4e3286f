"""Code lengths in whole numbers, in units of 1/65536 bit, so that every machine chooses alike."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

UNIT = 1 << 16  # one bit
SQUARED_STEPS_PER_BIT = math.log(2) / 6  # error that saves a bit where a grid is fine, at its best
Ints = NDArray[np.int64]


@cache
def _log2_table() -> Ints:
    """log2(1 + i / 2^15) for i below 2^15, one bit of the result a squaring."""
    mantissa = np.arange(1 << 15, 1 << 16, dtype=np.uint64) << np.uint64(16)  # in [2^31, 2^32)
    result = np.zeros(1 << 15, np.int64)
    for _ in range(16):
        mantissa = (mantissa * mantissa) >> np.uint64(31)  # in [2^31, 2^33)
        carry = mantissa >> np.uint64(32)
        mantissa >>= carry
        result = 2 * result + carry.astype(np.int64)
    return result


def log2(numbers: Ints) -> Ints:
    """log2 of numbers from 1 to 2^53, rounded down to 16 binary digits and 16 of the number."""
    fraction, exponent = np.frexp(numbers.astype(np.float64))  # exact, no rounding
    index = (fraction * 65536).astype(np.int64) - (1 << 15)
    return _log2_table()[index] + ((exponent.astype(np.int64) - 1) << 16)


def entropy(counts: Ints) -> Ints:
    """Sum of n_i log2(N / n_i) along the last axis, N the sum of the counts n_i."""
    total = counts.sum(-1, keepdims=True)
    lengths = log2(np.maximum(total, 1)) - log2(np.maximum(counts, 1))
    lengths = np.maximum(lengths, 0)
    return np.asarray((counts * lengths).sum(-1), np.int64)
