"""How a weight lies in a `.tflite` file, and how the operators of a graph read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from litecompress.encoding import Affine, Dense, Encoding
from litecompress.export.tflite_file import schema
from litecompress.export.tflite_ops import Ops
from litecompress.export.tflite_writer import Value

Activations = Literal["dynamic", "float32"]
FLOAT, INTEGERS, BLOCKS = 5, 12, 13  # versions of FULLY_CONNECTED, by what its weight is
ROWS, INTEGER_ROWS = 1, 4  # the same of EMBEDDING_LOOKUP
EXPANDED = {1: 3, 8: 5, 4: 6}  # versions of DEQUANTIZE: of half precision, of 8 bits, of 4

_Array = NDArray[Any]


@dataclass(frozen=True)
class StoredWeight:
    """The tensor of a weight; `block` 0 for a scale a row or one for all, none for floats.

    Rows of blocks are filled up with zeros to whole blocks.
    """

    kind: int
    values: _Array
    scale: _Array | None = None
    block: int = 0
    bits: int = 0

    @classmethod
    def of(cls, encoding: Encoding) -> StoredWeight:
        """Of an encoding that a plan for TFLite holds."""
        if isinstance(encoding, Dense):
            half = encoding.values.dtype == np.float16
            kind = schema.TensorType.FLOAT16 if half else schema.TensorType.FLOAT32
            return cls(kind, encoding.values)
        assert isinstance(encoding, Affine)
        if encoding.num_bits == 8:
            scale = encoding.scale.astype(np.float32)
            return cls(schema.TensorType.INT8, encoding.values.astype(np.int8), scale, bits=8)
        block = encoding.group_size
        values = encoding.values.astype(np.int8)
        if block:
            values = np.pad(values, ((0, 0), (0, -values.shape[1] % block)))
        scale = encoding.scale.astype(np.float16 if block else np.float32)
        return cls(schema.TensorType.INT4, values, scale, block, bits=4)

    def content(self) -> bytes:
        """The bytes of the values, two to a byte where they have 4 bits."""
        if self.kind != schema.TensorType.INT4:
            return self.values.tobytes()
        nibbles = self.values.ravel().view(np.uint8) & 15
        nibbles = np.pad(nibbles, (0, nibbles.size % 2))
        return (nibbles[::2] | nibbles[1::2] << 4).tobytes()

    def contents(self) -> Iterator[bytes]:
        """Everything that the file stores of it: values and scales."""
        yield self.content()
        if self.scale is not None:
            yield self.scale.tobytes()


class Weights:
    """The weights of one graph, by name."""

    def __init__(
        self,
        ops: Ops,
        planned: Mapping[str, Encoding],
        activations: Activations,
        *,
        integer_lookups: bool = True,
    ) -> None:
        self.ops, self.activations, self.integer_lookups = ops, activations, integer_lookups
        self._planned = planned
        self._tensors: dict[str, Value] = {}
        self._expanded: dict[str, Value] = {}
        self._padded: dict[tuple[int, int], Value] = {}

    def vector(self, name: str) -> Value:
        """A weight that is no matrix, in float32."""
        return self.ops.graph.constant(self._planned[name].decode(), name)

    def linear(self, x: Value, name: str, *, relu: bool = False) -> Value:
        """A linear layer by the name of its weight, with a bias if there is one."""
        bias_name = name.removesuffix("weight") + "bias"
        bias = self.vector(bias_name) if bias_name in self._planned else None
        stored = self._stored(name)
        if stored.block:
            x = self._filled_up(x, stored.values.shape[1])
        if not stored.bits or self.activations == "float32":
            return self.ops.linear(x, self.expanded(name), bias, relu=relu, version=FLOAT)
        weight = self._tensor(name)
        if not stored.block:
            return self.ops.linear(x, weight, bias, relu=relu, version=INTEGERS)
        y = self.ops.linear(x, weight, bias, relu=False, version=BLOCKS)
        return self.ops.unary("RELU", y) if relu else y  # a fused one is forgotten off XNNPACK

    def lookup(self, rows: Value, name: str) -> Value:
        """Rows (n,) of a table, each expanded when it is looked up."""
        stored, width = self._stored(name), self._planned[name].shape[1]
        if not stored.bits or not self.integer_lookups:
            return self.ops.lookup(rows, self.expanded(name), width, version=ROWS)
        table = self._tensor(name)
        found = self.ops.lookup(rows, table, stored.values.shape[1], version=INTEGER_ROWS)
        return self.ops.slice(found, (0, 0), (*rows.shape, width)) if stored.block else found

    def expanded(self, name: str) -> Value:
        """A matrix in float32, from whatever it is stored in."""
        stored = self._stored(name)
        if stored.kind == schema.TensorType.FLOAT32:
            return self._tensor(name)
        assert not stored.block  # LiteRT expands blocks to zeros, without a word
        if name not in self._expanded:
            self._expanded[name] = self.ops.graph.operator(
                "DEQUANTIZE",
                [self._tensor(name)],
                stored.values.shape,
                schema.DequantizeOptionsT(),
                version=EXPANDED[stored.bits or 1],
            )
        return self._expanded[name]

    def _stored(self, name: str) -> StoredWeight:
        return StoredWeight.of(self._planned[name])

    def _tensor(self, name: str) -> Value:
        """The weight as it is stored, once a graph."""
        if name not in self._tensors:
            stored = self._stored(name)
            self._tensors[name] = self.ops.graph.stored(
                stored.kind,
                stored.values.shape,
                stored.content(),
                self._quantization(stored, name),
                name,
            )
        return self._tensors[name]

    def _quantization(self, stored: StoredWeight, name: str) -> Any:
        if stored.scale is None:
            return None
        quantization = schema.QuantizationParametersT()
        if not stored.block:
            quantization.scale = stored.scale
            quantization.zeroPoint = np.zeros(len(stored.scale), np.int64)
            return quantization
        details = schema.BlockwiseQuantizationT()
        details.scales = self.ops.graph.constant(stored.scale, f"{name}.scale").index
        details.zeroPoints, details.blockSize = -1, stored.block
        quantization.detailsType = schema.QuantizationDetails.BlockwiseQuantization
        quantization.details = details
        return quantization

    def _filled_up(self, x: Value, width: int) -> Value:
        """Zeros after x (.., k), once for all that read it."""
        key = x.index, width
        if key not in self._padded:
            last = len(x.shape) - 1
            self._padded[key] = self.ops.pad(x, last, 0, width - x.shape[last])
        return self._padded[key]
