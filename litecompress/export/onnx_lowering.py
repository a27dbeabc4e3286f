"""Lower symbolic `Linear` and `Embedding` nodes to standard operators on stored weights.

A matrix (out, in) that any graph multiplies with is stored transposed, (in, out), so that MatMul
takes it as it is; a look-up of the same table gathers columns of that one copy.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from litecompress.encoding import Affine, Encoding, Palette, Sparse
from litecompress.export.conv_branch import DOMAIN

ZERO_POINT = 128  # uint8 weights: x86 without VNNI saturates on int8, see docs/targets.md


class Lowering:
    """Rewrites one graph; `multiplied` names the weights that some graph multiplies with."""

    def __init__(
        self, graph: ir.Graph, weights: Mapping[str, Encoding], multiplied: frozenset[str]
    ) -> None:
        self.graph, self.weights, self.multiplied = graph, weights, multiplied
        self.quantized_inputs: dict[ir.Value, tuple[ir.Value, ...]] = {}
        self.before: ir.Node | None = None

    def run(self) -> None:
        """Replace every symbolic weight node; what it used to read is left to dead-code removal."""
        for node in list(self.graph):
            if node.domain != DOMAIN or node.op_type not in ("Linear", "Embedding"):
                continue
            self.before = node
            lower = self._linear if node.op_type == "Linear" else self._embedding
            result, old = lower(node), node.outputs[0]
            result.name, result.shape, result.type = old.name, old.shape, old.type
            ir.convenience.replace_all_uses_with(old, result, replace_graph_outputs=True)
            self.graph.remove(node, safe=True)

    def _linear(self, node: ir.Node) -> ir.Value:
        x, weight, *bias = node.inputs
        assert x is not None and weight is not None
        name = weight_name(weight)
        match self.weights[name]:
            case Affine() as affine:
                y = self._integer_matmul(x, name, affine)
            case Palette() | Sparse(_, Palette()):
                y = self._emit("MatMul", x, self._from_codebook(name, self._indices(name)))
            case dense:
                matrix = np.ascontiguousarray(dense.decode().T)
                y = self._emit("MatMul", x, self._constant(name, matrix))
        return self._emit("Add", y, bias[0]) if bias and bias[0] is not None else y

    def _integer_matmul(self, x: ir.Value, name: str, affine: Affine) -> ir.Value:
        """The pattern that runtimes fuse into one dynamically quantized product."""
        if x not in self.quantized_inputs:
            self.quantized_inputs[x] = self._emit_many("DynamicQuantizeLinear", [x], 3)
        values, x_scale, x_zero = self.quantized_inputs[x]
        weight, scale, zero = self._grid(name, affine)
        product = self._emit("MatMulInteger", values, weight, x_zero, zero)
        product = self._emit("Cast", product, to=ir.DataType.FLOAT)
        return self._emit("Mul", product, self._emit("Mul", x_scale, scale))

    def _embedding(self, node: ir.Node) -> ir.Value:
        table, ids = node.inputs
        assert table is not None and ids is not None
        name = weight_name(table)
        match self.weights[name]:
            case Affine() as affine:
                weight, scale, _ = self._grid(name, affine)
                rows = self._emit("Cast", self._rows(name, weight, ids), to=ir.DataType.FLOAT)
                rows = self._emit("Sub", rows, self._constant("zero_point", np.float32(ZERO_POINT)))
                scales = self._emit("Gather", scale, ids)
                last = self._constant("last_axis", np.array([-1], np.int64))
                return self._emit("Mul", rows, self._emit("Unsqueeze", scales, last))
            case Palette() | Sparse(_, Palette()):
                return self._from_codebook(name, self._rows(name, self._indices(name), ids))
            case dense:
                matrix = self._oriented(name, dense.decode())
                return self._rows(name, self._constant(name, matrix), ids)

    def _rows(self, name: str, table: ir.Value, ids: ir.Value) -> ir.Value:
        """Look up ids (B, T) in a table stored (V, D) or transposed."""
        if name not in self.multiplied:
            return self._emit("Gather", table, ids)
        columns = self._emit("Gather", table, ids, axis=1)  # (D, B, T)
        return self._emit("Transpose", columns, perm=[1, 2, 0])

    def _grid(self, name: str, affine: Affine) -> tuple[ir.Value, ir.Value, ir.Value]:
        """Weight as uint8, its scales and zero points, one an output channel."""
        values = (affine.values.astype(np.int16) + ZERO_POINT).astype(np.uint8)
        zeros = np.full(len(affine.scale), ZERO_POINT, np.uint8)
        return (
            self._constant(name, self._oriented(name, values)),
            self._constant(name + ".scale", affine.scale.astype(np.float32)),
            self._constant(name + ".zero_point", zeros),
        )

    def _indices(self, name: str) -> ir.Value:
        """Codes (in, out) as uint8; of a sparse weight 0 is the zero."""
        match self.weights[name]:
            case Sparse(mask, Palette(indices)):
                codes = np.zeros(mask.shape, np.uint8)
                codes[mask] = indices + 1
            case Palette(indices):
                codes = indices
            case other:
                raise TypeError(type(other))
        return self._constant(name, self._oriented(name, codes))

    def _from_codebook(self, name: str, indices: ir.Value) -> ir.Value:
        encoding = self.weights[name]
        sparse = isinstance(encoding, Sparse)
        palette = encoding.values if isinstance(encoding, Sparse) else encoding
        assert isinstance(palette, Palette)
        codebook = palette.codebook.astype(np.float32)
        if sparse:
            codebook = np.concatenate([[np.float32(0)], codebook])
        codebook_value = self._constant(name + ".codebook", codebook)
        return self._emit(
            "Gather", codebook_value, self._emit("Cast", indices, to=ir.DataType.INT32)
        )

    def _oriented(self, name: str, matrix: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.ascontiguousarray(matrix.T if name in self.multiplied else matrix)

    def _constant(self, name: str, array: NDArray[np.generic] | np.generic) -> ir.Value:
        """An initializer of that name, made once a graph."""
        known = self.graph.initializers.get("litecompress." + name)
        if known is not None:
            return known
        tensor = ir.tensor(np.asarray(array), name="litecompress." + name)
        value = ir.Value(
            name=tensor.name,
            const_value=tensor,
            shape=tensor.shape,  # type: ignore[arg-type]
            type=ir.TensorType(tensor.dtype),
        )
        self.graph.register_initializer(value)
        return value

    def _emit(self, op_type: str, *inputs: ir.Value, **attributes: object) -> ir.Value:
        return self._emit_many(op_type, inputs, 1, **attributes)[0]

    def _emit_many(
        self,
        op_type: str,
        inputs: list[ir.Value] | tuple[ir.Value, ...],
        outputs: int,
        **attributes: object,
    ) -> tuple[ir.Value, ...]:
        node = ir.node(op_type, inputs, attributes, num_outputs=outputs)  # type: ignore[arg-type]
        assert self.before is not None
        self.graph.insert_before(self.before, node)
        return tuple(node.outputs)


def weight_name(value: ir.Value) -> str:
    """The artifact's name of a traced weight."""
    assert value.name is not None
    return value.name.removeprefix("model.")


def multiplied_weights(graphs: list[ir.Graph]) -> frozenset[str]:
    """Names of all weights that some Linear multiplies with."""
    return frozenset(
        weight_name(node.inputs[1])  # type: ignore[arg-type]
        for graph in graphs
        for node in graph
        if node.domain == DOMAIN and node.op_type == "Linear"
    )
