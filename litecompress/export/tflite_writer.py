"""Writes the graphs of a `.tflite` file: tensors, operators and constants, each constant once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litecompress.export.tflite_file import schema

TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.float16): schema.TensorType.FLOAT16,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.bool_): schema.TensorType.BOOL,
}
LARGEST_SMALL_CODE = 127  # of operators, in the field that old readers know


@dataclass(frozen=True)
class Value:
    """A tensor of the graph that is being written."""

    index: int
    shape: tuple[int, ...]


class FileWriter:
    """One file: graphs that share constants and operator codes."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.description = "litecompress"
        self.model.operatorCodes, self.model.subgraphs, self.model.signatureDefs = [], [], []
        self.model.buffers = [schema.BufferT()]  # the first stands for none
        self._buffers: dict[bytes, int] = {}
        self._codes: dict[tuple[int, int], int] = {}
        self.decompositions: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}

    def buffer(self, content: bytes) -> int:
        """Where these bytes are, which are written once."""
        if content not in self._buffers:
            self._buffers[content] = len(self.model.buffers)
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(content, np.uint8)
            self.model.buffers.append(buffer)
        return self._buffers[content]

    def code(self, kind: str, version: int) -> int:
        """The number of an operator of that kind and version."""
        builtin = getattr(schema.BuiltinOperator, kind)
        key = builtin, version
        if key not in self._codes:
            self._codes[key] = len(self.model.operatorCodes)
            code = schema.OperatorCodeT()
            code.builtinCode, code.version = builtin, version
            code.deprecatedBuiltinCode = min(builtin, LARGEST_SMALL_CODE)
            self.model.operatorCodes.append(code)
        return self._codes[key]


class GraphWriter:
    """One graph of a file, written operator by operator in the order in which they run."""

    def __init__(self, file: FileWriter) -> None:
        self.file = file
        self.index = len(file.model.subgraphs)
        self._graph = schema.SubGraphT()
        self._graph.tensors, self._graph.operators = [], []
        self._graph.inputs, self._graph.outputs = [], []
        file.model.subgraphs.append(self._graph)
        self._constants: dict[Any, Value] = {}
        self._inputs: dict[str, int] = {}

    def input(self, name: str, shape: Sequence[int], dtype: Any = np.float32) -> Value:
        """A tensor that the caller gives."""
        value = self._tensor(shape, TYPES[np.dtype(dtype)], name)
        self._graph.inputs.append(value.index)
        self._inputs[name] = value.index
        return value

    def constant(self, array: NDArray[Any], name: str = "") -> Value:
        """A constant of the graph; equal ones are one."""
        array = np.ascontiguousarray(array)
        return self.stored(TYPES[array.dtype], array.shape, array.tobytes(), name=name)

    def stored(
        self,
        kind: int,
        shape: Sequence[int],
        content: bytes,
        quantization: Any = None,
        name: str = "",
    ) -> Value:
        """A constant of any type, with how its numbers are to be read."""
        key = kind, tuple(shape), content, name, None if quantization is None else id(quantization)
        if key not in self._constants:
            value = self._tensor(shape, kind, name, self.file.buffer(content))
            self._graph.tensors[value.index].quantization = quantization
            self._constants[key] = value
        return self._constants[key]

    def operator(
        self,
        kind: str,
        inputs: Sequence[Value | None],
        shape: Sequence[int],
        options: Any = None,
        *,
        version: int = 1,
        dtype: Any = np.float32,
    ) -> Value:
        """Write an operator with one output, of that shape."""
        value = self._tensor(shape, TYPES[np.dtype(dtype)])
        self.operators(kind, inputs, [value], options, version=version)
        return value

    def operators(
        self,
        kind: str,
        inputs: Sequence[Value | None],
        outputs: Sequence[Value],
        options: Any = None,
        *,
        version: int = 1,
    ) -> None:
        """Write an operator with given outputs."""
        op = schema.OperatorT()
        op.opcodeIndex = self.file.code(kind, version)
        op.inputs = [-1 if value is None else value.index for value in inputs]
        op.outputs = [value.index for value in outputs]
        if options is not None:
            name = type(options).__name__.removesuffix("T")
            if hasattr(schema.BuiltinOptions, name):
                op.builtinOptionsType = getattr(schema.BuiltinOptions, name)
                op.builtinOptions = options
            else:
                op.builtinOptions2Type = getattr(schema.BuiltinOptions2, name)
                op.builtinOptions2 = options
        self._graph.operators.append(op)

    def dtype(self, value: Value) -> Any:
        """The type of a tensor's numbers."""
        kind = self._graph.tensors[value.index].type
        return next(dtype for dtype, code in TYPES.items() if code == kind)

    def empty(self, shape: Sequence[int], dtype: Any = np.float32) -> Value:
        """A tensor for an operator to write."""
        return self._tensor(shape, TYPES[np.dtype(dtype)])

    def finish(self, outputs: Mapping[str, Value], signature: str | None) -> None:
        """Name the outputs; with a signature, callers may run the graph by that name."""
        self._graph.outputs = [value.index for value in outputs.values()]
        for name, value in outputs.items():
            self._graph.tensors[value.index].name = name
        if signature is None:
            return
        entry = schema.SignatureDefT()
        entry.signatureKey, entry.subgraphIndex = signature, self.index
        entry.inputs = [_mapped(name, index) for name, index in self._inputs.items()]
        entry.outputs = [_mapped(name, value.index) for name, value in outputs.items()]
        self.file.model.signatureDefs.append(entry)

    def _tensor(self, shape: Sequence[int], kind: int, name: str = "", buffer: int = 0) -> Value:
        tensor = schema.TensorT()
        tensor.shape, tensor.type = [int(n) for n in shape], kind
        tensor.name, tensor.buffer = name or None, buffer
        self._graph.tensors.append(tensor)
        return Value(len(self._graph.tensors) - 1, tuple(int(n) for n in shape))


def _mapped(name: str, index: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, index
    return entry
