"""The graphs of a model as torch traces them, with weights that stand for themselves.

Every weight is traced as a constant of its own, whose values are replaced later: no optimizer can
merge two that happen to be equal, and none that it folds into another tensor goes unnoticed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import nn
from torch.export import Dim

from litecompress.export import graphs, language_graph
from litecompress.export.base import Plan
from litecompress.export.conv_branch import OPSET, conv_operator
from litecompress.export.onnx_symbols import translation_table
from litecompress.model.config import ModelConfig
from litecompress.silence import silenced

Shapes = tuple[Any, ...]


def trace(config: ModelConfig, planned: Plan) -> dict[str, ir.Model]:
    """Each graph by its role, with symbolic weights; batch and lengths are dynamic."""
    stand_ins = {
        name: np.full(encoding.shape, 1e-3 * (i + 1), np.float32)
        for i, (name, encoding) in enumerate(planned.weights.items())
    }
    if config.is_language_model:
        return _language_model(config, stand_ins)
    return _translation_model(config, stand_ins)


def _translation_model(
    config: ModelConfig, weights: dict[str, NDArray[np.float32]]
) -> dict[str, ir.Model]:
    model = graphs.build(config, weights, conv_operator)
    batch, source, target = _dims("batch", "source_length", "target_length")
    cross = {0: batch, 2: source}
    state = {**_caches(batch, target), "cross_key": cross, "cross_value": cross}
    states = tuple(state[part] for parts in graphs.state_parts(config) for part in parts)
    return {
        "encoder": _export(
            graphs.EncoderGraph(model),
            graphs.encoder_example(2, 9),
            graphs.encoder_names(config),
            ({0: batch, 1: source},),
        ),
        "decoder": _export(
            graphs.DecoderGraph(model),
            graphs.decoder_example(model, 2, 9, 12),
            graphs.decoder_names(config),
            ({0: batch}, {}, {0: batch, 3: source}, states),
        ),
    }


def _language_model(
    config: ModelConfig, weights: dict[str, NDArray[np.float32]]
) -> dict[str, ir.Model]:
    model = language_graph.build_language_model(config, weights, conv_operator)
    batch, target = _dims("batch", "target_length")
    state = _caches(batch, target)
    caches = tuple(state[part] for parts in language_graph.cache_parts(config) for part in parts)
    step = _export(
        language_graph.StepGraph(model),
        language_graph.step_example(model, 2, 12),
        language_graph.step_names(config),
        ({0: batch}, {}, caches),
    )
    return {"step": step}


def _dims(*names: str) -> list[Any]:
    return [Dim(name, min=1, max=4096) for name in names]


def _caches(batch: Any, target: Any) -> dict[str, dict[int, Any]]:
    """Dynamic axes of a layer's caches."""
    attended = {0: batch, 2: target}
    return {"key": attended, "value": attended, "conv": {0: batch}}


def _export(
    module: nn.Module,
    example: tuple[torch.Tensor, ...],
    names: tuple[list[str], list[str]],
    shapes: Shapes,
) -> ir.Model:
    with silenced():
        program = torch.onnx.export(
            module.eval(),
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=names[0],
            output_names=names[1],
            dynamic_shapes=shapes,
            custom_translation_table=translation_table(),
            verbose=False,
        )
    assert program is not None
    return program.model
