"""The `.tflite` file: which matrices and operators it holds, and how to write it small."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litecompress.backends import load_backend

schema = load_backend("ai_edge_litert.schema_py_generated")
flatbuffer_utils = load_backend("ai_edge_litert.tools.flatbuffer_utils")
_Builder: Any = load_backend("flatbuffers").Builder

MATRIX_READERS = ("FULLY_CONNECTED", "EMBEDDING_LOOKUP")  # both take their matrix as input 1
ALIGN_BYTES = 16  # of constants, as the schema demands
_TYPES = {schema.TensorType.FLOAT32: np.float32, schema.TensorType.INT8: np.int8}
_BUILTIN_NAMES = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}


@dataclass
class Matrix:
    """A constant that linear layers or look-ups read: float32 or int8, stored once.

    `readers` has each operator's type and the name of its output, in all signatures.
    """

    values: NDArray[Any]
    readers: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_quantized(self) -> bool:
        """Whether it is stored in 8 bits."""
        return self.values.dtype == np.int8


def read(content: bytes) -> Any:
    """The file as the schema's mutable `ModelT`."""
    return flatbuffer_utils.read_model_from_bytearray(content)


def count_operators(model: Any) -> dict[str, int]:
    """Operator types of all signatures together, counted."""
    counts = Counter(_kind(model, op) for graph in model.subgraphs for op in graph.operators)
    return dict(sorted(counts.items()))


def matrices(model: Any) -> list[Matrix]:
    """Every stored weight matrix, also those that pass through a DEQUANTIZE."""
    found: dict[int, Matrix] = {}
    for graph in model.subgraphs:
        expanded = {
            op.outputs[0]: op.inputs[0]
            for op in graph.operators
            if _kind(model, op) == "DEQUANTIZE"
        }
        for op in graph.operators:
            if (kind := _kind(model, op)) not in MATRIX_READERS:
                continue
            tensor = graph.tensors[expanded.get(op.inputs[1], op.inputs[1])]
            data = model.buffers[tensor.buffer].data
            if data is None:
                continue
            values = np.frombuffer(data, _TYPES[tensor.type]).reshape(tensor.shape)
            output = (graph.tensors[op.outputs[0]].name or b"").decode()
            found.setdefault(tensor.buffer, Matrix(values)).readers.append((kind, output))
    return list(found.values())


def quantized_byte_share(stored: list[Matrix]) -> float:
    """Share of the matrices, by size in float32, that the file holds in 8 bits."""
    total = sum(m.values.size for m in stored)
    return sum(m.values.size for m in stored if m.is_quantized) / total if total else 0.0


def pack(model: Any) -> bytes:
    """Write the file, equal vectors once and inner tensors without a name; `model` is changed."""
    for tensor, is_inner in _tensors(model):
        tensor.name = None if is_inner else tensor.name
        tensor.shape = np.asarray(tensor.shape, np.int32)
        if tensor.quantization is not None and tensor.quantization.scale is None:
            tensor.quantization = None
    for op in (op for graph in model.subgraphs for op in graph.operators):
        op.inputs, op.outputs = np.asarray(op.inputs, np.int32), np.asarray(op.outputs, np.int32)
    builder = _SharingBuilder(sum(len(b.data) for b in model.buffers if b.data is not None))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


class _SharingBuilder(_Builder):  # type: ignore[misc]
    """Writes a vector that it has written before as a reference; scales and zero points repeat."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: NDArray[Any]) -> int:  # noqa: N802
        content = x.tobytes()
        key = (x.dtype.str, content)
        if key not in self.written:
            alignment = ALIGN_BYTES if x.dtype == np.uint8 else x.itemsize
            self.StartVector(x.itemsize, x.size, alignment)
            self.head -= len(content)
            self.Bytes[self.head : self.head + len(content)] = content
            self.vectorNumElems = x.size
            self.written[key] = self.EndVector()
        return self.written[key]


def _tensors(model: Any) -> Iterator[tuple[Any, bool]]:
    """Every tensor, and whether it is neither input nor output of its signature."""
    for graph in model.subgraphs:
        outer = {*graph.inputs, *graph.outputs}
        yield from ((tensor, i not in outer) for i, tensor in enumerate(graph.tensors))


def _kind(model: Any, op: Any) -> str:
    return str(_BUILTIN_NAMES[model.operatorCodes[op.opcodeIndex].builtinCode])
