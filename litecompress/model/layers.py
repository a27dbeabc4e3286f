"""The building blocks of the family: attention, the convolution branch, layers of them.

Shapes: B sentences, T or S positions, D = embed_dim, C channels of a branch, N heads of W
channels each; N W is C, or less where heads were pruned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from litecompress.model.config import ModelConfig
from litecompress.model.conv import convolve_band, convolve_valid
from litecompress.model.dropout import dropout
from litecompress.model.layer_shape import Heads, LayerShape

MASKED = -1e4  # added to a score that must not count: exp gives exactly 0, and float16 holds it


class LayerState(NamedTuple):
    """What one decoder layer carries from step to step; None for what the layer does not have.

    `key` and `value` (B, N, T, W) are written in place of position t; `conv` (B, K-1, N W) holds
    the last convolution inputs; `cross_key` and `cross_value` (B, N', S, W') never change.
    """

    key: Tensor | None
    value: Tensor | None
    conv: Tensor | None
    cross_key: Tensor | None
    cross_value: Tensor | None


class Attention(nn.Module):
    """Multi-head scaled dot-product attention (arXiv:1706.03762 sec. 3.2)."""

    def __init__(self, heads: Heads, dropout: float) -> None:
        super().__init__()
        self.heads, self.width = heads.count, heads.width
        self.dropout = dropout
        inner = (nn.Linear(heads.channels, heads.inner) for _ in range(3))
        self.query, self.key, self.value = inner
        self.out = nn.Linear(heads.inner, heads.channels)
        for linear in (self.query, self.key, self.value):
            nn.init.xavier_uniform_(linear.weight, gain=1 / math.sqrt(2))
        _init_linear(self.out)

    def split(self, x: Tensor) -> Tensor:
        """(B, T, N W) to (B, N, T, W)."""
        B, T, _ = x.shape
        return x.view(B, T, self.heads, self.width).transpose(1, 2)

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of (B, S, C), each (B, N, S, W)."""
        return self.split(self.key(x)), self.split(self.value(x))

    def forward(self, x: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
        """Attend from x (B, T, C) over keys and values; `bias` is added to the scores."""
        B, T, _ = x.shape
        query = self.split(self.query(x)) * self.width**-0.5  # (B, N, T, W)
        scores = query @ key.transpose(2, 3)  # (B, N, T, S)
        if bias is not None:
            scores = scores + bias
        weights = dropout(F.softmax(scores, dim=-1), self.dropout, self.training)
        mixed = (weights @ value).transpose(1, 2).reshape(B, T, self.heads * self.width)
        return self.out(mixed)  # type: ignore[no-any-return]


class ConvBranch(nn.Module):
    """Lightweight or dynamic convolution between two linear layers (arXiv:2004.11886 sec. 4.1).

    A lightweight kernel is a parameter (H, K); a dynamic one is predicted from the convolution's
    own input at the output position, without a bias.
    """

    def __init__(self, config: ModelConfig, heads: Heads, kernel_size: int, left: int) -> None:
        super().__init__()
        self.heads, self.kernel_size, self.left = heads.count, kernel_size, left
        self.glu, self.padding = config.conv_glu, config.conv_padding
        self.weight_dropout = config.weight_dropout
        self.valid: Callable[[Tensor, Tensor], Tensor] = convolve_valid  # exporters replace it
        inner = heads.inner
        self.linear1 = nn.Linear(heads.channels, 2 * inner if self.glu else inner)
        self.linear2 = nn.Linear(inner, heads.channels)
        _init_linear(self.linear1)
        _init_linear(self.linear2)
        if config.conv_type == "dynamic":
            self.kernel_predictor = nn.Linear(inner, self.heads * kernel_size, bias=False)
            nn.init.xavier_uniform_(self.kernel_predictor.weight)
        else:
            bound = math.sqrt(6 / (kernel_size + self.heads * kernel_size))
            kernel = torch.empty(self.heads, kernel_size).uniform_(-bound, bound)
            self.kernel = nn.Parameter(kernel)

    def project(self, x: Tensor, real: Tensor | None = None) -> Tensor:
        """The convolution's input (B, T, N W); `real` (B, T, 1) is 0 on padded positions."""
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
            taps = dropout(taps, self.weight_dropout, self.training)
            return self.linear2(convolve_band(y, taps, self.left))  # type: ignore[no-any-return]
        padded = F.pad(y, (0, 0, self.left, self.kernel_size - 1 - self.left))
        return self.linear2(self.valid(padded, self.logits(y)))  # type: ignore[no-any-return]

    def step(self, x: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """Convolve the newest position (B, 1, C), given the K-1 inputs before it (B, K-1, N W)."""
        y = self.project(x)
        window = torch.cat([cache, y], dim=1)  # (B, K, N W)
        return self.linear2(self.valid(window, self.logits(y))), window[:, 1:]


class FeedForward(nn.Module):
    """Two linear layers with ReLU between (arXiv:1706.03762 sec. 3.3)."""

    def __init__(self, config: ModelConfig, ffn_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.embed_dim, ffn_dim)
        self.fc2 = nn.Linear(ffn_dim, config.embed_dim)
        self.dropout = config.activation_dropout
        _init_linear(self.fc1)
        _init_linear(self.fc2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        return self.fc2(dropout(F.relu(self.fc1(x)), self.dropout, self.training))  # type: ignore[no-any-return]


class EncoderLayer(nn.Module):
    """Mixing of positions, then a feed-forward network, each with a residual sum and layer norm.

    What mixes is attention, convolution, or both on half of the channels each (LSRA), as the
    shape says.
    """

    def __init__(self, config: ModelConfig, shape: LayerShape) -> None:
        super().__init__()
        self.dropout, self.normalize_before = config.dropout, config.normalize_before
        kernel_size = shape.kernel_size
        if shape.attention.count:
            self.attention = Attention(shape.attention, config.attention_dropout)
        if kernel_size:
            self.conv = ConvBranch(config, shape.conv, kernel_size, left=kernel_size // 2)
        self.lsra_norm = nn.LayerNorm(config.embed_dim)
        self.ffn = FeedForward(config, shape.ffn_dim)
        self.ffn_norm = nn.LayerNorm(config.embed_dim)

    @property
    def attends(self) -> bool:
        """Whether self-attention is there."""
        return hasattr(self, "attention")

    @property
    def convolves(self) -> bool:
        """Whether a convolution is there."""
        return hasattr(self, "conv")

    def forward(self, x: Tensor, bias: Tensor, real: Tensor) -> Tensor:
        """(B, S, D); `bias` (B, 1, 1, S) and `real` (B, S, 1) hide padded positions."""
        y = self.mix(self.before(x, self.lsra_norm), bias, real)
        return self.feed_forward(self.after(x, y, self.lsra_norm))

    def mix(self, x: Tensor, bias: Tensor, real: Tensor | None) -> Tensor:
        """Attention over and convolution of a whole sequence (B, T, D)."""
        attended, convolved = self.branches(x)
        if self.attends:
            attended = self.attention(attended, *self.attention.keys_values(attended), bias)
        if self.convolves:
            convolved = self.conv(convolved, real)
        return self.joined(attended, convolved)

    def feed_forward(self, x: Tensor) -> Tensor:
        """The feed-forward network with its residual sum and norm."""
        return self.after(x, self.ffn(self.before(x, self.ffn_norm)), self.ffn_norm)

    def branches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The channels of attention and those of convolution; all of them where one is alone."""
        if self.attends and self.convolves:
            attended, convolved = x.chunk(2, dim=-1)  # (B, T, D/2) each
            return attended, convolved
        return x, x

    def joined(self, attended: Tensor, convolved: Tensor) -> Tensor:
        """What `branches` divided, (B, T, D) again."""
        if self.attends and self.convolves:
            return torch.cat([attended, convolved], dim=-1)
        return attended if self.attends else convolved

    def before(self, x: Tensor, norm: nn.LayerNorm) -> Tensor:
        """The input of a sublayer: normalized here in a pre-norm model."""
        return norm(x) if self.normalize_before else x

    def after(self, x: Tensor, update: Tensor, norm: nn.LayerNorm) -> Tensor:
        """The residual sum x + dropout(update): normalized here in a post-norm model."""
        x = x + dropout(update, self.dropout, self.training)
        return x if self.normalize_before else norm(x)


class DecoderLayer(EncoderLayer):
    """Causal mixing, attention of all channels over the source, then a feed-forward network.

    A language model's layer has no source to attend over.
    """

    def __init__(self, config: ModelConfig, shape: LayerShape) -> None:
        super().__init__(config, shape)
        if shape.kernel_size:
            self.conv.left = shape.kernel_size - 1
        if shape.cross_attention.count:
            self.cross_attention = Attention(shape.cross_attention, config.attention_dropout)
            self.cross_norm = nn.LayerNorm(config.embed_dim)

    def forward(
        self,
        x: Tensor,
        causal: Tensor,
        memory: Tensor | None = None,
        memory_bias: Tensor | None = None,
    ) -> Tensor:
        """(B, T, D) with `causal` (T, T); `memory` (B, S, D), `memory_bias` (B, 1, 1, S)."""
        y = self.mix(self.before(x, self.lsra_norm), causal, None)
        x = self.after(x, y, self.lsra_norm)
        if memory is not None:
            x = self.cross(x, *self.cross_attention.keys_values(memory), memory_bias)
        return self.feed_forward(x)

    def cross(self, x: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
        """Attention over the source, with its residual sum and norm."""
        y = self.cross_attention(self.before(x, self.cross_norm), key, value, bias)
        return self.after(x, y, self.cross_norm)

    def step(
        self, x: Tensor, now: Tensor, bias: Tensor, memory_bias: Tensor | None, state: LayerState
    ) -> tuple[Tensor, LayerState]:
        """One position (B, 1, D): `now` (T, 1) marks it in the caches, `bias` (T,) hides later."""
        attended, convolved = self.branches(self.before(x, self.lsra_norm))  # (B, 1, C) each
        if state.key is not None and state.value is not None:
            key, value = self.attention.keys_values(attended)  # (B, N, 1, W)
            key = torch.where(now, key, state.key)  # (B, N, T, W)
            value = torch.where(now, value, state.value)
            attended = self.attention(attended, key, value, bias)
            state = state._replace(key=key, value=value)
        if state.conv is not None:
            convolved, conv = self.conv.step(convolved, state.conv)
            state = state._replace(conv=conv)
        x = self.after(x, self.joined(attended, convolved), self.lsra_norm)
        if state.cross_key is not None and state.cross_value is not None:
            x = self.cross(x, state.cross_key, state.cross_value, memory_bias)
        return self.feed_forward(x), state


def empty_caches(shape: LayerShape, batch: int, length: int, like: Tensor) -> LayerState:
    """A layer's state before the first of `length` positions, without a source."""
    heads = shape.attention
    key = value = conv = None
    if heads.count:
        key = like.new_zeros(batch, heads.count, length, heads.width)
        value = like.new_zeros(batch, heads.count, length, heads.width)
    if shape.kernel_size:
        conv = like.new_zeros(batch, shape.kernel_size - 1, shape.conv.inner)
    return LayerState(key, value, conv, None, None)


def slots(states: Sequence[LayerState], step: Tensor) -> tuple[Tensor, Tensor]:
    """`now` (T, 1), true for the cache's slot of this step, and `bias` (T,), hiding later ones."""
    keys = [state.key for state in states if state.key is not None]
    length = keys[0].shape[2] if keys else 1
    slot = torch.arange(length, device=step.device)  # (T,)
    return (slot == step).unsqueeze(-1), (slot > step).float() * MASKED


def causal_bias(length: int, like: Tensor) -> Tensor:
    """Scores (T, T) to add so that no position attends over later ones."""
    return torch.full((length, length), MASKED, device=like.device, dtype=like.dtype).triu(1)


def _init_linear(linear: nn.Linear) -> None:
    nn.init.xavier_uniform_(linear.weight)
    nn.init.zeros_(linear.bias)
