"""The `.tflite` file: its schema, which operators it holds, and how to write it small."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litecompress.backends import load_backend

schema = load_backend("ai_edge_litert.schema_py_generated")
_Builder: Any = load_backend("flatbuffers").Builder

ALIGN_BYTES = 16  # of constants, as the schema demands
_BUILTIN_NAMES = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}


def read(content: bytes) -> Any:
    """A file of our own as the schema's mutable `ModelT`."""
    return schema.ModelT.InitFromPackedBuf(content)


def count_operators(model: Any) -> dict[str, int]:
    """Operator types of all graphs together, counted; composites by their own names."""
    counts = Counter(
        operator_name(model, op) for graph in model.subgraphs for op in graph.operators
    )
    return dict(sorted(counts.items()))


def operator_name(model: Any, op: Any) -> str:
    """The name of an operator's type, or that of the composite that it is."""
    kind = str(_BUILTIN_NAMES[model.operatorCodes[op.opcodeIndex].builtinCode])
    if kind != "STABLEHLO_COMPOSITE":
        return kind
    name = op.builtinOptions2.name
    return name.decode() if isinstance(name, bytes) else str(name)


def weight_names(model: Any) -> set[str]:
    """Names of all constants that have one."""
    return {
        tensor.name.decode() if isinstance(tensor.name, bytes) else tensor.name
        for graph in model.subgraphs
        for tensor in graph.tensors
        if tensor.buffer and tensor.name
    }


def pack(model: Any) -> bytes:
    """Write the file, equal vectors and names once; `model` is changed."""
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.shape = np.asarray(tensor.shape, np.int32)
        for op in graph.operators:
            op.inputs = np.asarray(op.inputs, np.int32)
            op.outputs = np.asarray(op.outputs, np.int32)
    builder = _SharingBuilder(sum(len(b.data) for b in model.buffers if b.data is not None))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


class _SharingBuilder(_Builder):  # type: ignore[misc]
    """Writes what it has written before as a reference; scales, zero points and names repeat."""

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

    def CreateString(self, s: Any, *options: Any) -> int:  # noqa: N802
        key = "name", s if isinstance(s, bytes) else s.encode()
        if key not in self.written:
            self.written[key] = super().CreateString(s, *options)
        return self.written[key]
