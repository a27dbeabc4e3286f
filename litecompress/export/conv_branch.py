"""The convolution branch's operator: kernel softmax and convolution, nothing else.

`litecompress::LightweightConv(x, logits)` and `litecompress::DynamicConv(x, logits)` take the
padded input x (B, T+K-1, C) and the kernels before their softmax, (H, K) or (B, T, H, K), and
give (B, T, C). Each carries its decomposition into standard operators as a model-local function;
a runtime with a kernel of that name uses its own. The linear layers stay outside.

`convolve` is that decomposition, wherever it stands. A graph that has but one output position, a
decoder's, carries its shorter form.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from onnx import FunctionProto, helper

from litecompress.export.onnx_writer import FunctionWriter, GraphWriter, Value

DOMAIN = "litecompress"
OPSET = 21
Operator = Literal["LightweightConv", "DynamicConv"]
OPERATORS: tuple[Operator, ...] = ("LightweightConv", "DynamicConv")


class Sizes(NamedTuple):
    """Heads, channels of a head and kernel size: known, or vectors of one."""

    heads: int | Value
    width: int | Value
    kernel: int | Value


def convolve(
    writer: GraphWriter, operator: Operator, x: Value, logits: Value, sizes: Sizes, *, step: bool
) -> Value:
    """Y (B, T, C) of x and logits; `step` says that T is 1."""
    weights = writer.emit("Softmax", logits, axis=-1)
    if step and operator == "LightweightConv":
        return _weighted_sum(writer, x, weights, sizes)
    by_head = writer.emit("Reshape", x, writer.shape(0, 0, sizes.heads, sizes.width))
    by_head = writer.emit("Transpose", by_head, perm=[0, 2, 1, 3])  # (B, H, T+K-1, R)
    if step:
        row = writer.emit("Reshape", weights, writer.shape(0, sizes.heads, 1, sizes.kernel))
        sums = writer.emit("MatMul", row, by_head)  # (B, H, 1, R)
        return writer.emit("Reshape", sums, writer.integers(0, 1, -1))
    rows = _rows(writer, operator, x, weights, sizes)
    sums = writer.emit("MatMul", _band(writer, rows, x), by_head)  # (B, H, T, R)
    sums = writer.emit("Transpose", sums, perm=[0, 2, 1, 3])
    return writer.emit("Reshape", sums, writer.integers(0, 0, -1))


def decomposition(operator: Operator, *, step: bool) -> FunctionProto:
    """The model-local function that an operator carries in a decoder, or in an encoder."""
    writer = FunctionWriter()
    dynamic = operator == "DynamicConv"
    heads, kernel = (writer.size("logits", axis + 2 * dynamic) for axis in (0, 1))
    width = writer.emit("Div", writer.size("x", 2), heads)
    sizes = Sizes(heads, width, kernel)
    y = convolve(writer, operator, "x", "logits", sizes, step=step)
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_function(DOMAIN, operator, ["x", "logits"], [y], writer.finished(), opsets)


def _weighted_sum(writer: GraphWriter, x: Value, weights: Value, sizes: Sizes) -> Value:
    """One position under a kernel (H, K) that is known when the model is loaded."""
    turned = writer.emit("Transpose", weights, perm=[1, 0])  # (K, H)
    column = writer.emit("Unsqueeze", turned, writer.integers(-1))
    spread = writer.emit("Expand", column, writer.shape(1, 1, sizes.width))  # (K, H, R)
    spread = writer.emit("Reshape", spread, writer.integers(0, -1))  # (K, C)
    return writer.emit("ReduceSum", writer.emit("Mul", x, spread), writer.integers(1), keepdims=1)


def _rows(writer: GraphWriter, operator: Operator, x: Value, weights: Value, sizes: Sizes) -> Value:
    """Kernels of all positions, (B, H, T, K), or (1, H, T, K) where all have the same."""
    if operator == "DynamicConv":
        return writer.emit("Transpose", weights, perm=[0, 2, 1, 3])
    kernel = sizes.kernel if isinstance(sizes.kernel, str) else writer.integers(sizes.kernel)
    outside = writer.emit("Sub", kernel, writer.integers(1))
    outputs = writer.emit("Sub", writer.size(x, 1), outside)
    one = writer.emit("Unsqueeze", weights, writer.integers(0, 2))  # (1, H, 1, K)
    return writer.emit("Expand", one, writer.shape(1, 1, outputs, 1))


def _band(writer: GraphWriter, rows: Value, x: Value) -> Value:
    """Kernels (.., T, K) as bands (.., T, T+K-1), the t-th shifted by t.

    Rows of T+K are filled up with zeros, then read as rows of one less.
    """
    outputs, inputs = writer.size(rows, 2), writer.size(x, 1)
    pads = writer.shape(0, outputs)
    filled = writer.emit("Pad", rows, pads, "", writer.integers(3))  # (.., T, T+K)
    line = writer.emit("Reshape", filled, writer.integers(0, 0, -1))
    size = writer.emit("Mul", outputs, inputs)
    line = writer.emit("Slice", line, writer.integers(0), size, writer.integers(2))
    return writer.emit("Reshape", line, writer.shape(0, 0, outputs, inputs))
