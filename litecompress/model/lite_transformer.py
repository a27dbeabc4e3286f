"""Encoder-decoders: Lite Transformer (arXiv:2004.11886) and its baselines of the same blocks.

References
----------
1) the paper: https://arxiv.org/abs/2004.11886
2) lightweight and dynamic convolution: https://arxiv.org/abs/1901.10430

"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from litecompress.model.config import PAD_ID, ModelConfig
from litecompress.model.dropout import dropout
from litecompress.model.embedding import lookup_table, positions, sinusoids
from litecompress.model.layer_shape import layer_shapes
from litecompress.model.layers import (
    MASKED,
    DecoderLayer,
    EncoderLayer,
    LayerState,
    causal_bias,
    empty_caches,
    slots,
)
from litecompress.model.weights import load_weights


class LiteTransformer(nn.Module):
    """A translation model: source tokens in, logits over target tokens out.

    With `share_embeddings` one table serves source, target and output; otherwise there are three.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        if config.share_embeddings:
            self.embedding = lookup_table(config.source_vocab_size, config.embed_dim)
        else:
            self.source_embedding = lookup_table(config.source_vocab_size, config.embed_dim)
            self.target_embedding = lookup_table(config.target_vocab_size, config.embed_dim)
            self.output = nn.Linear(config.embed_dim, config.target_vocab_size, bias=False)
            nn.init.normal_(self.output.weight, std=config.embed_dim**-0.5)
        encoder, decoder = layer_shapes(config, "encoder"), layer_shapes(config, "decoder")
        self.encoder = nn.ModuleList(EncoderLayer(config, shape) for shape in encoder)
        self.decoder = nn.ModuleList(DecoderLayer(config, shape) for shape in decoder)

    @classmethod
    def from_weights(
        cls, config: ModelConfig, weights: Mapping[str, NDArray[np.float32]]
    ) -> LiteTransformer:
        """The network in evaluation mode; weights that do not fit are a CheckpointError."""
        return load_weights(cls(config), config, weights)

    def forward(self, source: Tensor, previous: Tensor) -> Tensor:
        """Logits (B, T, V) after each of the target tokens `previous` (B, T); teacher forcing."""
        memory, memory_bias = self.encode(source)
        return self.logits(self.decode(previous, memory, memory_bias))

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, S), padded on either side, to (B, S, D) and a score bias (B, 1, 1, S)."""
        real = (source != PAD_ID).float()  # (B, S)
        x = self.embed(source, positions(source), self._table("source_embedding"))  # (B, S, D)
        bias = ((1 - real) * MASKED)[:, None, None, :]  # (B, 1, 1, S)
        for layer in self.encoder:
            x = layer(x, bias, real.unsqueeze(-1))
        return x, bias

    def decode(self, previous: Tensor, memory: Tensor, memory_bias: Tensor) -> Tensor:
        """Decoder features (B, T, D) for right-padded target tokens (B, T)."""
        x = self.embed(previous, positions(previous), self._table("target_embedding"))  # (B, T, D)
        causal = causal_bias(previous.shape[1], x)
        for layer in self.decoder:
            x = layer(x, causal, memory, memory_bias)
        return x

    def embed(self, tokens: Tensor, position: Tensor, table: Tensor) -> Tensor:
        """sqrt(D) E[token] + PE[position], (B, T) to (B, T, D)."""
        x = F.embedding(tokens, table) * math.sqrt(self.config.embed_dim)
        x = x + sinusoids(position, self.config.embed_dim)
        return dropout(x, self.config.dropout, self.training)

    def logits(self, features: Tensor) -> Tensor:
        """Features (.., D) to scores (.., V)."""
        if self.config.share_embeddings:
            return F.linear(features, self.embedding.weight)
        return self.output(features)  # type: ignore[no-any-return]

    def cross_keys_values(self, memory: Tensor) -> list[tuple[Tensor, Tensor]]:
        """What each decoder layer needs of the source, computed once a sentence."""
        return [layer.cross_attention.keys_values(memory) for layer in self.decoder]  # type: ignore[union-attr, operator]

    def start(self, memory: Tensor, length: int) -> list[LayerState]:
        """Decoder states with room for `length` target positions."""
        shapes = layer_shapes(self.config, "decoder")
        return [
            empty_caches(shape, len(memory), length, memory)._replace(
                cross_key=key, cross_value=value
            )
            for shape, (key, value) in zip(shapes, self.cross_keys_values(memory), strict=True)
        ]

    def step(
        self, token: Tensor, step: Tensor, memory_bias: Tensor, states: list[LayerState]
    ) -> tuple[Tensor, list[LayerState]]:
        """Logits (B, V) after the newest target token (B, 1), the `step`-th (1,) counted from 0."""
        position = (step + PAD_ID + 1).expand(token.shape)
        x = self.embed(token, position, self._table("target_embedding"))  # (B, 1, D)
        now, bias = slots(states, step)
        after = []
        for layer, state in zip(self.decoder, states, strict=True):
            x, state = layer.step(x, now, bias, memory_bias, state)  # type: ignore[operator]
            after.append(state)
        return self.logits(x[:, 0]), after

    def _table(self, name: str) -> Tensor:
        """The look-up table (V, D) of one side."""
        module: nn.Embedding = (
            self.embedding if self.config.share_embeddings else getattr(self, name)
        )
        return module.weight
