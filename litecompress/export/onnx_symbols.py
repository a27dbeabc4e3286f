"""Operators of domain `litecompress` that stand for weights and convolutions in a traced graph.

Tracing to `Linear` and `Embedding` keeps each weight under its own name and shape until the
lowering decides how it is stored; no optimizer can fold, transpose or merge it before that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx
import torch
from onnx.defs import OpSchema
from onnxscript import FLOAT, INT64
from onnxscript.values import Opset

from litecompress.export.conv_branch import DOMAIN, conv_operator, operator_name

_INPUTS = {
    "Linear": ("x", "weight", "bias"),
    "Embedding": ("weight", "ids"),
    "LightweightConv": ("x", "logits"),
    "DynamicConv": ("x", "logits"),
}


def _register() -> Opset:
    option = OpSchema.FormalParameterOption
    for name, inputs in _INPUTS.items():
        parameters = [
            OpSchema.FormalParameter(
                i,
                "tensor(int64)" if i == "ids" else "tensor(float)",
                param_option=option.Optional if i == "bias" else option.Single,
            )
            for i in inputs
        ]
        output = OpSchema.FormalParameter("y", "tensor(float)")
        onnx.defs.register_schema(OpSchema(name, DOMAIN, 1, inputs=parameters, outputs=[output]))
    return Opset(DOMAIN, 1)


_OPS: Any = _register()


def _linear(x: FLOAT, weight: FLOAT, bias: FLOAT | None = None) -> FLOAT:
    return _OPS.Linear(x, weight) if bias is None else _OPS.Linear(x, weight, bias)


def _embedding(weight: FLOAT, ids: INT64, *_: Any, **__: Any) -> FLOAT:
    return _OPS.Embedding(weight, ids)


def _conv(x: FLOAT, logits: FLOAT) -> FLOAT:
    return getattr(_OPS, operator_name(len(logits.shape)))(x, logits)


def translation_table() -> dict[Callable[..., Any], Callable[..., Any]]:
    """What `torch.onnx.export` needs to leave these operators symbolic."""
    return {
        torch.ops.aten.linear.default: _linear,
        torch.ops.aten.embedding.default: _embedding,
        conv_operator._opoverload: _conv,
    }
