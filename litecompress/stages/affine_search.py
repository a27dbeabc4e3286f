"""The scales of affine grids that lose least in squared error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK = 1 << 16  # weights at a time, so that what is computed from them stays in the cache
COARSE = 0.84 ** np.arange(1, 17)  # parts of a block's range, down to 6 %
PATIENCE = 3  # of them in turn that better no block, and the search ends
FINE = 0.93, 0.97, 0.985, 0.993

Floats = NDArray[np.float64]
Blocks = NDArray[np.float32]  # (blocks, weights of each)


@dataclass(frozen=True)
class Grids:
    """One for each block: multiples of its scale, from `first` to `first + steps`."""

    scale: Floats  # (blocks,), above zero
    first: Floats  # (blocks,), whole numbers from -steps to 0
    steps: int

    def replaced(self, chosen: NDArray[np.bool_], other: Grids) -> Grids:
        """Those of another where chosen."""
        scale = np.where(chosen, other.scale, self.scale)
        return Grids(scale, np.where(chosen, other.first, self.first), self.steps)


@dataclass(frozen=True)
class Form:
    """Which grids there may be."""

    num_bits: int
    symmetric: bool
    scale_type: np.dtype[Any]

    @property
    def integers(self) -> np.dtype[Any]:
        """The type of what is stored."""
        return np.dtype(np.int8 if self.symmetric else np.uint8)

    @property
    def steps(self) -> int:
        """Multiples of the scale from end to end."""
        return (1 << self.num_bits) - (2 if self.symmetric else 1)

    def spanning(self, low: Floats, high: Floats) -> Grids:
        """Grids over ranges that hold zero."""
        if self.symmetric:
            scale = self.storable(2 * np.maximum(high, -low) / self.steps)
            return Grids(scale, np.full(len(scale), -self.steps / 2), self.steps)
        scale = self.storable((high - low) / self.steps)
        return Grids(scale, np.rint(low / scale).clip(-self.steps, 0), self.steps)

    def storable(self, scale: Floats) -> Floats:
        """The nearest that can be stored, above zero; 1 in place of zero.

        No subnormal number in float32, which some devices take for zero.
        """
        kind = np.finfo(self.scale_type)
        least = max(float(kind.smallest_subnormal), float(np.finfo(np.float32).tiny))
        stored = scale.clip(least, float(kind.max)).astype(self.scale_type).astype(np.float64)
        return np.where(scale > 0, stored, 1.0)


class _Search:
    """The best grids so far, the ranges that they came from, and their errors."""

    def __init__(self, blocks: Blocks, form: Form) -> None:
        self.blocks, self.form = blocks, form
        self.low, self.high = ranges(blocks)
        self.grids = form.spanning(self.low, self.high)
        self.errors = squared_errors(blocks, self.grids)

    def try_range(self, low: Floats, high: Floats) -> bool:
        """Whether any block is better off on a grid over this range."""
        better = self.try_grids(self.form.spanning(low, high))
        self.low, self.high = np.where(better, low, self.low), np.where(better, high, self.high)
        return bool(better.any())

    def try_grids(self, grids: Grids) -> NDArray[np.bool_]:
        errors = squared_errors(self.blocks, grids)
        better: NDArray[np.bool_] = errors < self.errors
        self.grids = self.grids.replaced(better, grids)
        self.errors = np.where(better, errors, self.errors)
        return better


def least_error(blocks: Blocks, form: Form) -> Grids:
    """Grids of about the least squared error; never more than of those that span the blocks.

    Shares of the range, coarse and then fine, at both ends together and, where the grid need not
    be symmetric, at each end; at last the scale that fits the integers best.
    """
    search = _Search(blocks, form)
    low, high, failed = search.low, search.high, 0
    ends = (
        [(1, 1), (1, 0), (0, 1)] if form.steps <= 3 else [(1, 1)]
    )  # few steps lie best on one side
    for part in COARSE:
        tried = [search.try_range(part * a * low, part * b * high) for a, b in ends]
        failed = 0 if any(tried) else failed + 1
        if failed == PATIENCE:
            break
    for part in FINE:
        for below, above in _moves(part, form.symmetric):
            search.try_range(search.low * below, search.high * above)
    refitted = form.storable(_fitted(blocks, search.grids))
    search.try_grids(Grids(refitted, search.grids.first, search.grids.steps))
    return search.grids


def ranges(blocks: Blocks) -> tuple[Floats, Floats]:
    """Least and greatest of each block and zero."""
    return (
        blocks.min(axis=1, initial=0).astype(np.float64),
        blocks.max(axis=1, initial=0).astype(np.float64),
    )


def quantized(
    blocks: Blocks, grids: Grids, zero_point: Floats, kind: np.dtype[Any]
) -> NDArray[Any]:
    """The nearest integers of each block's grid."""
    integers = np.empty(blocks.shape, kind)
    for rows, columns in _tiles(blocks):
        multiples = _multiples(blocks[rows, columns], grids, rows)[1]
        integers[rows, columns] = multiples + zero_point[rows, None].astype(np.float32)
    return integers


def squared_errors(blocks: Blocks, grids: Grids) -> Floats:
    """Sum of squared errors of each block."""
    errors = np.zeros(len(blocks))
    for rows, columns in _tiles(blocks):
        with np.errstate(over="ignore"):  # infinite where a scale is absurdly small
            exact, rounded = _multiples(blocks[rows, columns], grids, rows)
            exact -= rounded
            exact *= exact
            errors[rows] += exact.sum(axis=1)
    return errors * grids.scale**2


def _fitted(blocks: Blocks, grids: Grids) -> Floats:
    """The best scale for the integers that each weight has."""
    dot, norm = np.zeros(len(blocks)), np.zeros(len(blocks))
    for rows, columns in _tiles(blocks):
        exact, rounded = _multiples(blocks[rows, columns], grids, rows)
        dot[rows] += (exact * rounded).sum(axis=1)
        norm[rows] += np.square(rounded, out=rounded).sum(axis=1)
    return np.where(dot > 0, grids.scale * dot / np.maximum(norm, 1), grids.scale)


def _multiples(part: Blocks, grids: Grids, rows: slice) -> tuple[Blocks, Blocks]:
    """Weights as multiples of their scale, exact and as on the grid."""
    first = grids.first[rows, None].astype(np.float32)
    scale = grids.scale[rows, None].astype(np.float32)
    exact: Blocks = np.divide(part, scale, dtype=np.float32)
    rounded: Blocks = np.rint(exact, dtype=np.float32)
    np.maximum(rounded, first, out=rounded)
    np.minimum(rounded, first + np.float32(grids.steps), out=rounded)
    return exact, rounded


def _moves(part: float, symmetric: bool) -> list[tuple[float, float]]:
    """Factors of the lower and the upper end."""
    both = [(part, part), (1 / part, 1 / part)]
    if symmetric:
        return both
    return [*both, (part, 1.0), (1 / part, 1.0), (1.0, part), (1.0, 1 / part)]


def _tiles(blocks: Blocks) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of parts that are small enough."""
    count, size = blocks.shape
    width = min(max(size, 1), CHUNK)
    height = CHUNK // width
    for row in range(0, count, height):
        for column in range(0, size, width):
            yield slice(row, row + height), slice(column, column + width)
