"""The convolution branch's operator: kernel softmax and convolution, nothing else.

`litecompress::LightweightConv(x, logits)` and `litecompress::DynamicConv(x, logits)` take the
padded input x (B, T+K-1, C) and the kernels before their softmax, (H, K) or (B, T, H, K), and
give (B, T, C). Each carries its decomposition into standard operators as a model-local function;
a runtime with a kernel of that name uses its own. The linear layers stay outside.
"""

from __future__ import annotations

import onnx
import torch
from onnx import parser
from torch import Tensor

from litecompress.model.conv import convolve_valid

DOMAIN = "litecompress"
OPSET = 21

_BODY = """
<domain: "litecompress", opset_import: ["" : 21]>
{name} (x, logits) => (y)
{{
    zero = Constant <value_int = 0> ()
    one = Constant <value_int = 1> ()
    minus = Constant <value_ints = [-1]> ()
    second = Constant <value_ints = [2]> ()
    keep = Constant <value_ints = [0, 0, 0]> ()
    flat = Constant <value_ints = [0, 0, -1]> ()
    padded = Shape <start = 1, end = 2> (x)
    heads = Shape <start = {heads}, end = {taps}> (logits)
    kernel = Shape <start = {taps}> (logits)
    outside = Sub (padded, kernel)
    outside_scalar = Squeeze (outside)
    kernel_scalar = Squeeze (kernel)
    outputs = Add (outside_scalar, one)
    starts = Range (zero, outputs, one)
    offsets = Range (zero, kernel_scalar, one)
    column = Unsqueeze (starts, minus)
    window = Add (column, offsets)
    windows = Gather <axis = 1> (x, window)
    split = Concat <axis = 0> (keep, heads, minus)
    by_head = Reshape (windows, split)
    weights = Softmax <axis = -1> (logits)
    turned = Transpose <perm = {perm}> (weights)
    shared = Unsqueeze (turned, minus)
    products = Mul (by_head, shared)
    sums = ReduceSum <keepdims = 0> (products, second)
    y = Reshape (sums, flat)
}}
"""


@torch.library.custom_op("litecompress::softmax_conv", mutates_args=())
def conv_operator(x: Tensor, logits: Tensor) -> Tensor:
    """The operator as torch sees it; an exporter translates it by the rank of its kernels."""
    return convolve_valid(x, logits)


@conv_operator.register_fake
def _(x: Tensor, logits: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], x.shape[1] - logits.shape[-1] + 1, x.shape[2])


def operator_name(logits_rank: int) -> str:
    """The ONNX operator for kernels of that rank."""
    return "LightweightConv" if logits_rank == 2 else "DynamicConv"


def decomposition(name: str) -> onnx.FunctionProto:
    """The model-local function that an operator carries."""
    dynamic = name == "DynamicConv"
    perm = "[0, 1, 3, 2]" if dynamic else "[1, 0]"
    first = 2 if dynamic else 0
    text = _BODY.format(name=name, heads=first, taps=first + 1, perm=perm)
    return parser.parse_function(text)
