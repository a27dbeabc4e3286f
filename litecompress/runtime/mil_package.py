"""What an `.mlpackage` holds, read with every length and offset checked.

A program is a protobuf message (MIL.proto); larger constants are in a file of weights beside it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litecompress.backends import load_backend
from litecompress.errors import InputError

proto = load_backend("coremltools.proto")

Array = NDArray[Any]
MODEL = "Data/com.apple.CoreML/model.mlmodel"
WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"
MOST_BYTES = 2**28  # of a program without its weights
HEADER = struct.Struct("<IIQQQ32x")  # sentinel, type, bytes, where they begin, bits of padding
SENTINEL = 0xDEADBEEF
STORAGE_TYPES = {  # of an array in the file of weights
    **{1: "FLOAT16", 2: "FLOAT32", 3: "UINT8", 4: "INT8", 6: "INT16", 7: "UINT16", 8: "INT4"},
    **{9: "UINT1", 10: "UINT2", 11: "UINT4", 12: "UINT3", 13: "UINT6", 14: "INT32", 15: "UINT32"},
}
TYPES = {
    "BOOL": np.dtype(bool),
    "STRING": np.dtype(str),
    **{f"FLOAT{bits}": np.dtype(f"float{bits}") for bits in (16, 32, 64)},
    **{f"INT{bits}": np.dtype(f"int{max(8, bits)}") for bits in (4, 8, 16, 32, 64)},
    **{f"UINT{bits}": np.dtype(f"uint{max(8, bits)}") for bits in (1, 2, 3, 4, 6, 8, 16, 32, 64)},
}


@dataclass(frozen=True)
class Tensor:
    """A type as a program declares it; integers of fewer than 8 bits are bytes in NumPy."""

    kind: str
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        return TYPES[self.kind]

    @property
    def bits(self) -> int:
        """Bits of an element in the file of weights."""
        return int(re.sub(r"\D", "", self.kind) or 8)


class Package:
    """The functions of a package by name; an InputError for one that is missing or damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_dir():
            raise InputError(f"expected a Core ML package, got nothing at {path}; export it first")
        self.functions: Mapping[str, Any] = self._program().functions
        self._weights = self._memory(path / WEIGHTS)

    def operations(self, function: str) -> Any:
        """A function's operators, in their order."""
        return self._block(function).operations

    def outputs(self, function: str) -> list[str]:
        """The names of what a function gives."""
        return list(self._block(function).outputs)

    def inputs(self, function: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What a function takes, and what it keeps as states."""
        given: dict[str, Tensor] = {}
        states: dict[str, Tensor] = {}
        for value in self.functions[function].inputs:
            if value.type.WhichOneof("type") == "stateType":
                states[value.name] = tensor_of(value.type.stateType.wrappedType)
            else:
                given[value.name] = tensor_of(value.type)
        return given, states

    def value(self, value: Any) -> Any:
        """A constant: an array, or for a scalar its Python value."""
        tensor = tensor_of(value.type)
        if value.WhichOneof("value") == "blobFileValue":
            return self._array(value.blobFileValue.offset, tensor)
        return _immediate(value.immediateValue.tensor, tensor)

    def _program(self) -> Any:
        path = self.path / MODEL
        size = path.stat().st_size if path.is_file() else -1
        if not 0 <= size <= MOST_BYTES:
            got = "none" if size < 0 else f"{size} bytes"
            raise InputError(
                f"{path}: expected a program of at most {MOST_BYTES} bytes, got {got}; export again"
            )
        try:
            model = proto.Model_pb2.Model.FromString(path.read_bytes())
        except Exception as error:  # protobuf's own, which depends on its implementation
            raise InputError(
                f"{path}: expected a Core ML model, got damaged content ({error}); export again"
            ) from error
        if model.WhichOneof("Type") != "mlProgram" or not model.mlProgram.functions:
            raise InputError(f"{path}: expected an ML program, got another model; export again")
        return model.mlProgram

    def _block(self, function: str) -> Any:
        own = self.functions[function]
        if own.opset not in own.block_specializations:
            raise InputError(f"{self.path}: expected operators in {function}, got none")
        return own.block_specializations[own.opset]

    def _memory(self, path: Path) -> Array:
        if not path.is_file() or not path.stat().st_size:
            raise InputError(f"{path}: expected the weights of a program, got none; export again")
        return np.memmap(path, np.uint8, "r")

    def _array(self, offset: int, tensor: Tensor) -> Array:
        """The array whose header is at `offset`, which has to agree with the program."""
        content, count = self._weights, prod(tensor.shape)
        if not 0 <= offset <= len(content) - HEADER.size:
            raise self._damaged(f"an array at {offset} of {len(content)} bytes")
        header = content[offset : offset + HEADER.size].tobytes()
        sentinel, kind, size, start, _ = HEADER.unpack(header)
        if sentinel != SENTINEL or STORAGE_TYPES.get(kind) != tensor.kind:
            raise self._damaged(f"no {tensor.kind} array at {offset}")
        if size != (count * tensor.bits + 7) // 8 or start + size > len(content):
            raise self._damaged(f"{size} bytes at {start} for {count} values of {tensor.kind}")
        return unpacked(content[start : start + size], tensor)

    def _damaged(self, got: str) -> InputError:
        return InputError(
            f"{self.path / WEIGHTS}: expected the weights of the program, got {got}; export again"
        )


def tensor_of(kind: Any) -> Tensor:
    """A tensor's type from its message; an InputError where a shape is not fixed."""
    which = kind.WhichOneof("type")
    if which != "tensorType":
        return Tensor("STRING", ())
    dimensions = kind.tensorType.dimensions
    if any(d.WhichOneof("dimension") != "constant" for d in dimensions):
        raise InputError("expected a Core ML program of fixed shapes, got one with flexible shapes")
    name = proto.MIL_pb2.DataType.Name(kind.tensorType.dataType)
    if name not in TYPES:
        raise InputError(f"expected values of types {', '.join(TYPES)}, got {name}")
    return Tensor(name, tuple(d.constant.size for d in dimensions))


def unpacked(content: Array, tensor: Tensor) -> Array:
    """Bytes as an array; integers of fewer than 8 bits are packed, lowest bits first."""
    if tensor.bits >= 8:
        return content.view(tensor.dtype).reshape(tensor.shape)
    count, bits = prod(tensor.shape), tensor.bits
    single = np.unpackbits(content, count=count * bits, bitorder="little").reshape(count, bits)
    values: Array = single @ (1 << np.arange(bits)).astype(np.uint8)
    if tensor.kind == "INT4":
        values = (values ^ 8).astype(np.int8) - 8
    return values.astype(tensor.dtype).reshape(tensor.shape)


def _immediate(value: Any, tensor: Tensor) -> Any:
    """A constant within the graph."""
    which = value.WhichOneof("value")
    content: Any = getattr(value, which).values if which else ()
    if which == "bytes":
        found = np.frombuffer(content, np.uint8)
        if len(found) != (prod(tensor.shape) * tensor.bits + 7) // 8:
            raise InputError(f"expected {prod(tensor.shape)} constants, got {len(found)} bytes")
        array = unpacked(found, tensor)
    else:
        found = np.array(list(content), tensor.dtype if tensor.kind != "STRING" else None)
        if found.size != prod(tensor.shape):
            raise InputError(f"expected {prod(tensor.shape)} constants, got {found.size}")
        array = found.reshape(tensor.shape)
    return array if tensor.shape else array.item()
