"""Heads and channels of every layer of a model, whole or pruned in structure; no torch needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from litecompress.model.config import Kept, ModelConfig

Stack = Literal["encoder", "decoder"]


@dataclass(frozen=True)
class Heads:
    """Heads of equal `width` between `channels` in and as many out; `count` 0 for none."""

    channels: int
    count: int
    width: int

    @property
    def inner(self) -> int:
        """Channels of all heads together: fewer than `channels` where some were pruned."""
        return self.count * self.width


@dataclass(frozen=True)
class LayerShape:
    """What one layer is made of."""

    kernel_size: int
    ffn_dim: int
    attention: Heads
    conv: Heads
    cross_attention: Heads


def layer_shapes(config: ModelConfig, stack: Stack) -> list[LayerShape]:
    """The layers of the encoder or of the decoder, first to last."""
    kernels = config.encoder_kernel_sizes if stack == "encoder" else config.decoder_kernel_sizes
    return [_shape(config, k, left) for k, left in zip(kernels, kept(config, stack), strict=True)]


def kept(config: ModelConfig, stack: Stack) -> tuple[Kept, ...]:
    """What is left of every layer, also where nothing was pruned."""
    encoder = stack == "encoder"
    kernels = config.encoder_kernel_sizes if encoder else config.decoder_kernel_sizes
    pruned = config.encoder_kept if encoder else config.decoder_kept
    return pruned or tuple(config.whole(kernel, crosses=not encoder) for kernel in kernels)


def _shape(config: ModelConfig, kernel_size: int, left: Kept) -> LayerShape:
    attention, cross = config.attention_dim(kernel_size), config.embed_dim
    return LayerShape(
        kernel_size,
        left.ffn_dim,
        _heads(attention, left.attention_heads, config.attention_heads),
        Heads(config.conv_dim(kernel_size), left.conv_heads, left.conv_head_dim),
        _heads(cross, left.cross_attention_heads, config.cross_attention_heads),
    )


def _heads(channels: int, count: int, whole: int) -> Heads:
    """Heads that keep the width that they had as one of the `whole` number."""
    return Heads(channels, count, channels // whole if count else 0)
