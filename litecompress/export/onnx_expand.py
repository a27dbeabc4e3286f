"""Stored weights back to codes and to float32 within a graph.

Nothing here depends on an input, so a session computes it once, at load; the file keeps the packed
form. Values are in the order that the weight is stored in.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod

import numpy as np

from litecompress.encoding import Affine, Bands, Sparse
from litecompress.export.onnx_grids import common_zero, is_blockwise, unsigned
from litecompress.export.onnx_stored import StoredWeight, band_order
from litecompress.export.onnx_unpack import flat, places, take, unpack, unpack_nibbles
from litecompress.export.onnx_writer import FLOAT, INT32, GraphWriter, Value


class Expander:
    """Values of one graph that hold its weights, each made once."""

    def __init__(self, writer: GraphWriter) -> None:
        self.writer = writer
        self._made: dict[str, Value] = {}

    def floats(self, weight: StoredWeight) -> Value:
        """The weight in float32."""
        return self._once(weight.name, lambda: self._floats(weight))

    def codes(self, weight: StoredWeight) -> Value:
        """Codes of a grid or a palette in uint8; of a sparse palette 0 is the zero."""
        return self._once(weight.name + ".codes", lambda: self._codes(weight))

    def scale(self, weight: StoredWeight) -> Value:
        """Scales in float32, in the shape that they are stored in."""
        key = weight.name + ".scale"
        return self._once(key, lambda: self._stored_floats(weight, ".scale"))

    def zero_point(self, weight: StoredWeight) -> Value:
        """Zero points among the codes: one for all, or as they are stored."""
        if ".zero_point" in weight.arrays:
            return self.array(weight, ".zero_point")
        assert isinstance(weight.encoding, Affine)
        zero = common_zero(unsigned(weight.encoding)[1])
        assert zero is not None
        return self.writer.constant(np.uint8(zero) if 0 <= zero <= 255 else np.int32(zero))

    def array(self, weight: StoredWeight, suffix: str = "") -> Value:
        """A stored array as it is."""
        return self.writer.weight(weight.name + suffix, weight.arrays[suffix])

    def look_up(self, weight: StoredWeight, codes: Value) -> Value:
        """A palette's centroids in the place of codes, of any shape."""
        indices = self.writer.emit("Cast", codes, to=INT32)
        return self.writer.emit("Gather", self._codebook(weight), indices)

    def _once(self, key: str, make: Callable[[], Value]) -> Value:
        if key not in self._made:
            with self.writer.scope(""):  # what is computed at load does without long names
                self._made[key] = make()
        return self._made[key]

    def _floats(self, weight: StoredWeight) -> Value:
        match weight.encoding:
            case Affine():
                return self._grid(weight)
            case Bands():
                return self._joined(weight)
        if weight.has_codes:
            indices = self.writer.emit("Cast", self._unpacked(weight), to=INT32)
            values = take(self.writer, self._codebook(weight), indices)
        elif isinstance(weight.encoding, Sparse):
            zero = self.writer.constant(np.zeros(1, np.float32))
            values = self._floats(weight.survivors())
            values = self.writer.emit("Concat", zero, values, axis=0)
        else:
            return self._stored_floats(weight)
        return self._placed(weight, values)

    def _codes(self, weight: StoredWeight) -> Value:
        if is_blockwise(weight.encoding):
            return unpack_nibbles(self.writer, self.array(weight), weight.shape)
        if "" in weight.arrays and ".mask" not in weight.arrays:
            return self.array(weight)
        return self._placed(weight, self._unpacked(weight))

    def _unpacked(self, weight: StoredWeight) -> Value:
        """Codes as a vector; of a masked palette those of the zero and of what is left."""
        return self._once(weight.name + ".unpacked", lambda: self._out_of_planes(weight))

    def _out_of_planes(self, weight: StoredWeight) -> Value:
        planes = {w: f".bits{w}" for w in (4, 2, 1) if f".bits{w}" in weight.arrays}
        if not planes:
            return flat(self.writer, self.array(weight))
        values = {width: self.array(weight, suffix) for width, suffix in planes.items()}
        count = None if ".mask" in weight.arrays else prod(weight.shape)
        return unpack(self.writer, values, count)

    def _placed(self, weight: StoredWeight, values: Value) -> Value:
        """A vector in the weight's shape, by its mask if it has one."""
        if ".mask" in weight.arrays:
            mask, count = self.array(weight, ".mask"), prod(weight.shape)
            make = partial(places, self.writer, mask, count)
            values = take(self.writer, values, self._once(weight.name + ".places", make))
        return self.writer.emit("Reshape", values, self.writer.integers(*weight.shape))

    def _codebook(self, weight: StoredWeight) -> Value:
        key = weight.name + ".codebook"
        return self._once(key, lambda: self._stored_floats(weight, ".codebook"))

    def _grid(self, weight: StoredWeight) -> Value:
        """Scale times the distance of codes from their zero point."""
        affine, zero = weight.encoding, self.zero_point(weight)
        assert isinstance(affine, Affine)
        if ".zero_point" in weight.arrays:
            if is_blockwise(affine):
                zero = unpack_nibbles(self.writer, zero, affine.scale.shape)
            zero = self._spread(weight, zero)
        steps = self.writer.emit("Sub", self._as_float(self.codes(weight)), self._as_float(zero))
        return self.writer.emit("Mul", steps, self._spread(weight, self.scale(weight)))

    def _spread(self, weight: StoredWeight, parameters: Value) -> Value:
        """Scales or zero points in a shape that goes with the codes."""
        affine, rank = weight.encoding, len(weight.shape)
        assert isinstance(affine, Affine)
        if affine.group_size:
            axis = 0 if weight.turned else 1
            group = self._groups(weight.shape[axis], affine.group_size)
            return self.writer.emit("Gather", parameters, group, axis=axis)
        axis = rank - 1 - affine.axis if weight.turned else affine.axis
        if affine.scale.size == 1 or axis == rank - 1:
            return parameters
        along = [1] * rank
        along[axis] = -1
        return self.writer.emit("Reshape", parameters, self.writer.integers(*along))

    def _groups(self, length: int, size: int) -> Value:
        """The group of each position."""
        ends = (self.writer.constant(np.int64(n)) for n in (0, length, 1))
        position = self.writer.emit("Range", *ends)
        return self.writer.emit("Div", position, self.writer.constant(np.int64(size)))

    def _joined(self, weight: StoredWeight) -> Value:
        """Bands in the order of their rows."""
        assert isinstance(weight.encoding, Bands)
        parts = [self._floats(weight.part(i)) for i in range(len(weight.encoding.parts))]
        whole = self.writer.emit("Concat", *parts, axis=0)
        if band_order(weight.encoding) is None:
            return whole
        rows = self.writer.emit("Cast", self.array(weight, ".rows"), to=INT32)
        return self.writer.emit("Gather", whole, rows)

    def _stored_floats(self, weight: StoredWeight, suffix: str = "") -> Value:
        """A stored array of floats, widened where it is in half precision."""
        array = self.array(weight, suffix)
        return array if weight.arrays[suffix].dtype == np.float32 else self._as_float(array)

    def _as_float(self, value: Value) -> Value:
        return self.writer.emit("Cast", value, to=FLOAT)
