"""How one weight is stored: dense, on an affine grid, through a palette, sparse around those, or
in bands of rows, each stored in one of these ways.

Every encoding is an immutable value that knows its `shape`, its `nbytes` (bit-packed, with masks,
codebooks and scales counted) and how to `decode()` to float32.
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
    """An integer grid, scale * (values - zero_point), per tensor, per channel or per group.

    `scale` and `zero_point` hold one entry alone or one a channel of `axis`; with a `group_size`
    they are (rows, groups) of a matrix, one for so many neighbours in a row.
    """

    values: Array
    scale: Array
    zero_point: Array
    axis: int = 0
    num_bits: int = 8
    group_size: int = 0

    def __post_init__(self) -> None:
        rank = 2 if self.group_size else 1
        object.__setattr__(self, "values", _frozen(self.values, kinds="iu"))
        object.__setattr__(self, "scale", _frozen(self.scale, ndim=rank, kinds="f"))
        object.__setattr__(self, "zero_point", _frozen(self.zero_point, ndim=rank, kinds="iu"))
        _check_bits(self.num_bits)
        expected = self._scale_shapes()
        if self.scale.shape not in expected or self.zero_point.shape != self.scale.shape:
            shapes = " or ".join(map(str, expected))
            raise ArtifactError(
                f"affine: expected scales and zero points of shape {shapes}, "
                f"got {self.scale.shape} and {self.zero_point.shape}"
            )

    def _scale_shapes(self) -> list[tuple[int, ...]]:
        shape = self.values.shape
        if not self.group_size:
            return [(1,), *[(shape[self.axis],)] * (0 <= self.axis < len(shape))]
        if len(shape) != 2 or self.group_size < 0:
            raise ArtifactError(
                f"affine: expected groups of 1 or more in the rows of a matrix, got groups of "
                f"{self.group_size} in shape {shape}"
            )
        return [(shape[0], -(-shape[1] // self.group_size))]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def nbytes(self) -> int:
        return packed_bytes(self.values.size, self.num_bits) + sum(
            a.nbytes for a in (self.scale, self.zero_point)
        )

    def decode(self) -> NDArray[np.float32]:
        scale = self._spread(self.scale.astype(np.float32))
        steps = self.values.astype(np.int32) - self._spread(self.zero_point.astype(np.int32))
        return (scale * steps).astype(np.float32)

    def _spread(self, parameters: Array) -> Array:
        """Scales or zero points in a shape that goes with the values."""
        if self.group_size:
            return parameters.repeat(self.group_size, axis=1)[:, : self.shape[1]]
        along = [1] * self.values.ndim
        along[self.axis] = -1
        return parameters.reshape(along)


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


@dataclass(frozen=True, eq=False)
class Bands:
    """A matrix whose rows are divided into bands, each with an encoding of its own.

    `band` (rows,) says which of the `parts` holds each row; a part holds its rows in order.
    """

    band: Array
    parts: tuple[Dense | Affine | Palette | Sparse, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "band", _frozen(self.band, ndim=1, kinds="u"))
        object.__setattr__(self, "parts", tuple(self.parts))
        rows = np.bincount(self.band, minlength=len(self.parts)).tolist()
        shapes = [part.shape for part in self.parts]
        widths = {shape[1:] for shape in shapes}
        if [shape[:1] for shape in shapes] != [(n,) for n in rows] or len(widths) != 1:
            raise ArtifactError(
                f"bands: expected parts of {rows} rows and one width, got shapes {shapes}"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.band), *self.parts[0].shape[1:])

    @property
    def nbytes(self) -> int:
        bits = max(1, (len(self.parts) - 1).bit_length())
        return packed_bytes(len(self.band), bits) + sum(part.nbytes for part in self.parts)

    def decode(self) -> NDArray[np.float32]:
        weight = np.empty(self.shape, np.float32)
        for i, part in enumerate(self.parts):
            weight[self.band == i] = part.decode()
        return weight


def _check_bits(num_bits: int) -> None:
    if not 1 <= num_bits <= 8:
        raise ArtifactError(f"encoding: expected num_bits from 1 to 8, got {num_bits}")


def packed_bytes(count: int, num_bits: int) -> int:
    """Bytes of `count` numbers of `num_bits` each, bit-packed."""
    return (count * num_bits + 7) // 8


def sparsity(encoding: Encoding) -> float:
    """Fraction of zeros: by the mask, or on an affine grid, where zero is a point like others."""
    if isinstance(encoding, Affine):
        return float(np.mean(encoding.decode() == 0)) if encoding.values.size else 0.0
    if isinstance(encoding, Bands):
        sizes = [prod(part.shape) for part in encoding.parts]
        zeros = sum(sparsity(p) * n for p, n in zip(encoding.parts, sizes, strict=True))
        return zeros / max(1, sum(sizes))
    if not isinstance(encoding, Sparse) or not encoding.mask.size:
        return 0.0
    return 1 - float(np.count_nonzero(encoding.mask)) / prod(encoding.shape)


def stored_values(encoding: Encoding) -> Encoding:
    """What holds the numbers: the survivors of a pruned weight, else the encoding itself."""
    return encoding.values if isinstance(encoding, Sparse) else encoding


def is_floating_point(encoding: Encoding) -> bool:
    """Whether a weight, pruned or not, is not quantized yet."""
    return isinstance(stored_values(encoding), Dense)


def float32_bytes(encoding: Encoding) -> int:
    """Bytes of the same weight in float32."""
    return 4 * prod(encoding.shape)


def symmetric_int8(weight: NDArray[np.float32]) -> Affine:
    """Round a matrix to int8 with one scale a row, largest magnitude at 127, zero kept exactly."""
    peak = np.abs(weight).max(axis=tuple(range(1, weight.ndim)), initial=0)
    tiny = np.finfo(np.float32).tiny * 127  # below it a scale would lose its own precision
    scale = np.where(peak >= tiny, peak / 127, 1).astype(np.float32)
    along = scale.reshape(-1, *[1] * (weight.ndim - 1))
    values = np.clip(np.rint(weight / along), -127, 127).astype(np.int8)
    return Affine(values, scale, np.zeros(len(scale), np.int8), axis=0)
