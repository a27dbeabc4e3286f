"""Writes operators, constants and stored weights into an ONNX graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from litecompress.encoding import Array

PREFIX = "litecompress."  # of a stored weight's initializers
CONTRIB = "com.microsoft"


class GraphWriter:
    """Adds to one graph, before the node `before`; `stored` has every weight's arrays by name."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.before: ir.Node = graph[0]
        self.stored: dict[str, ir.Value] = {}

    def weight(self, name: str, array: Array) -> ir.Value:
        """A weight's array, made once a graph; it goes into the file that the graphs share."""
        if name not in self.stored:
            self.stored[name] = self._initializer(PREFIX + name, array)
        return self.stored[name]

    def constant(self, array: NDArray[np.generic] | np.generic) -> ir.Value:
        """A small constant of the graph itself, one for equal ones."""
        array = np.asarray(array)
        text = "x".join(map(str, array.shape)) + "_" + "_".join(map(str, array.ravel().tolist()))
        name = f"const_{array.dtype}_{text}"
        return self.graph.initializers.get(name) or self._initializer(name, array)

    def integers(self, *values: int) -> ir.Value:
        """A constant int64 vector: a shape, axes, a range."""
        return self.constant(np.array(values, np.int64))

    def emit(self, op_type: str, *inputs: ir.Value, **attributes: object) -> ir.Value:
        """The output of a new standard operator."""
        return self._insert(op_type, inputs, attributes)[0]

    def emit_three(self, op_type: str, *inputs: ir.Value) -> tuple[ir.Value, ...]:
        """The three outputs of a new standard operator."""
        return self._insert(op_type, inputs, {}, outputs=3)

    def emit_contrib(self, op_type: str, *inputs: ir.Value, **attributes: object) -> ir.Value:
        """The output of a new operator that only ONNX Runtime has."""
        return self._insert(op_type, inputs, attributes, CONTRIB)[0]

    def _insert(
        self,
        op_type: str,
        inputs: Sequence[ir.Value],
        attributes: Mapping[str, object],
        domain: str = "",
        outputs: int = 1,
    ) -> tuple[ir.Value, ...]:
        node = ir.node(op_type, inputs, attributes, domain=domain, num_outputs=outputs)  # type: ignore[arg-type]
        self.graph.insert_before(self.before, node)
        return tuple(node.outputs)

    def _initializer(self, name: str, array: Array) -> ir.Value:
        tensor = ir.tensor(np.asarray(array), name=name)
        value = ir.Value(
            name=name,
            const_value=tensor,
            shape=tensor.shape,  # type: ignore[arg-type]
            type=ir.TensorType(tensor.dtype),
        )
        self.graph.register_initializer(value)
        return value
