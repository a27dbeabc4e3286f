"""Writes operators, constants and stored weights of one ONNX graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from litecompress.encoding import Array

Value = str  # the name of a tensor in a graph

PREFIX = "litecompress."  # of a stored weight's initializers
CONTRIB = "com.microsoft"
LONGEST_IN_A_NAME = 16  # numbers of a constant
FLOAT, INT32, INT64 = int(TensorProto.FLOAT), int(TensorProto.INT32), int(TensorProto.INT64)


class GraphWriter:
    """One graph; nodes stand in the order that they are written, which is one they can run in."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.inputs: list[ValueInfoProto] = []
        self.outputs: list[ValueInfoProto] = []
        self.constants: dict[Value, TensorProto] = {}
        self.stored: dict[Value, Array] = {}  # what goes into the file that graphs share
        self._scope = ""
        self._names: Counter[str] = Counter()
        self._renamed: dict[Value, Value] = {}

    @contextmanager
    def scope(self, name: str) -> Iterator[str]:
        """Begin the names of nodes written meanwhile with this."""
        outer, self._scope = self._scope, name
        yield name
        self._scope = outer

    def input(self, name: str, kind: int, *sizes: int | str) -> Value:
        """An input of the graph; sizes in words are free, and equal where the words are."""
        self.inputs.append(helper.make_tensor_value_info(name, kind, sizes))
        return name

    def output(self, value: Value, name: str, *sizes: int | str) -> None:
        """Give out a value, computed here and given out once, as floats under a name."""
        self.outputs.append(helper.make_tensor_value_info(name, FLOAT, sizes))
        self._renamed[value] = name

    def weight(self, name: str, array: Array) -> Value:
        """A weight's array, stored once however often it is read."""
        self.stored[PREFIX + name] = array
        return PREFIX + name

    def constant(self, array: NDArray[np.generic] | np.generic, name: str = "") -> Value:
        """A small constant of the graph itself, one for equal ones; long ones need a name."""
        array = np.asarray(array)
        if not name:
            assert array.size <= LONGEST_IN_A_NAME
            numbers = [*array.shape, "", *array.ravel().tolist()]
            name = f"const_{array.dtype}_" + "_".join(map(str, numbers))
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(array, name)
        return name

    def integers(self, *values: int) -> Value:
        """A constant int64 vector: a shape, axes, a range."""
        return self.constant(np.array(values, np.int64))

    def shape(self, *sizes: int | Value) -> Value:
        """A vector of sizes, each known or a vector of one."""
        known = [size for size in sizes if isinstance(size, int)]
        if len(known) == len(sizes):
            return self.integers(*known)
        parts = [self.integers(size) if isinstance(size, int) else size for size in sizes]
        return self.emit("Concat", *parts, axis=0)

    def size(self, value: Value, axis: int) -> Value:
        """How long a tensor is along an axis, as a vector of one."""
        return self.emit("Shape", value, start=axis, end=axis + 1)

    def emit(self, op_type: str, *inputs: Value, **attributes: object) -> Value:
        """The output of a new standard operator."""
        return self._add(op_type, inputs, attributes)[0]

    def emit_several(
        self, count: int, op_type: str, *inputs: Value, **attributes: object
    ) -> tuple[Value, ...]:
        """The outputs of a new standard operator."""
        return self._add(op_type, inputs, attributes, outputs=count)

    def emit_of(self, domain: str, op_type: str, *inputs: Value, **attributes: object) -> Value:
        """The output of a new operator of another domain; an input left out is an empty name."""
        return self._add(op_type, inputs, attributes, domain)[0]

    def finished(self) -> list[NodeProto]:
        """The nodes, once outputs have got their names."""
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [self._renamed.get(name, name) for name in names]
        return self.nodes

    def _add(
        self,
        op_type: str,
        inputs: Sequence[Value],
        attributes: Mapping[str, object],
        domain: str = "",
        outputs: int = 1,
    ) -> tuple[Value, ...]:
        name = f"{self._scope}/{op_type}" if self._scope else op_type
        self._names[name] += 1
        if self._names[name] > 1:
            name += f"_{self._names[name]}"
        made = (name, *(f"{name}.{i}" for i in range(1, outputs)))
        node = helper.make_node(op_type, inputs, made, name, domain=domain, **attributes)  # type: ignore[arg-type]
        self.nodes.append(node)
        return made


class FunctionWriter(GraphWriter):
    """The body of a model-local function, whose constants are nodes."""

    def constant(self, array: NDArray[np.generic] | np.generic, name: str = "") -> Value:
        known = set(self.constants)
        name = super().constant(array, name)
        if name not in known:
            tensor = self.constants[name]
            tensor.ClearField("name")
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        return name
