"""Lite Transformer: an encoder-decoder with Long-Short Range Attention (arXiv:2004.11886).

References
----------
1) the paper: https://arxiv.org/abs/2004.11886
2) lightweight and dynamic convolution: https://arxiv.org/abs/1901.10430

"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from litecompress.model.config import PAD_ID, ModelConfig
from litecompress.model.layers import MASKED, DecoderLayer, EncoderLayer, LayerState, sinusoids
from litecompress.model.shapes import check_shapes


class LiteTransformer(nn.Module):
    """A translation model: source tokens in, logits over target tokens out.

    With `share_embeddings` one table serves source, target and output; otherwise there are three.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        if config.share_embeddings:
            self.embedding = _embedding(config.source_vocab_size, config.embed_dim)
        else:
            self.source_embedding = _embedding(config.source_vocab_size, config.embed_dim)
            self.target_embedding = _embedding(config.target_vocab_size, config.embed_dim)
            self.output = nn.Linear(config.embed_dim, config.target_vocab_size, bias=False)
            nn.init.normal_(self.output.weight, std=config.embed_dim**-0.5)
        self.encoder = nn.ModuleList(EncoderLayer(config, k) for k in config.encoder_kernel_sizes)
        self.decoder = nn.ModuleList(DecoderLayer(config, k) for k in config.decoder_kernel_sizes)

    @classmethod
    def from_weights(
        cls, config: ModelConfig, weights: Mapping[str, NDArray[np.float32]]
    ) -> LiteTransformer:
        """The network in evaluation mode; weights that do not fit are a CheckpointError."""
        check_shapes(config, {name: w.shape for name, w in weights.items()})
        model = cls(config)
        model.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
        return model.eval()

    def forward(self, source: Tensor, previous: Tensor) -> Tensor:
        """Logits (B, T, V) after each of the target tokens `previous` (B, T); teacher forcing."""
        memory, memory_bias = self.encode(source)
        return self.logits(self.decode(previous, memory, memory_bias))

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, S), padded on either side, to (B, S, D) and a score bias (B, 1, 1, S)."""
        real = (source != PAD_ID).float()  # (B, S)
        position = (real.cumsum(dim=1) * real).long() + PAD_ID
        x = self.embed(source, position, self._table("source_embedding"))  # (B, S, D)
        bias = ((1 - real) * MASKED)[:, None, None, :]  # (B, 1, 1, S)
        for layer in self.encoder:
            x = layer(x, bias, real.unsqueeze(-1))
        return x, bias

    def decode(self, previous: Tensor, memory: Tensor, memory_bias: Tensor) -> Tensor:
        """Decoder features (B, T, D) for right-padded target tokens (B, T)."""
        T = previous.shape[1]
        real = (previous != PAD_ID).long()
        position = real.cumsum(dim=1) * real + PAD_ID
        x = self.embed(previous, position, self._table("target_embedding"))  # (B, T, D)
        causal = torch.full((T, T), MASKED, device=x.device).triu(1)
        for layer in self.decoder:
            x = layer(x, causal, memory, memory_bias)
        return x

    def embed(self, tokens: Tensor, position: Tensor, table: Tensor) -> Tensor:
        """sqrt(D) E[token] + PE[position], (B, T) to (B, T, D)."""
        x = F.embedding(tokens, table) * math.sqrt(self.config.embed_dim)
        x = x + sinusoids(position, self.config.embed_dim)
        return F.dropout(x, self.config.dropout, self.training)

    def logits(self, features: Tensor) -> Tensor:
        """Features (.., D) to scores (.., V)."""
        if self.config.share_embeddings:
            return F.linear(features, self.embedding.weight)
        return self.output(features)  # type: ignore[no-any-return]

    def cross_keys_values(self, memory: Tensor) -> list[tuple[Tensor, Tensor]]:
        """What each decoder layer needs of the source, computed once a sentence."""
        return [layer.cross_attention.keys_values(memory) for layer in self.decoder]  # type: ignore[union-attr, operator]

    def start(self, memory: Tensor, length: int) -> list[LayerState]:
        """Empty decoder states with room for `length` target positions."""
        B, C, N = memory.shape[0], self.config.branch_dim, self.config.attention_heads
        kernels = self.config.decoder_kernel_sizes
        return [
            LayerState(
                memory.new_zeros(B, N, length, C // N),
                memory.new_zeros(B, N, length, C // N),
                memory.new_zeros(B, kernel - 1, C),
                key,
                value,
            )
            for kernel, (key, value) in zip(kernels, self.cross_keys_values(memory), strict=True)
        ]

    def step(
        self, token: Tensor, step: Tensor, memory_bias: Tensor, states: list[LayerState]
    ) -> tuple[Tensor, list[LayerState]]:
        """Logits (B, V) after the newest target token (B, 1), the `step`-th (1,) counted from 0."""
        position = (step + PAD_ID + 1).expand(token.shape)
        x = self.embed(token, position, self._table("target_embedding"))  # (B, 1, D)
        slots = torch.arange(states[0].key.shape[2], device=token.device)  # (T,)
        now = (slots == step).unsqueeze(-1)  # (T, 1)
        bias = (slots > step).float() * MASKED  # (T,)
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


def _embedding(rows: int, dim: int) -> nn.Embedding:
    table = nn.Embedding(rows, dim, padding_idx=PAD_ID)
    nn.init.normal_(table.weight, std=dim**-0.5)
    nn.init.zeros_(table.weight[PAD_ID].detach())
    return table
