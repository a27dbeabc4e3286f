"""Encodings in the two forms that Core ML knows: codes of codebooks, and integers on a grid.

Both may be divided into blocks, and both may have a mask, under which only survivors are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from math import gcd, lcm

import numpy as np

from litecompress.encoding import Affine, Array, Bands, Dense, Encoding, Palette, Sparse

MOST_CODES = 256


@dataclass(frozen=True, eq=False)
class Codes:
    """Indices into codebooks (groups, n), one codebook for so many rows in turn.

    Indices have the weight's shape, or with a `mask` are those of its survivors.
    """

    shape: tuple[int, ...]
    indices: Array
    codebooks: Array
    mask: Array | None = None

    def dense(self) -> Codes | None:
        """Without a mask: its zeros are one code more, where there is one left."""
        if self.mask is None:
            return self
        if self.codebooks.shape[1] >= MOST_CODES:
            return None
        indices = np.zeros(self.shape, np.uint8)
        indices[self.mask] = self.indices + 1
        return Codes(self.shape, indices, np.pad(self.codebooks, ((0, 0), (1, 0))))


@dataclass(frozen=True, eq=False)
class Grid:
    """Integers and, for blocks of equal size, a scale and a zero point: scale * (values - zero).

    Scales and zeros have the weight's rank, and along each axis as many entries as blocks; with a
    `mask` the values are those of survivors, all in one block.
    """

    shape: tuple[int, ...]
    values: Array
    scale: Array
    zero: Array
    mask: Array | None = None

    def dense(self) -> Grid:
        """Without a mask: its zeros are at the zero point."""
        if self.mask is None:
            return self
        values = np.full(self.shape, self.zero.item(), self.values.dtype)
        values[self.mask] = self.values
        return Grid(self.shape, values, self.scale, self.zero)

    def codes(self) -> Codes | None:
        """The grid's points as a codebook, where one scale does for all and they are few."""
        low, count = self.span()
        if self.scale.size > 1 or count > MOST_CODES:
            return None
        points = np.arange(low, low + count, dtype=np.float32) - np.float32(self.zero.item())
        codebook = self.scale.astype(np.float32).reshape(1, 1) * points
        indices = (self.values.astype(np.int32) - low).astype(np.uint8)
        return Codes(self.shape, indices, codebook, self.mask)

    def span(self) -> tuple[int, int]:
        """The lowest value, and how many points there are from it to the highest."""
        if not self.values.size:
            return 0, 1
        low = int(self.values.min())
        return low, int(self.values.max()) - low + 1


@dataclass(frozen=True, eq=False)
class Survivors:
    """Plain values where the mask is set."""

    shape: tuple[int, ...]
    values: Array
    mask: Array


Form = Codes | Grid | Survivors


def form_of(encoding: Encoding) -> Form | None:
    """The form of an encoding; None for plain values and for bands that have none together."""
    match encoding:
        case Palette():
            return Codes(encoding.shape, encoding.indices, encoding.codebook[None, :MOST_CODES])
        case Affine():
            return _grid(encoding)
        case Sparse():
            return _sparse(encoding)
        case Bands():
            return _bands(encoding)
    return None


def _grid(affine: Affine) -> Grid:
    """One scale, one a channel, or one for each of the equal parts that groups divide into."""
    scale, zero = affine.scale, affine.zero_point
    if affine.group_size:
        if scale.shape[1] > 1:
            block = gcd(affine.shape[1], affine.group_size)
            times, blocks = affine.group_size // block, affine.shape[1] // block
            scale, zero = (a.repeat(times, axis=1)[:, :blocks] for a in (scale, zero))
    else:
        along = [1] * len(affine.shape)
        along[affine.axis] = len(scale)
        scale, zero = scale.reshape(along), zero.reshape(along)
    return Grid(affine.shape, affine.values, scale, zero)


def _sparse(sparse: Sparse) -> Form | None:
    values, one = sparse.values, [1] * len(sparse.shape)
    if not sparse.mask.any():
        return Codes(sparse.shape, np.zeros(sparse.shape, np.uint8), np.zeros((1, 1), np.float16))
    match values:
        case Dense():
            return Survivors(sparse.shape, values.values, sparse.mask)
        case Palette():
            codebook = values.codebook[None, :MOST_CODES]
            return Codes(sparse.shape, values.indices, codebook, sparse.mask)
        case Affine() if len(values.scale) == 1:
            scale, zero = values.scale.reshape(one), values.zero_point.reshape(one)
            return Grid(sparse.shape, values.values, scale, zero, sparse.mask)
    return None


def _bands(bands: Bands) -> Form | None:
    parts = [form_of(part) for part in bands.parts]
    codes = [p for p in parts if isinstance(p, Codes) and len(p.codebooks) == 1]
    if len(codes) == len(parts):
        return _joined_codes(bands, codes)
    grids = [p.dense() for p in parts if isinstance(p, Grid)]
    return _joined_grids(bands, grids) if len(grids) == len(parts) else None


def _joined_codes(bands: Bands, parts: list[Codes]) -> Codes:
    """One codebook for as many rows as always lie in one band together."""
    rows = len(bands.band)
    changes = (np.flatnonzero(np.diff(bands.band)) + 1).tolist()
    together = reduce(gcd, changes, rows)
    most = max(part.codebooks.shape[1] for part in parts)
    books = [np.pad(p.codebooks[0], (0, most - p.codebooks.shape[1])) for p in parts]
    codebooks = np.stack(books)[bands.band[::together]]
    indices, mask = np.zeros(bands.shape, np.uint8), np.ones(bands.shape, bool)
    for i, part in enumerate(parts):
        inside = np.ones(part.shape, bool) if part.mask is None else part.mask
        own = np.zeros(part.shape, np.uint8)
        own[inside] = part.indices.reshape(-1)
        indices[bands.band == i], mask[bands.band == i] = own, inside
    if all(part.mask is None for part in parts):
        return Codes(bands.shape, indices, codebooks)
    return Codes(bands.shape, indices[mask], codebooks, mask)


def _joined_grids(bands: Bands, parts: list[Grid]) -> Grid:
    """A scale for every row, and within it for the finest blocks of any part."""
    blocks = lcm(*(part.scale.shape[1] for part in parts))
    values = np.empty(bands.shape, np.int32)
    scale = np.empty((len(bands.band), blocks), np.result_type(*(p.scale for p in parts)))
    zero = np.empty(scale.shape, np.int32)
    for i, part in enumerate(parts):
        here, times = bands.band == i, blocks // part.scale.shape[1]
        values[here] = part.values
        scale[here], zero[here] = (a.repeat(times, axis=1) for a in (part.scale, part.zero))
    return Grid(bands.shape, values, scale, zero)
