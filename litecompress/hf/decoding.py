"""Decoder layers over padded tokens, with a cache and without.

Tokens may be padded on either side. What is hidden is as if it were not there: positions are
counted past it, no attention sees it, and convolutions get zeros as before the beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from litecompress.errors import InputError
from litecompress.hf.cache import LayerCache, LiteTransformerCache
from litecompress.model.config import PAD_ID
from litecompress.model.embedding import positions
from litecompress.model.layers import MASKED, DecoderLayer, causal_bias

Embed = Callable[[Tensor, Tensor], Tensor]  # tokens and positions (B, T) to (B, T, D)


@dataclass(frozen=True)
class Memory:
    """What the encoder made of the source: states (B, S, D) and a score bias (B, 1, 1, S)."""

    states: Tensor
    bias: Tensor


def hidden_as_padding(tokens: Tensor, mask: Tensor | None) -> Tensor:
    """Tokens (B, T) with padding in place of those that the mask (B, T) hides by a zero."""
    if mask is None:
        return tokens
    if mask.shape != tokens.shape:
        raise InputError(
            f"expected an attention mask of the tokens' shape {tuple(tokens.shape)}, got "
            f"{tuple(mask.shape)}"
        )
    return tokens.masked_fill(mask == 0, PAD_ID)


def decode(
    layers: Iterable[DecoderLayer], embed: Embed, tokens: Tensor, memory: Memory | None
) -> list[Tensor]:
    """States (B, T, D) of whole texts: embedded, then after each layer."""
    real = tokens != PAD_ID
    _check_sides(real)
    order = torch.sort((~real).long(), dim=1, stable=True).indices  # hidden tokens last
    tokens = tokens.gather(1, order)
    x = embed(tokens, positions(tokens))
    states, causal = [x], causal_bias(x.shape[1], x)
    for layer in layers:
        x = layer(x, causal) if memory is None else layer(x, causal, memory.states, memory.bias)
        states.append(x)
    back = order.argsort(dim=1).unsqueeze(-1)
    return [state.take_along_dim(back, dim=1) for state in states]


def decode_on(
    layers: Iterable[DecoderLayer],
    embed: Embed,
    tokens: Tensor,
    memory: Memory | None,
    cache: LiteTransformerCache,
) -> list[Tensor]:
    """States (B, T', D) of the newest tokens (B, T') of texts that the cache remembers."""
    real = tokens != PAD_ID
    seen = cache.extend(real)  # (B, T)
    if tokens.shape[1] > 1:
        _check_sides(seen)
    newest = slice(seen.shape[1] - tokens.shape[1], None)
    x = embed(tokens, seen.cumsum(dim=1)[:, newest] * real + PAD_ID)
    bias = _bias(seen, tokens.shape[1]).to(x.dtype)  # (B, 1, T', T)
    shown = real.unsqueeze(-1).to(x.dtype)  # (B, T', 1)
    states = [x]
    for layer, state in zip(layers, cache.layers, strict=True):
        x = _layer(layer, x, state, bias, shown, memory)
        states.append(x)
    return states


def _layer(
    layer: DecoderLayer,
    x: Tensor,
    state: LayerCache,
    bias: Tensor,
    shown: Tensor,
    memory: Memory | None,
) -> Tensor:
    """One layer over the newest positions (B, T', D)."""
    attended, convolved = layer.branches(layer.before(x, layer.lsra_norm))
    if layer.attends:
        keys, values = state.update(*layer.attention.keys_values(attended))
        attended = layer.attention(attended, keys, values, bias)
    if layer.convolves:
        inputs = layer.conv.project(convolved) * shown
        mixed = layer.conv.valid(state.window(inputs), layer.conv.logits(inputs))
        convolved = layer.conv.linear2(mixed)
    x = layer.after(x, layer.joined(attended, convolved), layer.lsra_norm)
    if memory is not None:
        keys, values = state.cross(layer.cross_attention, memory.states)
        x = layer.cross(x, keys, values, memory.bias)
    return layer.feed_forward(x)


def _bias(seen: Tensor, newest: int) -> Tensor:
    """Scores (B, 1, T', T) to add so that the newest T' see neither later nor hidden positions."""
    T = seen.shape[1]
    position = torch.arange(T, device=seen.device)
    visible = seen[:, None, :] & (position <= position[T - newest :, None])  # (B, T', T)
    return (~visible).float().unsqueeze(1) * MASKED


def _check_sides(real: Tensor) -> None:
    """An InputError where tokens (B, T) are hidden between others: a gap has no exact meaning."""
    begins = real[:, 1:] & ~real[:, :-1]
    if bool((begins.sum(dim=1) + real[:, 0] > 1).any()):
        raise InputError(
            "expected decoder tokens that are hidden at the sides only, got some between others; "
            "take them out"
        )
