"""The one graph of a language model's package as a torch module with plain tensors in and out.

`step`: token, step, and per layer key_i, value_i, conv_i -> log_probs, and per layer next_key_i,
next_value_i, next_conv_i; a layer without attention has no key_i and value_i, one without
convolution no conv_i.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MethodType

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from litecompress.export.graphs import NOTHING, replace_convolutions, state_parts
from litecompress.model.adaptive import AdaptiveEmbedding
from litecompress.model.config import EOS_ID, ModelConfig
from litecompress.model.language_model import LanguageModel

CACHES = ("key", "value", "conv")


class StepGraph(nn.Module):
    """One step: token (B, 1), step (1,), the layers' caches, to log-probabilities (B, V)."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model
        self.parts = cache_parts(model.config)

    def forward(self, token: Tensor, step: Tensor, *caches: Tensor) -> tuple[Tensor, ...]:
        rest = iter(caches)
        layers = [NOTHING._replace(**{part: next(rest) for part in parts}) for parts in self.parts]
        features, after = self.model.step(token, step, layers)
        log_probs = self.model.log_probs(features)
        return (log_probs, *(t for state in after for t in state[:3] if t is not None))


def build_language_model(
    config: ModelConfig,
    weights: Mapping[str, NDArray[np.float32]],
    valid: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> LanguageModel:
    """The network, ready to trace, as `graphs.build` gives that of a translation model."""
    model = LanguageModel.from_weights(config, weights)
    replace_convolutions(model, valid)
    if isinstance(model.embedding, AdaptiveEmbedding):
        model.embedding.forward = MethodType(_embed, model.embedding)  # type: ignore[method-assign]
        model.embedding.log_probs = MethodType(_log_probs, model.embedding)  # type: ignore[method-assign]
    return model


def cache_parts(config: ModelConfig) -> list[tuple[str, ...]]:
    """Which caches each layer has, in their order."""
    return [tuple(part for part in parts if part in CACHES) for parts in state_parts(config)]


def step_names(config: ModelConfig) -> tuple[list[str], list[str]]:
    """Input and output names of the step."""
    caches = [f"{part}_{i}" for i, parts in enumerate(cache_parts(config)) for part in parts]
    return ["token", "step", *caches], ["log_probs", *(f"next_{name}" for name in caches)]


def step_example(model: LanguageModel, batch: int, length: int) -> tuple[Tensor, ...]:
    """Inputs to trace the step with, with room for `length` positions."""
    caches = (t for state in model.start(batch, length) for t in state if t is not None)
    return (torch.full((batch, 1), EOS_ID, dtype=torch.int64), torch.tensor([0]), *caches)


def _embed(self: AdaptiveEmbedding, tokens: Tensor) -> Tensor:
    """`AdaptiveEmbedding.forward` with every band looked up: no shape depends on a token."""
    x = self.classes.weight.new_zeros(*tokens.shape, self.embed_dim)
    for band, start, end in zip(self.bands, self.starts, self.ends, strict=True):
        inside = ((tokens >= start) & (tokens < end)).unsqueeze(-1)
        rows = (tokens - start).clamp(0, end - start - 1)
        x = torch.where(inside, band(rows), x)
    return x


def _log_probs(self: AdaptiveEmbedding, features: Tensor) -> Tensor:
    """`AdaptiveEmbedding.log_probs` with no weight transposed by an operator of its own."""
    head = F.log_softmax(self.head_logits(features), dim=-1)
    first = self.ends[0]
    parts = [head[..., :first]]
    for i, band in enumerate(list(self.bands)[1:]):
        narrow = features @ band.projection.weight  # type: ignore[union-attr, operator]  # (B, w)
        words = F.log_softmax(F.linear(narrow, band.table.weight), dim=-1)  # type: ignore[union-attr, arg-type]
        parts.append(words + head[..., first + i : first + i + 1])
    return torch.cat(parts, dim=-1)
