"""Rounding that weighs what it loses against the bits that it takes (rate-distortion optimized).

A weight w on a grid of step s costs fisher / 2 * (w - s q)^2 nats and, with its symbol's frequency,
so many bits; `slope` says how many nats a bit is worth. At the same slope everywhere no other
division of the bits is better (equal slope; for one grid: Sullivan 1996, arXiv:1907.11900).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from litecompress.entropy.code_length import SQUARED_STEPS_PER_BIT

Floats = NDArray[np.float32]

MOST = 127  # of an int8, both ways
PASSES = 4  # frequencies and choices follow each other; more passes change little
CHUNK = 1 << 18
# A fine grid loses fisher * step^2 / 24 nats a weight, and a bit halves the step: ln 2 / 12.
SLOPE_OF_STEP = SQUARED_STEPS_PER_BIT / 2


@dataclass(frozen=True)
class Rounded:
    """Weights as `values` (int8) times `step`, which half precision holds."""

    values: NDArray[np.int8]
    step: np.float16


def best_step(fisher: float, slope: float, peak: float) -> np.float16:
    """The step whose grid, were it fine, would lose `slope` nats for the last bit.

    At least so large that int8 holds the greatest weight, at most that weight.
    """
    kind = np.finfo(np.float16)
    least = max(peak / MOST * (1 + 2.0**-10), float(kind.tiny))
    ideal = math.sqrt(slope / (SLOPE_OF_STEP * fisher)) if fisher > 0 else math.inf
    return np.float16(min(max(ideal, least), max(peak, least), float(kind.max)))


def rounded(
    weight: Floats, fisher: Floats, slope: float, step: np.float16 | None = None
) -> Rounded:
    """The weight, of any shape, on the grid that its mean Fisher information calls for.

    `fisher` is of the same shape, in nats a token.
    """
    if step is None:
        step = best_step(float(fisher.mean()), slope, float(np.abs(weight).max(initial=0)))
    exact = weight.reshape(-1) / np.float32(step)
    cost = fisher.reshape(-1) * np.float32(float(step) ** 2 / (2 * slope))  # bits a squared step
    values = np.rint(exact).clip(-MOST, MOST).astype(np.int8)
    for _ in range(PASSES):
        values = cheapest(exact, cost, code_lengths(values))
    return Rounded(values.reshape(weight.shape), step)


def code_lengths(values: NDArray[np.int8]) -> Floats:
    """Bits of each integer from -128 to 127 by how often it occurs, half a time at least."""
    counts = np.bincount(values.reshape(-1).view(np.uint8) ^ np.uint8(0x80), minlength=256) + 0.5
    bits: Floats = (np.log2(counts.sum()) - np.log2(counts)).astype(np.float32)
    return bits


def cheapest(exact: Floats, cost: Floats, bits: Floats) -> NDArray[np.int8]:
    """Of each value, in steps, the cheapest of the two neighbours on the grid and zero.

    `cost` is in bits a squared step, `bits` as `code_lengths` gives them.
    """
    values = np.empty(exact.shape, np.int8)
    for begin in range(0, len(exact), CHUNK):
        part = slice(begin, begin + CHUNK)
        below = np.floor(exact[part])
        best = np.zeros_like(below)
        least = cost[part] * exact[part] ** 2 + bits[128]
        for candidate in (below, np.ceil(exact[part])):  # of zero only zero
            integer = candidate.clip(-MOST, MOST)
            total = cost[part] * (exact[part] - integer) ** 2
            total += bits[integer.astype(np.int16) + 128]
            better = total < least
            least = np.where(better, total, least)
            best = np.where(better, integer, best)
        values[part] = best
    return values
