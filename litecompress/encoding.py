"""How one weight is stored: dense, on an affine grid, through a palette, or sparse around those.

Every encoding is an immutable value that knows its `shape`, its `nbytes` (bit-packed, with masks,
codebooks and scales counted) and how to `decode()` to float32. `Sparse` is outermost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from litecompress.errors import ArtifactError

Array = NDArray[Any]


@runtime_checkable
class Encoding(Protocol):
    """One weight in its stored form."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the decoded weight."""

    @property
    def nbytes(self) -> int:
        """Bytes stored, bit-packed and before entropy coding, with everything counted."""

    def decode(self) -> NDArray[np.float32]:
        """The weight in float32."""


def _frozen(array: Array, *, ndim: int | None = None, kinds: str) -> Array:
    """A read-only contiguous copy, of the expected kind and rank."""
    array = np.array(array, order="C", copy=True)
    if array.dtype.kind not in kinds or (ndim is not None and array.ndim != ndim):
        raise ArtifactError(
            f"encoding: expected an array of kind {kinds!r}, rank {ndim}, "
            f"got {array.dtype} of rank {array.ndim}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ArtifactError("encoding: expected finite values, got NaN or infinity; train again")
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class Dense:
    """Plain floating-point values, float32 or float16."""

    values: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _frozen(self.values, kinds="f"))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def nbytes(self) -> int:
        return self.values.nbytes

    def decode(self) -> NDArray[np.float32]:
        return self.values.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Affine:
    """An integer grid, scale * (values - zero_point), per tensor or per channel along `axis`.

    `scale` and `zero_point` hold one entry a channel, or one alone.
    """

    values: Array
    scale: Array
    zero_point: Array
    axis: int = 0
    num_bits: int = 8

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _frozen(self.values, kinds="iu"))
        object.__setattr__(self, "scale", _frozen(self.scale, ndim=1, kinds="f"))
        object.__setattr__(self, "zero_point", _frozen(self.zero_point, ndim=1, kinds="iu"))
        _check_bits(self.num_bits)
        channels = self.values.shape[self.axis] if self.values.ndim > self.axis else -1
        if len(self.scale) not in (1, channels) or len(self.zero_point) != len(self.scale):
            raise ArtifactError(
                f"affine: expected 1 or {channels} scales and zero points, "
                f"got {len(self.scale)} and {len(self.zero_point)}"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def nbytes(self) -> int:
        return packed_bytes(self.values.size, self.num_bits) + sum(
            a.nbytes for a in (self.scale, self.zero_point)
        )

    def decode(self) -> NDArray[np.float32]:
        along = [1] * self.values.ndim
        along[self.axis] = -1
        scale = self.scale.astype(np.float32).reshape(along)
        steps = self.values.astype(np.int32) - self.zero_point.astype(np.int32).reshape(along)
        return (scale * steps).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Palette:
    """Indices into a codebook of centroids (arXiv:1510.00149 sec. 3), `num_bits` an index."""

    indices: Array
    codebook: Array
    num_bits: int = 8

    def __post_init__(self) -> None:
        object.__setattr__(self, "indices", _frozen(self.indices, kinds="u"))
        object.__setattr__(self, "codebook", _frozen(self.codebook, ndim=1, kinds="f"))
        _check_bits(self.num_bits)
        most = min(len(self.codebook), 2**self.num_bits)
        if self.indices.size and int(self.indices.max()) >= most:
            raise ArtifactError(
                f"palette: expected indices below {most}, got {int(self.indices.max())}"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        return self.indices.shape

    @property
    def nbytes(self) -> int:
        return packed_bytes(self.indices.size, self.num_bits) + self.codebook.nbytes

    def decode(self) -> NDArray[np.float32]:
        return self.codebook.astype(np.float32)[self.indices]


@dataclass(frozen=True, eq=False)
class Sparse:
    """Zeros where `mask` is False; `values` holds the survivors as a row-major vector."""

    mask: Array
    values: Dense | Affine | Palette
    shape: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask", _frozen(self.mask, kinds="b"))
        object.__setattr__(self, "shape", self.mask.shape)
        survivors = int(np.count_nonzero(self.mask))
        if self.values.shape != (survivors,):
            raise ArtifactError(
                f"sparse: expected {survivors} values for the mask, got shape {self.values.shape}"
            )

    @property
    def nbytes(self) -> int:
        return packed_bytes(self.mask.size, 1) + self.values.nbytes

    def decode(self) -> NDArray[np.float32]:
        weight = np.zeros(self.mask.shape, np.float32)
        weight[self.mask] = self.values.decode()
        return weight


def _check_bits(num_bits: int) -> None:
    if not 1 <= num_bits <= 8:
        raise ArtifactError(f"encoding: expected num_bits from 1 to 8, got {num_bits}")


def packed_bytes(count: int, num_bits: int) -> int:
    """Bytes of `count` numbers of `num_bits` each, bit-packed."""
    return (count * num_bits + 7) // 8


def sparsity(encoding: Encoding) -> float:
    """Fraction of zeros by the mask; 0 where there is none."""
    if not isinstance(encoding, Sparse) or not encoding.mask.size:
        return 0.0
    return 1 - float(np.count_nonzero(encoding.mask)) / prod(encoding.shape)


def float32_bytes(encoding: Encoding) -> int:
    """Bytes of the same weight in float32."""
    return 4 * prod(encoding.shape)


def symmetric_int8(weight: NDArray[np.float32]) -> Affine:
    """Round a matrix to int8 with one scale a row, largest magnitude at 127, zero kept exactly."""
    peak = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    tiny = np.finfo(np.float32).tiny * 127  # below it a scale would lose its own precision
    scale = np.where(peak >= tiny, peak / 127, 1).astype(np.float32)
    along = scale.reshape(-1, *[1] * (weight.ndim - 1))
    values = np.clip(np.rint(weight / along), -127, 127).astype(np.int8)
    return Affine(values, scale, np.zeros(len(scale), np.int8), axis=0)
