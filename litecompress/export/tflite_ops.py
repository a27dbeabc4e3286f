"""The operators that our TFLite graphs are written of, with shapes worked out; batch is 1.

All of them are in TensorFlow Lite 2.14 in the versions written here, and XNNPACK runs all but
lookups, comparisons, casts, sine, cosine and running sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from litecompress.export.tflite_file import schema
from litecompress.export.tflite_writer import GraphWriter, Value

RELU = schema.ActivationFunctionType.RELU


class Ops:
    """Writes operators into a graph."""

    def __init__(self, graph: GraphWriter) -> None:
        self.graph = graph

    def number(self, value: float) -> Value:
        """A constant that goes with any shape."""
        return self.graph.constant(np.array([value], np.float32))

    def add(self, a: Value, b: Value) -> Value:
        return self._binary("ADD", a, b, schema.AddOptionsT())

    def subtract(self, a: Value, b: Value) -> Value:
        return self._binary("SUB", a, b, schema.SubOptionsT())

    def multiply(self, a: Value, b: Value) -> Value:
        return self._binary("MUL", a, b, schema.MulOptionsT())

    def unary(self, kind: str, x: Value, options: Any = None) -> Value:
        """An operator that keeps the shape."""
        return self.graph.operator(kind, [x], x.shape, options)

    def softmax(self, x: Value) -> Value:
        """Over the last axis."""
        options = schema.SoftmaxOptionsT()
        options.beta = 1.0
        return self.unary("SOFTMAX", x, options)

    def mean(self, x: Value) -> Value:
        """Over the last axis, which is kept."""
        options = schema.ReducerOptionsT()
        options.keepDims = True
        axis = self.graph.constant(np.array([len(x.shape) - 1], np.int32))
        return self.graph.operator("MEAN", [x, axis], (*x.shape[:-1], 1), options)

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        if tuple(shape) == x.shape:
            return x
        options = schema.ReshapeOptionsT()
        options.newShape = list(shape)
        wanted = self.graph.constant(np.array(shape, np.int32))
        dtype = self.graph.dtype(x)
        return self.graph.operator("RESHAPE", [x, wanted], shape, options, dtype=dtype)

    def transpose(self, x: Value, order: Sequence[int]) -> Value:
        shape = [x.shape[i] for i in order]
        permutation = self.graph.constant(np.array(order, np.int32))
        return self.graph.operator("TRANSPOSE", [x, permutation], shape, schema.TransposeOptionsT())

    def concatenate(self, parts: Sequence[Value], axis: int) -> Value:
        shape = list(parts[0].shape)
        shape[axis] = sum(part.shape[axis] for part in parts)
        options = schema.ConcatenationOptionsT()
        options.axis = axis
        return self.graph.operator("CONCATENATION", parts, shape, options)

    def halves(self, x: Value) -> tuple[Value, Value]:
        """The first and the second half of the last axis."""
        *outer, last = x.shape
        axis = self.graph.constant(np.array(len(outer), np.int32))
        options = schema.SplitOptionsT()
        options.numSplits = 2
        first, second = (self.graph.empty((*outer, last // 2)) for _ in range(2))
        self.graph.operators("SPLIT", [axis, x], [first, second], options)
        return first, second

    def slice(self, x: Value, begin: Sequence[int], size: Sequence[int]) -> Value:
        places = [self.graph.constant(np.array(n, np.int32)) for n in (begin, size)]
        return self.graph.operator("SLICE", [x, *places], size, schema.SliceOptionsT())

    def pad(self, x: Value, axis: int, before: int, after: int) -> Value:
        """Zeros before and after along an axis."""
        if not before and not after:
            return x
        amounts = np.zeros((len(x.shape), 2), np.int32)
        amounts[axis] = before, after
        shape = np.array(x.shape) + amounts.sum(axis=1)
        return self.graph.operator(
            "PAD", [x, self.graph.constant(amounts)], shape.tolist(), schema.PadOptionsT()
        )

    def product(self, a: Value, b: Value, *, transposed: bool = False) -> Value:
        """Matrices times matrices, or times their transposes: (.., m, k) and (.., k, n)."""
        options = schema.BatchMatMulOptionsT()
        options.adjY = transposed
        columns = b.shape[-2] if transposed else b.shape[-1]
        return self.graph.operator("BATCH_MATMUL", [a, b], (*a.shape[:-1], columns), options)

    def linear(
        self, x: Value, weight: Value, bias: Value | None, *, relu: bool, version: int
    ) -> Value:
        """Inputs (.., k) times the transpose of a weight (n, k)."""
        options = schema.FullyConnectedOptionsT()
        options.keepNumDims, options.asymmetricQuantizeInputs = True, version >= 9
        options.fusedActivationFunction = RELU if relu else 0
        shape = (*x.shape[:-1], weight.shape[0])
        return self.graph.operator(
            "FULLY_CONNECTED", [x, weight, bias], shape, options, version=version
        )

    def lookup(self, rows: Value, table: Value, width: int, *, version: int) -> Value:
        """Rows (n,) of a table, (n, width)."""
        shape = (rows.shape[0], width)
        return self.graph.operator("EMBEDDING_LOOKUP", [rows, table], shape, version=version)

    def cast(self, x: Value) -> Value:
        """Integers or truth values as float32."""
        return self.graph.operator("CAST", [x], x.shape, schema.CastOptionsT())

    def compare(self, kind: str, a: Value, b: Value) -> Value:
        """`EQUAL`, `NOT_EQUAL`, `GREATER`, ..: 1 where it holds, 0 elsewhere."""
        shape = np.broadcast_shapes(a.shape, b.shape)
        options = getattr(schema, "".join(w.capitalize() for w in kind.split("_")) + "OptionsT")
        found = self.graph.operator(kind, [a, b], shape, options(), dtype=np.bool_)
        return self.cast(found)

    def running_sum(self, x: Value) -> Value:
        """Sums along the last axis up to each place."""
        axis = self.graph.constant(np.array(len(x.shape) - 1, np.int32))
        return self.graph.operator("CUMSUM", [x, axis], x.shape, schema.CumsumOptionsT())

    def _binary(self, kind: str, a: Value, b: Value, options: Any) -> Value:
        shape = np.broadcast_shapes(a.shape, b.shape)
        return self.graph.operator(kind, [a, b], shape, options)
