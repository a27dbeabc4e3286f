"""Language models: a decoder without source, with plain or adaptive vocabulary."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from litecompress.model.adaptive import AdaptiveEmbedding, TiedEmbedding
from litecompress.model.config import PAD_ID, ModelConfig
from litecompress.model.dropout import dropout
from litecompress.model.embedding import positions, sinusoids
from litecompress.model.layer_shape import layer_shapes
from litecompress.model.layers import DecoderLayer, LayerState, causal_bias, empty_caches, slots
from litecompress.model.weights import load_weights


class LanguageModel(nn.Module):
    """Tokens in, log-probabilities of the next token out (arXiv:2004.11886 sec. 5, WikiText-103).

    Text begins with </s>; layers may be pre-norm; there is no final norm.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        adaptive = bool(config.adaptive_cutoffs)
        self.embedding = AdaptiveEmbedding(config) if adaptive else TiedEmbedding(config)
        shapes = layer_shapes(config, "decoder")
        self.decoder = nn.ModuleList(DecoderLayer(config, shape) for shape in shapes)

    @classmethod
    def from_weights(
        cls, config: ModelConfig, weights: Mapping[str, NDArray[np.float32]]
    ) -> LanguageModel:
        """The network in evaluation mode; weights that do not fit are a CheckpointError."""
        return load_weights(cls(config), config, weights)

    def forward(self, tokens: Tensor) -> Tensor:
        """Log-probabilities (B, T, V) after each of the right-padded tokens (B, T)."""
        return self.log_probs(self.features(tokens))

    def features(self, tokens: Tensor) -> Tensor:
        """What the softmax sees (B, T, D), for right-padded tokens (B, T)."""
        x = self._embed(tokens, positions(tokens))
        causal = causal_bias(tokens.shape[1], x)
        for layer in self.decoder:
            x = layer(x, causal)
        return x

    def log_probs(self, features: Tensor) -> Tensor:
        """Features (.., D) to log-probabilities (.., V)."""
        return self.embedding.log_probs(features)

    def target_log_probs(self, features: Tensor, target: Tensor) -> Tensor:
        """Log-probability (N,) of targets (N,), from features (N, D)."""
        return self.embedding.target_log_probs(features, target)

    def start(self, batch: int, length: int) -> list[LayerState]:
        """Empty states with room for `length` positions."""
        like = next(self.parameters())
        shapes = layer_shapes(self.config, "decoder")
        return [empty_caches(shape, batch, length, like) for shape in shapes]

    def step(
        self, token: Tensor, step: Tensor, states: list[LayerState]
    ) -> tuple[Tensor, list[LayerState]]:
        """Features (B, D) after the newest token (B, 1), the `step`-th (1,) counted from 0."""
        x = self._embed(token, (step + PAD_ID + 1).expand(token.shape))
        now, bias = slots(states, step)
        after = []
        for layer, state in zip(self.decoder, states, strict=True):
            x, state = layer.step(x, now, bias, None, state)  # type: ignore[operator]
            after.append(state)
        return x[:, 0], after

    def _embed(self, tokens: Tensor, position: Tensor) -> Tensor:
        """sqrt(D) E[token] + PE[position], (B, T) to (B, T, D)."""
        x = self.embedding(tokens) * math.sqrt(self.config.embed_dim)
        x = x + sinusoids(position, self.config.embed_dim)
        return dropout(x, self.config.dropout, self.training)
