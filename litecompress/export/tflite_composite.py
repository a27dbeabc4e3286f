"""The convolution branch's operator in TFLite: kernel softmax and convolution, nothing else.

`litecompress.LightweightConv(x, logits)` and `litecompress.DynamicConv(x, logits)` take what the
ONNX operators of those names take (see conv_branch): the padded input (1, S + K - 1, C), and the
kernels before their softmax, (H, K) or (1, S, H, K). A runtime that knows neither runs the graph
of standard operators that the composite carries; the same operators stand in place of it where no
composite is asked for.
"""

from __future__ import annotations

import numpy as np

from litecompress.backends import load_backend
from litecompress.export.tflite_file import schema
from litecompress.export.tflite_ops import Ops
from litecompress.export.tflite_writer import GraphWriter, Value

DOMAIN = "litecompress"
_NO_ATTRIBUTES = bytes(load_backend("flatbuffers.flexbuffers").Dumps({}))


def operator_name(logits_rank: int) -> str:
    """The composite for kernels of that rank."""
    return f"{DOMAIN}.{'LightweightConv' if logits_rank == 2 else 'DynamicConv'}"


def convolution(ops: Ops, x: Value, logits: Value, *, composite: bool) -> Value:
    """Convolve the padded input x: (1, S, C)."""
    if not composite:
        return _decomposed(ops, x, logits)
    taps = logits.shape[-1]
    options = schema.StableHLOCompositeOptionsT()
    options.name, options.version = operator_name(len(logits.shape)), 1
    options.decompositionSubgraphIndex = _decomposition(ops.graph, x, logits)
    options.compositeAttributes = np.frombuffer(_NO_ATTRIBUTES, np.uint8)
    shape = (1, x.shape[1] - taps + 1, x.shape[2])
    return ops.graph.operator("STABLEHLO_COMPOSITE", [x, logits], shape, options)


def _decomposition(caller: GraphWriter, x: Value, logits: Value) -> int:
    """The graph for inputs of these shapes, written once a file."""
    known = caller.file.decompositions
    key = x.shape, logits.shape
    if key not in known:
        inner = GraphWriter(caller.file)
        inputs = inner.input("x", x.shape), inner.input("logits", logits.shape)
        inner.finish({"y": _decomposed(Ops(inner), *inputs)}, None)
        known[key] = inner.index
    return known[key]


def _decomposed(ops: Ops, x: Value, logits: Value) -> Value:
    """A band matrix a head times its channels, so that no window is written twice.

    Row t of the band holds the taps of output t, shifted by t. Rows of K taps and S zeros, read
    as rows that are one shorter, are shifted so.
    """
    _, padded, channels = x.shape
    heads, taps = logits.shape[-2:]
    outputs = padded - taps + 1
    band = _taps(ops, logits, outputs)  # (1, H, S, K)
    if outputs > 1:
        filled = ops.pad(band, 3, 0, outputs)  # (1, H, S, K + S)
        flat = ops.reshape(filled, (1, heads, outputs * (taps + outputs)))
        cut = ops.slice(flat, (0, 0, 0), (1, heads, outputs * padded))
        band = ops.reshape(cut, (1, heads, outputs, padded))
    by_head = ops.reshape(x, (1, padded, heads, channels // heads))
    mixed = ops.product(band, ops.transpose(by_head, (0, 2, 1, 3)))  # (1, H, S, C/H)
    if outputs > 1:
        mixed = ops.transpose(mixed, (0, 2, 1, 3))
    return ops.reshape(mixed, (1, outputs, channels))


def _taps(ops: Ops, logits: Value, outputs: int) -> Value:
    """Kernels after their softmax, (1, H, S, K)."""
    heads, taps = logits.shape[-2:]
    if len(logits.shape) == 4:
        if outputs > 1:
            logits = ops.transpose(logits, (0, 2, 1, 3))
        return ops.softmax(ops.reshape(logits, (1, heads, outputs, taps)))
    shared = ops.reshape(ops.softmax(logits), (1, heads, 1, taps))
    if outputs == 1:
        return shared
    return ops.multiply(shared, ops.graph.constant(np.ones((1, 1, outputs, 1), np.float32)))
