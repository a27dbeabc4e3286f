"""Operators that unpack planes, nibbles and masks (see onnx_packing), folded at load."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from litecompress.export.onnx_writer import INT32, GraphWriter, Value


def unpack(writer: GraphWriter, planes: Mapping[int, Value], count: int | None) -> Value:
    """A vector of codes in uint8 from planes by their width, widest first as the low bits.

    Without a count they end with the zeros that fill them up.
    """
    whole: Value | None = None
    offset = 0
    for width in sorted(planes, reverse=True):
        part = flat(writer, _unpack_plane(writer, planes[width], width))
        if whole is not None:
            shift = writer.constant(np.uint8(offset))
            part = writer.emit("BitShift", part, shift, direction="LEFT")
            part = writer.emit("BitwiseOr", whole, part)
        whole, offset = part, offset + width
    assert whole is not None
    if count is None or count % 8 == 0:
        return whole
    return writer.emit("Slice", whole, writer.integers(0), writer.integers(count))


def flat(writer: GraphWriter, values: Value) -> Value:
    """Values as a vector."""
    return writer.emit("Reshape", values, writer.integers(-1))


def take(writer: GraphWriter, values: Value, places: Value) -> Value:
    """Elements of a vector at places, a vector of int32.

    GatherElements copies numbers by their type, where Gather copies bytes: ten times slower.
    """
    return writer.emit("GatherElements", values, places, axis=0)


def _unpack_plane(writer: GraphWriter, plane: Value, width: int) -> Value:
    """Codes (8 / w, m) of a plane (1, m)."""
    shifts = width * np.arange(8 // width, dtype=np.uint8)[:, None]
    return _lowest(writer, writer.emit("BitShift", plane, writer.constant(shifts), **RIGHT), width)


def unpack_nibbles(writer: GraphWriter, packed: Value, shape: tuple[int, ...]) -> Value:
    """Codes (rows, columns) of neighbours packed in pairs (rows, ceil(columns / 2))."""
    (rows, columns), size = shape, -(-shape[1] // 2)
    pairs = writer.emit("Reshape", packed, writer.integers(rows, size, 1))
    shifts = writer.constant(np.array([0, 4], np.uint8))
    codes = _lowest(writer, writer.emit("BitShift", pairs, shifts, **RIGHT), 4)
    codes = writer.emit("Reshape", codes, writer.integers(rows, 2 * size))
    if columns == 2 * size:
        return codes
    ends = writer.integers(columns)
    return writer.emit("Slice", codes, writer.integers(0), ends, writer.integers(1))


def places(writer: GraphWriter, mask: Value, count: int) -> Value:
    """A vector that counts the bits of a packed mask, from 1 on, and is 0 where none is set."""
    inside = writer.emit("Cast", unpack(writer, {1: mask}, count), to=INT32)
    number = writer.emit("CumSum", inside, writer.constant(np.int64(0)))
    return writer.emit("Mul", number, inside)


RIGHT = {"direction": "RIGHT"}


def _lowest(writer: GraphWriter, values: Value, width: int) -> Value:
    return writer.emit("BitwiseAnd", values, writer.constant(np.uint8((1 << width) - 1)))
