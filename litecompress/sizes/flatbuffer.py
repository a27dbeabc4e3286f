"""Reads tables and vectors of a flatbuffer by field number, without their schema.

A damaged file is a ValueError, also one that names the same content more often than it has bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_FORMATS = {1: "<B", 2: "<H", 4: "<I"}


class Flatbuffer:
    """The bytes of a file, read within its bounds and no more often than it is long."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._reads = 0

    def root(self) -> Table:
        """The table that the file is."""
        return Table(self, self.number(0))

    def number(self, position: int, size: int = 4) -> int:
        """An unsigned number of 1, 2 or 4 bytes."""
        self._reads += 1
        if not 0 <= position <= len(self.data) - size or self._reads > 4 * len(self.data):
            raise ValueError(f"a flatbuffer of {len(self.data)} bytes that is read at {position}")
        value: int = struct.unpack_from(_FORMATS[size], self.data, position)[0]
        return value


@dataclass(frozen=True)
class Vector:
    """Place and number of the elements."""

    start: int
    count: int


@dataclass(frozen=True)
class Table:
    """A table at a position; a field that is not set is None, 0 or empty."""

    buffer: Flatbuffer
    position: int

    def number(self, field: int, size: int = 4) -> int:
        """A whole number of 1 to 4 bytes; 0 where it is not set, which is its default."""
        place = self._place(field)
        return self.buffer.number(place, size) if place else 0

    def table(self, field: int) -> Table | None:
        """A table within this one."""
        place = self._place(field)
        return Table(self.buffer, place + self.buffer.number(place)) if place else None

    def vector(self, field: int) -> Vector | None:
        """Elements of any type."""
        place = self._place(field)
        if not place:
            return None
        start = place + self.buffer.number(place)
        return Vector(start + 4, self.buffer.number(start))

    def tables(self, field: int) -> Iterator[Table]:
        """The tables of a vector of them."""
        for place in self._elements(field):
            yield Table(self.buffer, place + self.buffer.number(place))

    def numbers(self, field: int) -> list[int]:
        """The elements of a vector of signed numbers of four bytes."""
        values = (self.buffer.number(place) for place in self._elements(field))
        return [v - (1 << 32) * (v >> 31) for v in values]

    def _elements(self, field: int) -> range:
        vector = self.vector(field)
        return range(vector.start, vector.start + 4 * vector.count, 4) if vector else range(0)

    def _place(self, field: int) -> int:
        """Where a field is; 0 if nowhere."""
        offset = self.buffer.number(self.position)
        vtable = self.position - offset + (1 << 32) * (offset >> 31)
        entry = 4 + 2 * field
        if entry + 2 > self.buffer.number(vtable, 2):
            return 0
        inside = self.buffer.number(vtable + entry, 2)
        return self.position + inside if inside else 0
