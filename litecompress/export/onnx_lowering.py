"""Lower symbolic `Linear` and `Embedding` nodes to operators of ONNX Runtime on stored weights.

A matrix (out, in) that any graph multiplies with is stored turned, (in, out), so that MatMul takes
it as it is; a look-up of the same table gathers columns of that one copy. MatMulNBits and
GatherBlockQuantized take rows, so 4-bit blocks are stored as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx_ir as ir

from litecompress.encoding import Encoding
from litecompress.export.conv_branch import DOMAIN
from litecompress.export.onnx_expand import Expander
from litecompress.export.onnx_lookups import LookUps
from litecompress.export.onnx_products import Activations, Products
from litecompress.export.onnx_stored import StoredWeight
from litecompress.export.onnx_writer import GraphWriter


class Lowering:
    """Rewrites one graph with weights that are stored."""

    def __init__(
        self,
        graph: ir.Graph,
        weights: Mapping[str, StoredWeight],
        activations: Activations = "per_tensor",
    ) -> None:
        self.graph, self.weights = graph, weights
        self.writer = GraphWriter(graph)
        self.expander = Expander(self.writer)
        self.products = Products(self.expander, activations)
        self.look_ups = LookUps(self.expander)

    def run(self) -> None:
        """Replace every traced weight; what is no longer read is left to dead-code removal."""
        for node in list(self.graph):
            self.writer.before = node
            if (node.domain, node.op_type) == (DOMAIN, "Linear"):
                self._replace(node, self._linear(node))
            elif (node.domain, node.op_type) == (DOMAIN, "Embedding"):
                table, ids = node.inputs
                assert ids is not None
                self._replace(node, self.look_ups.rows(self._weight(table), ids))
            else:
                self._replace_inputs(node)

    def _replace(self, node: ir.Node, result: ir.Value) -> None:
        old = node.outputs[0]
        result.name, result.shape, result.type = old.name, old.shape, old.type
        ir.convenience.replace_all_uses_with(old, result, replace_graph_outputs=True)
        self.graph.remove(node, safe=True)

    def _linear(self, node: ir.Node) -> ir.Value:
        x, matrix, *bias = node.inputs
        assert x is not None
        y = self.products.product(x, self._weight(matrix))
        if not bias or bias[0] is None:
            return y
        return self.writer.emit("Add", y, self.expander.floats(self._weight(bias[0])))

    def _replace_inputs(self, node: ir.Node) -> None:
        """Weights that other operators read, in float32 and in their own order."""
        for i, value in enumerate(node.inputs):
            if (
                value is None
                or not value.is_initializer()
                or weight_name(value) not in self.weights
            ):
                continue
            weight = self._weight(value)
            floats = self.expander.floats(weight)
            if weight.turned:
                floats = self.writer.emit("Transpose", floats, perm=[1, 0])
            node.replace_input_with(i, floats)

    def _weight(self, traced: ir.Value | None) -> StoredWeight:
        assert traced is not None
        return self.weights[weight_name(traced)]


def weight_name(value: ir.Value) -> str:
    """The artifact's name of a traced weight."""
    assert value.name is not None
    return value.name.removeprefix("model.")


def store(planned: Mapping[str, Encoding], graphs: Iterable[ir.Graph]) -> dict[str, StoredWeight]:
    """Every weight as it is stored, matrices in the order that the graphs multiply with."""
    multiplied = {
        weight_name(node.inputs[1])  # type: ignore[arg-type]
        for graph in graphs
        for node in graph
        if (node.domain, node.op_type) == (DOMAIN, "Linear")
    }
    return {
        name: StoredWeight.of(name, encoding, turned=name in multiplied)
        for name, encoding in planned.items()
    }
