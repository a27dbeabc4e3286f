"""The building blocks of a Lite Transformer: attention, the convolution branch, LSRA layers.

Shapes: B sentences, T or S positions, D = embed_dim, C = D/2 channels a branch, N heads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from litecompress.model.config import PAD_ID, ModelConfig
from litecompress.model.conv import convolve_band, convolve_valid

MASKED = -1e4  # added to a score that must not count: exp gives exactly 0, and float16 holds it


class LayerState(NamedTuple):
    """What one decoder layer carries from step to step.

    `key` and `value` (B, N, T, C/N) are written in place of position t; `conv` (B, K-1, C) holds
    the last convolution inputs; `cross_key` and `cross_value` (B, N', S, D/N') never change.
    """

    key: Tensor
    value: Tensor
    conv: Tensor
    cross_key: Tensor
    cross_value: Tensor


def sinusoids(position: Tensor, dim: int) -> Tensor:
    """Position embedding [sin(p f) | cos(p f)], f_i = 10000^(-i/(dim/2-1)); zero where p is PAD.

    Positions count from PAD_ID + 1 = 2, as in tensor2tensor; (..) becomes (.., dim).
    """
    half = dim // 2
    rates = torch.exp(torch.arange(half, device=position.device) * -(math.log(1e4) / (half - 1)))
    angle = position.unsqueeze(-1).float() * rates  # (.., dim/2)
    table = torch.cat([angle.sin(), angle.cos()], dim=-1)  # (.., dim)
    return table * (position != PAD_ID).unsqueeze(-1).float()


class Attention(nn.Module):
    """Multi-head scaled dot-product attention (arXiv:1706.03762 sec. 3.2)."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))
        for linear in (self.query, self.key, self.value):
            nn.init.xavier_uniform_(linear.weight, gain=1 / math.sqrt(2))
        _init_linear(self.out)

    def split(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, N, T, D/N)."""
        B, T, D = x.shape
        return x.view(B, T, self.heads, D // self.heads).transpose(1, 2)

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of (B, S, D), each (B, N, S, D/N)."""
        return self.split(self.key(x)), self.split(self.value(x))

    def forward(self, x: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
        """Attend from x (B, T, D) over keys and values; `bias` is added to the scores."""
        B, T, D = x.shape
        query = self.split(self.query(x)) * (D // self.heads) ** -0.5  # (B, N, T, D/N)
        scores = query @ key.transpose(2, 3)  # (B, N, T, S)
        if bias is not None:
            scores = scores + bias
        weights = F.dropout(F.softmax(scores, dim=-1), self.dropout, self.training)
        return self.out((weights @ value).transpose(1, 2).reshape(B, T, D))  # type: ignore[no-any-return]


class ConvBranch(nn.Module):
    """Lightweight or dynamic convolution between two linear layers (arXiv:2004.11886 sec. 4.1).

    A lightweight kernel is a parameter (H, K); a dynamic one is predicted from the convolution's
    own input at the output position, without a bias.
    """

    def __init__(self, config: ModelConfig, kernel_size: int, left: int) -> None:
        super().__init__()
        self.heads, self.kernel_size, self.left = config.conv_heads, kernel_size, left
        self.glu, self.padding = config.conv_glu, config.conv_padding
        self.weight_dropout = config.weight_dropout
        self.valid: Callable[[Tensor, Tensor], Tensor] = convolve_valid  # exporters replace it
        dim = config.branch_dim
        self.linear1 = nn.Linear(dim, 2 * dim if self.glu else dim)
        self.linear2 = nn.Linear(dim, dim)
        _init_linear(self.linear1)
        _init_linear(self.linear2)
        if config.conv_type == "dynamic":
            self.kernel_predictor = nn.Linear(dim, self.heads * kernel_size, bias=False)
            nn.init.xavier_uniform_(self.kernel_predictor.weight)
        else:
            bound = math.sqrt(6 / (kernel_size + self.heads * kernel_size))
            kernel = torch.empty(self.heads, kernel_size).uniform_(-bound, bound)
            self.kernel = nn.Parameter(kernel)

    def project(self, x: Tensor, real: Tensor | None = None) -> Tensor:
        """The convolution's input (B, T, C); `real` (B, T, 1) is 0 on padded positions."""
        if real is not None and self.padding == "leaky":
            x = x * real
        y: Tensor = self.linear1(x)
        if self.glu:
            y = F.glu(y, dim=-1)
        return y * real if real is not None and self.padding == "masked" else y

    def logits(self, y: Tensor) -> Tensor:
        """Kernels before their softmax: (H, K), or (B, T, H, K) when dynamic."""
        if hasattr(self, "kernel"):
            return self.kernel
        B, T, _ = y.shape
        return self.kernel_predictor(y).view(B, T, self.heads, self.kernel_size)  # type: ignore[no-any-return]

    def forward(self, x: Tensor, real: Tensor | None = None) -> Tensor:
        """Convolve a whole sequence (B, T, C)."""
        y = self.project(x, real)
        if self.valid is convolve_valid:
            taps = F.softmax(self.logits(y), dim=-1)
            taps = F.dropout(taps, self.weight_dropout, self.training)
            return self.linear2(convolve_band(y, taps, self.left))  # type: ignore[no-any-return]
        padded = F.pad(y, (0, 0, self.left, self.kernel_size - 1 - self.left))
        return self.linear2(self.valid(padded, self.logits(y)))  # type: ignore[no-any-return]

    def step(self, x: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """Convolve the newest position (B, 1, C), given the K-1 inputs before it (B, K-1, C)."""
        y = self.project(x)
        window = torch.cat([cache, y], dim=1)  # (B, K, C)
        return self.linear2(self.valid(window, self.logits(y))), window[:, 1:]


class FeedForward(nn.Module):
    """Two linear layers with ReLU between (arXiv:1706.03762 sec. 3.3)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.embed_dim, config.ffn_dim)
        self.fc2 = nn.Linear(config.ffn_dim, config.embed_dim)
        self.dropout = config.activation_dropout
        _init_linear(self.fc1)
        _init_linear(self.fc2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        return self.fc2(F.dropout(F.relu(self.fc1(x)), self.dropout, self.training))  # type: ignore[no-any-return]


class EncoderLayer(nn.Module):
    """LSRA, then a feed-forward network, each followed by residual sum and layer norm."""

    def __init__(self, config: ModelConfig, kernel_size: int) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.attention = Attention(
            config.branch_dim, config.attention_heads, config.attention_dropout
        )
        self.conv = ConvBranch(config, kernel_size, left=kernel_size // 2)
        self.lsra_norm = nn.LayerNorm(config.embed_dim)
        self.ffn = FeedForward(config)
        self.ffn_norm = nn.LayerNorm(config.embed_dim)

    def forward(self, x: Tensor, bias: Tensor, real: Tensor) -> Tensor:
        """(B, S, D); `bias` (B, 1, 1, S) and `real` (B, S, 1) hide padded positions."""
        attended, convolved = x.chunk(2, dim=-1)  # (B, S, C) each
        attended = self.attention(attended, *self.attention.keys_values(attended), bias)
        x = self.residual(
            x, torch.cat([attended, self.conv(convolved, real)], dim=-1), self.lsra_norm
        )
        return self.residual(x, self.ffn(x), self.ffn_norm)

    def residual(self, x: Tensor, update: Tensor, norm: nn.LayerNorm) -> Tensor:
        """Post-norm residual: LN(x + dropout(update))."""
        return norm(x + F.dropout(update, self.dropout, self.training))  # type: ignore[no-any-return]


class DecoderLayer(EncoderLayer):
    """Causal LSRA, then attention of all channels over the source, then a feed-forward network."""

    def __init__(self, config: ModelConfig, kernel_size: int) -> None:
        super().__init__(config, kernel_size)
        self.conv.left = kernel_size - 1
        self.cross_attention = Attention(
            config.embed_dim, config.cross_attention_heads, config.attention_dropout
        )
        self.cross_norm = nn.LayerNorm(config.embed_dim)

    def forward(  # type: ignore[override]
        self, x: Tensor, causal: Tensor, memory: Tensor, memory_bias: Tensor
    ) -> Tensor:
        """(B, T, D) with `causal` (T, T); `memory` (B, S, D), `memory_bias` (B, 1, 1, S)."""
        attended, convolved = x.chunk(2, dim=-1)  # (B, T, C) each
        attended = self.attention(attended, *self.attention.keys_values(attended), causal)
        x = self.residual(x, torch.cat([attended, self.conv(convolved)], dim=-1), self.lsra_norm)
        cross = self.cross_attention(x, *self.cross_attention.keys_values(memory), memory_bias)
        x = self.residual(x, cross, self.cross_norm)
        return self.residual(x, self.ffn(x), self.ffn_norm)

    def step(
        self, x: Tensor, now: Tensor, bias: Tensor, memory_bias: Tensor, state: LayerState
    ) -> tuple[Tensor, LayerState]:
        """One position (B, 1, D): `now` (T, 1) marks it in the caches, `bias` (T,) hides later."""
        attended, convolved = x.chunk(2, dim=-1)  # (B, 1, C) each
        key, value = self.attention.keys_values(attended)  # (B, N, 1, C/N)
        key = torch.where(now, key, state.key)  # (B, N, T, C/N)
        value = torch.where(now, value, state.value)
        attended = self.attention(attended, key, value, bias)
        convolved, conv = self.conv.step(convolved, state.conv)
        x = self.residual(x, torch.cat([attended, convolved], dim=-1), self.lsra_norm)
        cross = self.cross_attention(x, state.cross_key, state.cross_value, memory_bias)
        x = self.residual(x, cross, self.cross_norm)
        state = LayerState(key, value, conv, state.cross_key, state.cross_value)
        return self.residual(x, self.ffn(x), self.ffn_norm), state


def _init_linear(linear: nn.Linear) -> None:
    nn.init.xavier_uniform_(linear.weight)
    nn.init.zeros_(linear.bias)
