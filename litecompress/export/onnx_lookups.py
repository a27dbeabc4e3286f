"""Rows of stored tables, looked up as codes and only then expanded."""

from __future__ import annotations

from litecompress.encoding import Affine
from litecompress.export.onnx_expand import Expander
from litecompress.export.onnx_grids import is_blockwise, is_integer_grid
from litecompress.export.onnx_stored import StoredWeight
from litecompress.export.onnx_writer import CONTRIB, FLOAT, Value


class LookUps:
    """Looks up rows of weights of one graph.

    With `turned_back` tables that are stored (D, V) are turned when the model is loaded: of many
    rows a look-up then takes a twentieth of the time, for a copy of the table in memory.
    """

    def __init__(self, expander: Expander, *, turned_back: bool = False) -> None:
        self.writer, self.expander, self._turned_back = expander.writer, expander, turned_back

    def rows(self, weight: StoredWeight, ids: Value) -> Value:
        """Rows (B, T, D) of a table (V, D) in float32 for ids (B, T).

        Where tables are turned back, ids may have any shape.
        """
        if is_blockwise(weight.encoding) and weight.shape[1] % 2 == 0:
            return self._block_rows(weight, ids)
        if is_integer_grid(weight.encoding):
            return self._grid_rows(weight, ids)
        if weight.has_codes:
            codes = self._gathered(weight, self.expander.codes(weight), ids)
            return self.expander.look_up(weight, codes)
        return self._gathered(weight, self.expander.floats(weight), ids)

    def _block_rows(self, weight: StoredWeight, ids: Value) -> Value:
        """The last axis is packed in pairs, so it has to be even."""
        affine = weight.encoding
        assert isinstance(affine, Affine)
        inputs = [self.expander.array(weight), ids, self.expander.scale(weight)]
        if ".zero_point" in weight.arrays:
            inputs.append(self.expander.zero_point(weight))
        axes = {"gather_axis": 0, "quantize_axis": 1}
        return self.writer.emit_of(
            CONTRIB, "GatherBlockQuantized", *inputs, **axes, bits=4, block_size=affine.group_size
        )

    def _grid_rows(self, weight: StoredWeight, ids: Value) -> Value:
        emit, to_float = self.writer.emit, {"to": FLOAT}
        rows = emit("Cast", self._gathered(weight, self.expander.codes(weight), ids), **to_float)
        zero, scale = self.expander.zero_point(weight), self.expander.scale(weight)
        if ".zero_point" in weight.arrays:
            zero = self._of_rows(zero, ids)
        rows = emit("Sub", rows, emit("Cast", zero, **to_float))
        several = weight.arrays[".scale"].size > 1
        return emit("Mul", rows, self._of_rows(scale, ids) if several else scale)

    def _of_rows(self, parameters: Value, ids: Value) -> Value:
        """Parameters (V,) of the rows that are looked up, (B, T, 1)."""
        found = self.writer.emit("Gather", parameters, ids)
        return self.writer.emit("Unsqueeze", found, self.writer.integers(-1))

    def _gathered(self, weight: StoredWeight, table: Value, ids: Value) -> Value:
        """Rows of a table stored (V, D), or columns of one that is stored turned."""
        if weight.turned and self._turned_back:
            table = self.writer.emit("Transpose", table, perm=[1, 0])
        if not weight.turned or self._turned_back:
            return self.writer.emit("Gather", table, ids)
        columns = self.writer.emit("Gather", table, ids, axis=1)  # (D, B, T)
        return self.writer.emit("Transpose", columns, perm=[1, 2, 0])
