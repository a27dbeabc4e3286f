"""Reads messages of the protobuf wire format by field number, without their schema.

Only what the sheet asks for is looked at. A damaged message is a ValueError.
"""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}


class Message:
    """The bytes from `start` to `end` of a file; fields are looked up by number when asked for."""

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self.data, self.start = data, start
        self.end = len(data) if end is None else end

    @property
    def size(self) -> int:
        return self.end - self.start

    def all(self, *path: int) -> Iterator[Message]:
        """Every message, string or stretch of bytes at a path of field numbers."""
        if not path:
            yield self
            return
        for value in self._values(path[0]):
            if isinstance(value, Message):
                yield from value.all(*path[1:])

    def text(self, field: int) -> str:
        """A string; empty where the field is not set."""
        values = list(self.all(field))
        return self.data[values[-1].start : values[-1].end].decode() if values else ""

    def number(self, field: int) -> int:
        """A whole number; 0 where the field is not set."""
        values = [v for v in self._values(field) if isinstance(v, int)]
        return values[-1] if values else 0

    def _values(self, field: int) -> Iterator[int | Message]:
        """Every value of a field, in their order."""
        position = self.start
        while position < self.end:
            key, position = self._varint(position)
            value, position = self._value(key & 7, position)
            if key >> 3 == field:
                yield value

    def _value(self, kind: int, position: int) -> tuple[int | Message, int]:
        """A field's value and where the next field begins."""
        if kind == _VARINT:
            return self._varint(position)
        if kind == _BYTES:
            size, position = self._varint(position)
            end = self._within(position + size)
            return Message(self.data, position, end), end
        if kind in _FIXED_SIZES:
            end = self._within(position + _FIXED_SIZES[kind])
            return int.from_bytes(self.data[position:end], "little"), end
        raise ValueError(f"a protobuf field of type {kind}")

    def _varint(self, position: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            byte = self.data[self._within(position + 1) - 1]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, position
        raise ValueError("a protobuf number of more than ten bytes")

    def _within(self, end: int) -> int:
        if end > self.end:
            raise ValueError(f"protobuf content up to {end}, beyond its end at {self.end}")
        return end
