"""What a checkpoint says of its tensors, and their numbers once the bytes are read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litecompress.errors import CheckpointError

Array = NDArray[np.float32]
_DTYPES = {
    "Double": "f8",
    "Float": "f4",
    "Half": "f2",
    "BFloat16": "u2",
    "Long": "i8",
    "Int": "i4",
    "Short": "i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "u1",
}
DIMENSIONS_LIMIT = 8


@dataclass(frozen=True)
class Storage:
    """A run of `count` numbers under a key, or the part of it that `view` (name, offset, count)
    marks."""

    kind: str
    key: str
    count: int
    view: tuple[str, int, int] | None = None

    def __post_init__(self) -> None:
        start, count = self.span
        right = type(self.key) is str and self.type_name in _DTYPES
        if not (right and _naturals((self.count, start, count)) and start + count <= self.count):
            raise CheckpointError(
                "expected the storage of a tensor, got another type, key or extent in the pickle"
            )

    @property
    def type_name(self) -> str:
        """The type of a number as torch calls it, such as `Half`."""
        return self.kind.rpartition(".")[2].removesuffix("Storage")

    @property
    def span(self) -> tuple[int, int]:
        """Where the numbers begin in the stored run, and how many there are."""
        if self.view is None:
            return 0, self.count
        if type(self.view) is not tuple or len(self.view) != 3:
            raise CheckpointError("expected the view of a storage, got something else")
        return self.view[1], self.view[2]

    @property
    def itemsize(self) -> int:
        """Bytes a number."""
        return int(_DTYPES[self.type_name][1:])


@dataclass(frozen=True)
class Tensor:
    """A view of a storage, known to lie within it; `offset` and `stride` count numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self._fits():
            raise CheckpointError(
                "expected a tensor that lies within its storage, got another offset, size or "
                "stride in the pickle"
            )

    def _fits(self) -> bool:
        if not isinstance(self.storage, Storage) or not _naturals((self.offset,)):
            return False
        if type(self.shape) is not tuple or type(self.stride) is not tuple:
            return False
        if len(self.shape) != len(self.stride) or len(self.shape) > DIMENSIONS_LIMIT:
            return False
        if not _naturals(self.shape) or not _naturals(self.stride):
            return False
        held = self.storage.span[1]
        last = sum((n - 1) * s for n, s in zip(self.shape, self.stride, strict=True))
        return self.size <= held and (not self.size or self.offset + last < held)

    @property
    def size(self) -> int:
        """How many numbers."""
        return prod(self.shape)

    def rows(self, start: int, stop: int) -> Tensor:
        """A slice of the first dimension."""
        offset = self.offset + start * self.stride[0]
        return replace(self, offset=offset, shape=(stop - start, *self.shape[1:]))

    def array(self, data: bytes, byte_order: str) -> Array:
        """The numbers in float32, given all bytes of the storage and their order, < or >."""
        dtype = np.dtype(byte_order + _DTYPES[self.storage.type_name])
        start = (self.storage.span[0] + self.offset) * dtype.itemsize
        if not self.size:
            return np.zeros(self.shape, np.float32)
        strides = [s * dtype.itemsize for s in self.stride]
        values: NDArray[Any] = np.ndarray(self.shape, dtype, data, start, strides)
        if self.storage.type_name == "BFloat16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return np.array(values, np.float32, order="C")


def _naturals(values: tuple[Any, ...]) -> bool:
    return all(type(v) is int and v >= 0 for v in values)
