"""The frequencies of one alphabet: fitted to counts, stored in a few bytes, summing to 2^k.

Normative text: docs/entropy-coding.md, "Frequency table".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from litecompress.entropy.code_length import UNIT, Ints, log2
from litecompress.errors import ArtifactError

LOG2_TOTALS = (10, 12, 14)
EXPONENTS = 24
_PRECISIONS = np.arange(6)[:, None]  # that the encoder tries; up to 7 can be stored
_RESOLUTION = 8  # steps of a frequency that the encoder tells apart
_CHUNK = 1 << 20
_WORTH = 2048  # a larger table decodes more slowly: it has to save one part in so many


@dataclass(frozen=True, eq=False)
class Frequencies:
    """Code 0 is an absent symbol, 1 the least frequency, more a number of few leading bits."""

    log2_total: int
    precision: int
    codes: Ints  # one a symbol, the last not 0

    @cached_property
    def starts(self) -> Ints:
        """Cumulative frequencies, one more than there are symbols; the last is 2^k."""
        return _starts(self.codes, self.log2_total, np.array([self.precision]))

    def code_length(self, counts: Ints) -> int:
        """Bits that `counts` symbols cost, in units of 1/65536; all of them must be present."""
        counts = counts[: len(self.codes)]
        return int(_code_length(counts, self.starts, self.log2_total))

    def pack(self) -> bytes:
        """Last symbol, parameters, then differences of the codes in exponential Golomb code."""
        folded = _folded(self.codes)
        order = int(np.argmin(_golomb_bits(folded)))
        bits = "".join(_golomb(value, order) for value in folded.tolist())
        bits += "0" * (-len(bits) % 8)
        head = LOG2_TOTALS.index(self.log2_total) | self.precision << 2 | order << 5
        body = int("1" + bits, 2).to_bytes(1 + len(bits) // 8, "big")[1:]
        return bytes([len(self.codes) - 1, head]) + body

    def packed_bits(self) -> int:
        """Bits of `pack()`, before it rounds up to bytes."""
        return 16 + int(_golomb_bits(_folded(self.codes)).min())


def _starts(codes: Ints, log2_total: int, precision: Ints) -> Ints:
    number = np.maximum(codes - 2, 0)
    mantissa = (1 << precision) + (number & ((1 << precision) - 1))
    weights = np.where(codes > 1, mantissa << (number >> precision), 0)
    cumulative, present = np.cumsum(weights, -1), np.cumsum(codes > 0, -1)
    spare = (1 << log2_total) - present[..., -1:]
    starts = np.zeros((*codes.shape[:-1], codes.shape[-1] + 1), np.int64)
    starts[..., 1:] = present + cumulative * spare // cumulative[..., -1:]
    return starts


def _code_length(counts: Ints, starts: Ints, log2_total: int) -> Ints:
    lengths = log2_total * UNIT - log2(np.maximum(np.diff(starts, axis=-1), 1))
    return np.asarray((counts * lengths).sum(-1), np.int64)


def count(symbols: NDArray[np.uint8]) -> Ints:
    """How often each symbol occurs, up to the last that does."""
    counts = np.zeros(256, np.int64)
    for begin in range(0, symbols.size, _CHUNK):
        counts += np.bincount(symbols[begin : begin + _CHUNK], minlength=256)
    return counts[: int(np.flatnonzero(counts).max(initial=-1)) + 1]


def fit(counts: Ints, log2_totals: Sequence[int] = LOG2_TOTALS) -> Frequencies:
    """The table that makes itself and `counts` symbols shortest; two of them at least not 0."""
    cost, best = _fit(counts, log2_totals[0])
    for log2_total in log2_totals[1:]:
        lower, table = _fit(counts, log2_total)
        if lower + cost // _WORTH >= cost:
            break
        cost, best = lower, table
    return best


def _fit(counts: Ints, log2_total: int) -> tuple[int, Frequencies]:
    """The best precision for this sum, after its cost in units of 1/65536 bit."""
    total = int(counts.sum())
    # Each present symbol has one of the 2^k for itself; the rest is shared by weight.
    share = _RESOLUTION * ((counts << log2_total) - total)
    share = np.maximum(share + total // 2, 0) // total
    exponent = np.frexp(np.maximum(share, 1).astype(np.float64))[1].astype(np.int64) - 1
    rest = share - (np.int64(1) << exponent)
    mantissa = ((rest << (_PRECISIONS + 1)) + (np.int64(1) << exponent)) >> (exponent + 1)
    codes = 2 + (exponent << _PRECISIONS) + mantissa  # by precision, symbol
    codes = np.where(share > 0, codes, (counts > 0).astype(np.int64))
    bits = _code_length(counts, _starts(codes, log2_total, _PRECISIONS), log2_total)
    costs = bits + (16 + _golomb_bits(_folded(codes)).min(0)) * UNIT
    best = int(np.argmin(costs))
    return int(costs[best]), Frequencies(log2_total, best, codes[best])


def _folded(codes: Ints) -> Ints:
    """Differences, the first to 0, as 0, 1, -1, 2, -2 ... -> 0, 1, 2, 3, 4 ..."""
    step = np.diff(codes, prepend=0)
    return np.where(step > 0, 2 * step - 1, -2 * step)


def _golomb_bits(values: Ints) -> Ints:
    """Bits of all values on the last axis together, for each order from 0 to 7."""
    orders = np.arange(8).reshape(8, *[1] * values.ndim)
    lengths = np.frexp((values + (1 << orders)).astype(np.float32))[1].astype(np.int64)
    return np.asarray((2 * lengths - 1 - orders).sum(-1), np.int64)


def _golomb(value: int, order: int) -> str:
    number = format(value + (1 << order), "b")
    return "0" * (len(number) - 1 - order) + number


def unpack(data: bytes) -> tuple[Frequencies, int]:
    """The table at the beginning of `data`, and its length in bytes."""
    if len(data) < 3 or data[1] & 3 >= len(LOG2_TOTALS):
        raise ArtifactError(f"expected a frequency table, got {data[:2]!r}: damaged or truncated")
    log2_total, precision, order = LOG2_TOTALS[data[1] & 3], data[1] >> 2 & 7, data[1] >> 5
    field = data[2 : 2 + 4 * (data[0] + 1)]  # no code is above 25 * 2^7: 27 bits are enough
    bits = format(int.from_bytes(field, "big"), f"0{8 * len(field)}b")
    codes, end = _read_codes(bits, data[0] + 1, order)
    used = -(-end // 8)
    limit = 2 + (EXPONENTS << precision)
    if min(codes) < 0 or not 2 <= max(codes) < limit or codes[-1] == 0:
        raise ArtifactError(f"expected codes below {limit} in a frequency table: it is damaged")
    if len(codes) - codes.count(0) < 2 or "1" in bits[end : 8 * used]:
        raise ArtifactError("expected two symbols, then zero bits, in a frequency table: damaged")
    return Frequencies(log2_total, precision, np.array(codes, np.int64)), 2 + used


def _read_codes(bits: str, symbols: int, order: int) -> tuple[list[int], int]:
    """The codes, and the position after them."""
    codes: list[int] = []
    code, position = 0, 0
    for _ in range(symbols):
        one = bits.find("1", position, position + 16)
        end = 2 * one - position + order + 1
        if one < 0 or end > len(bits):
            raise ArtifactError("a frequency table is truncated or damaged; fetch the file again")
        folded = int(bits[one:end], 2) - (1 << order)
        code += (folded + 1) // 2 if folded % 2 else -(folded // 2)
        codes.append(code)
        position = end
    return codes, position
