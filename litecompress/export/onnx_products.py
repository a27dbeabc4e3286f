"""Products with stored matrices, in the forms that ONNX Runtime has fast kernels for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from litecompress.encoding import Affine
from litecompress.export.onnx_expand import Expander
from litecompress.export.onnx_grids import common_zero, is_blockwise, is_integer_grid, unsigned
from litecompress.export.onnx_stored import StoredWeight
from litecompress.export.onnx_writer import CONTRIB, FLOAT, Value

Activations = Literal["per_tensor", "per_block"]
BLOCK = 128  # neighbours in a row of activations that share a scale, with weights of 8 bits
IMPLIED_ZERO = 128  # zero point of 8 bits that MatMulNBits takes for granted
ACTIVATIONS_INT8 = 4  # accuracy_level of MatMulNBits; where a CPU has no such kernel, float32


class _Blocks(NamedTuple):
    """What MatMulNBits takes: rows packed, and a scale and maybe a zero point for each block."""

    packed: Value
    parameters: Sequence[Value]
    bits: int
    size: int


class Products:
    """Multiplies activations with weights of one graph.

    Matrices that go the same way and multiply the same activations are joined, row after row,
    when the model is loaded: one product computes them all.
    """

    def __init__(self, expander: Expander, activations: Activations) -> None:
        self.writer, self.expander, self.activations = expander.writer, expander, activations
        self._quantized: dict[Value, tuple[Value, ...]] = {}

    def product(
        self, x: Value, weights: Sequence[StoredWeight], biases: Sequence[StoredWeight] = ()
    ) -> Value:
        """X (.., in) times matrices (out, in), and biases (out,) added, to (.., sum of outs).

        It is computed in integers where matrices are on a grid.
        """
        if len({_way(weight) for weight in weights}) > 1:
            own = [biases[i : i + 1] for i in range(len(weights))]
            apart = [self.product(x, [w], b) for w, b in zip(weights, own, strict=True)]
            return self.writer.emit("Concat", *apart, axis=-1)
        bias = self._joined([self.expander.floats(b) for b in biases], axis=0) if biases else ""
        if is_blockwise(weights[0].encoding):
            return self._by_blocks(x, weights, self._nibbles(weights), bias)
        if not is_integer_grid(weights[0].encoding):
            columns = [self._columns(weight) for weight in weights]
            return self._plus(self.writer.emit("MatMul", x, self._joined(columns, axis=1)), bias)
        if self.activations == "per_block":
            return self._by_blocks(x, weights, self._bytes(weights), bias)
        return self._plus(self._integers(x, weights), bias)

    def _columns(self, weight: StoredWeight) -> Value:
        """A matrix in float32, (in, out)."""
        floats = self.expander.floats(weight)
        if weight.turned:
            return floats
        return self.writer.emit("Transpose", floats, perm=[1, 0])  # bands are stored as rows

    def _integers(self, x: Value, weights: Sequence[StoredWeight]) -> Value:
        """The pattern that runtimes fuse into one dynamically quantized product."""
        emit = self.writer.emit
        if x not in self._quantized:
            self._quantized[x] = self.writer.emit_several(3, "DynamicQuantizeLinear", x)
        values, x_scale, x_zero = self._quantized[x]
        codes, zero = self._codes(weights), self._zeros(weights)
        product = emit("MatMulInteger", values, codes, x_zero, zero)
        product = emit("Cast", product, to=FLOAT)
        return emit("Mul", product, emit("Mul", x_scale, self._scales(weights)))

    def _codes(self, weights: Sequence[StoredWeight]) -> Value:
        """Codes of grids, (in, sum of outs)."""
        return self._joined([self.expander.codes(w) for w in weights], axis=1)

    def _scales(self, weights: Sequence[StoredWeight]) -> Value:
        """A scale for all columns or one each."""
        scales = [(w, self.expander.scale(w)) for w in weights]
        if len(scales) == 1:
            return scales[0][1]
        single = [w.arrays[".scale"].size == 1 for w in weights]
        return self._joined([self._spread(w, s, single[i]) for i, (w, s) in enumerate(scales)], 0)

    def _zeros(self, weights: Sequence[StoredWeight]) -> Value:
        """A zero point for all columns or one each."""
        zeros = [(w, self.expander.zero_point(w)) for w in weights]
        if len({zero for _, zero in zeros}) == 1:
            return zeros[0][1]
        return self._joined(
            [self._spread(w, z, ".zero_point" not in w.arrays) for w, z in zeros], 0
        )

    def _spread(self, weight: StoredWeight, parameter: Value, single: bool) -> Value:
        """Parameters of a grid, one for each output."""
        if not single:
            return parameter
        return self.writer.emit("Expand", parameter, self.writer.integers(weight.encoding.shape[0]))

    def _nibbles(self, weights: Sequence[StoredWeight]) -> _Blocks:
        """Blocks of 4 bits as they are stored."""
        affine = weights[0].encoding
        assert isinstance(affine, Affine)
        parameters = [self._joined([self.expander.scale(w) for w in weights], axis=0)]
        if ".zero_point" in weights[0].arrays:
            parameters.append(self._joined([self.expander.zero_point(w) for w in weights], axis=0))
        packed = self._joined([self.expander.array(w) for w in weights], axis=0)
        return _Blocks(packed, parameters, 4, affine.group_size)

    def _bytes(self, weights: Sequence[StoredWeight]) -> _Blocks:
        """Codes of 8 bits in blocks that all have their row's scale."""
        emit, (rows, columns) = self.writer.emit, _shape(weights)
        parameters = [self._scales(weights)]
        if {_zero(weight) for weight in weights} != {IMPLIED_ZERO}:
            parameters.append(self._zeros(weights))
        column, blocks = (
            self.writer.integers(-1, 1),
            self.writer.integers(rows, -(-columns // BLOCK)),
        )
        parameters = [emit("Expand", emit("Reshape", p, column), blocks) for p in parameters]
        codes = emit("Transpose", self._codes(weights), perm=[1, 0])
        return _Blocks(codes, parameters, 8, BLOCK)

    def _by_blocks(
        self, x: Value, weights: Sequence[StoredWeight], blocks: _Blocks, bias: Value
    ) -> Value:
        """MatMulNBits with packed rows, which are filled up to whole blocks here."""
        (rows, columns), writer = _shape(weights), self.writer
        count, block_bytes = -(-columns // blocks.size), blocks.size * blocks.bits // 8
        missing, packed = count * block_bytes - -(-columns * blocks.bits // 8), blocks.packed
        if missing:
            packed = writer.emit("Pad", packed, writer.integers(0, 0, 0, missing))
        packed = writer.emit("Reshape", packed, writer.integers(rows, count, block_bytes))
        inputs = [x, packed, *blocks.parameters]
        if bias:
            inputs += [""] * (5 - len(inputs)) + [bias]
        sizes = {"K": columns, "N": rows, "bits": blocks.bits, "block_size": blocks.size}
        return writer.emit_of(
            CONTRIB, "MatMulNBits", *inputs, **sizes, accuracy_level=ACTIVATIONS_INT8
        )

    def _plus(self, product: Value, bias: Value) -> Value:
        return self.writer.emit("Add", product, bias) if bias else product

    def _joined(self, parts: Sequence[Value], axis: int) -> Value:
        return parts[0] if len(parts) == 1 else self.writer.emit("Concat", *parts, axis=axis)


def in_integers(weight: StoredWeight) -> bool:
    """Whether products with a matrix are computed in integers."""
    return is_blockwise(weight.encoding) or is_integer_grid(weight.encoding)


def _way(weight: StoredWeight) -> tuple[object, ...]:
    """What matrices must have in common to be multiplied as one."""
    affine = weight.encoding
    if isinstance(affine, Affine) and is_blockwise(affine):
        return affine.group_size, ".zero_point" in weight.arrays
    return (is_integer_grid(affine),)


def _shape(weights: Sequence[StoredWeight]) -> tuple[int, int]:
    """Rows and columns of matrices joined row after row."""
    return sum(w.encoding.shape[0] for w in weights), weights[0].encoding.shape[1]


def _zero(weight: StoredWeight) -> int | None:
    """The one zero point of a grid, None where it has several."""
    assert isinstance(weight.encoding, Affine)
    return common_zero(unsigned(weight.encoding)[1])
