"""Products with stored matrices, in the forms that ONNX Runtime has fast kernels for."""

from __future__ import annotations

from typing import Literal

import onnx_ir as ir

from litecompress.encoding import Affine
from litecompress.export.onnx_expand import Expander
from litecompress.export.onnx_grids import common_zero, is_blockwise, is_integer_grid, unsigned
from litecompress.export.onnx_stored import StoredWeight

Activations = Literal["per_tensor", "per_block"]
BLOCK = 128  # neighbours in a row of activations that share a scale, with weights of 8 bits
ACTIVATIONS_INT8 = 4  # accuracy_level of MatMulNBits; where a CPU has no such kernel, float32


class Products:
    """Multiplies activations with weights of one graph."""

    def __init__(self, expander: Expander, activations: Activations) -> None:
        self.writer, self.expander, self.activations = expander.writer, expander, activations
        self._quantized: dict[ir.Value, tuple[ir.Value, ...]] = {}

    def product(self, x: ir.Value, weight: StoredWeight) -> ir.Value:
        """X (.., in) times a matrix (out, in) to (.., out), in integers where it is on a grid."""
        if is_blockwise(weight.encoding):
            return self._nibbles(x, weight)
        if is_integer_grid(weight.encoding):
            per_block = self.activations == "per_block"
            return self._bytes(x, weight) if per_block else self._integers(x, weight)
        floats = self.expander.floats(weight)
        if not weight.turned:  # bands are stored as rows
            floats = self.writer.emit("Transpose", floats, perm=[1, 0])
        return self.writer.emit("MatMul", x, floats)

    def _integers(self, x: ir.Value, weight: StoredWeight) -> ir.Value:
        """The pattern that runtimes fuse into one dynamically quantized product."""
        emit = self.writer.emit
        if x not in self._quantized:
            self._quantized[x] = self.writer.emit_three("DynamicQuantizeLinear", x)
        values, x_scale, x_zero = self._quantized[x]
        codes, zero = self.expander.codes(weight), self.expander.zero_point(weight)
        product = emit("MatMulInteger", values, codes, x_zero, zero)
        product = emit("Cast", product, to=ir.DataType.FLOAT)
        return emit("Mul", product, emit("Mul", x_scale, self.expander.scale(weight)))

    def _nibbles(self, x: ir.Value, weight: StoredWeight) -> ir.Value:
        """Blocks of 4 bits as they are stored."""
        affine = weight.encoding
        assert isinstance(affine, Affine)
        parameters = [self.expander.scale(weight)]
        if ".zero_point" in weight.arrays:
            parameters.append(self.expander.zero_point(weight))
        packed = self.expander.array(weight)
        return self._by_blocks(x, packed, parameters, weight.shape, 4, affine.group_size)

    def _bytes(self, x: ir.Value, weight: StoredWeight) -> ir.Value:
        """Codes of 8 bits in blocks that all have their row's scale."""
        affine, emit = weight.encoding, self.writer.emit
        assert isinstance(affine, Affine)
        shape = rows, columns = affine.shape
        per_block = self.writer.integers(rows, -(-columns // BLOCK))
        parameters = [self.expander.scale(weight)]
        if common_zero(unsigned(affine)[1]) != 128:  # what MatMulNBits takes for granted
            parameters.append(self.expander.zero_point(weight))
        column = self.writer.integers(-1, 1)
        parameters = [emit("Expand", emit("Reshape", p, column), per_block) for p in parameters]
        codes = emit("Transpose", self.expander.codes(weight), perm=[1, 0])
        return self._by_blocks(x, codes, parameters, shape, 8, BLOCK)

    def _by_blocks(
        self,
        x: ir.Value,
        packed: ir.Value,
        parameters: list[ir.Value],
        shape: tuple[int, ...],
        bits: int,
        block: int,
    ) -> ir.Value:
        """MatMulNBits with packed rows, which are filled up to whole blocks here."""
        (rows, columns), block_bytes = shape, block * bits // 8
        blocks = -(-columns // block)
        missing = blocks * block_bytes - -(-columns * bits // 8)
        if missing:
            packed = self.writer.emit("Pad", packed, self.writer.integers(0, 0, 0, missing))
        packed = self.writer.emit(
            "Reshape", packed, self.writer.integers(rows, blocks, block_bytes)
        )
        sizes = {"K": columns, "N": rows, "bits": bits, "block_size": block}
        return self.writer.emit_contrib(
            "MatMulNBits", x, packed, *parameters, **sizes, accuracy_level=ACTIVATIONS_INT8
        )
