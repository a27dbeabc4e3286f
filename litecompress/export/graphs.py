"""The two graphs of a translation package as torch modules with plain tensors in and out.

`encoder`: source -> memory_bias, and cross_key_i, cross_value_i of every decoder layer i.
`decoder`: token, step, memory_bias, and per layer key_i, value_i, conv_i, cross_key_i,
cross_value_i -> logits, and per layer next_key_i, next_value_i, next_conv_i; a layer without
attention has no key_i and value_i, one without convolution no conv_i.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from litecompress.errors import UnsupportedOpError
from litecompress.model.config import EOS_ID, ModelConfig
from litecompress.model.conv import convolve_valid
from litecompress.model.layers import ConvBranch, LayerState
from litecompress.model.lite_transformer import LiteTransformer

NOTHING = LayerState(None, None, None, None, None)


class EncoderGraph(nn.Module):
    """Tokens (B, S) to the score bias (B, 1, 1, S) and each layer's cross keys and values."""

    def __init__(self, model: LiteTransformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: Tensor) -> tuple[Tensor, ...]:
        memory, bias = self.model.encode(source)
        flat = [t for pair in self.model.cross_keys_values(memory) for t in pair]
        return (bias, *flat)


class DecoderGraph(nn.Module):
    """One step: token (B, 1), step (1,), memory_bias, the layers' states, to logits (B, V)."""

    def __init__(self, model: LiteTransformer) -> None:
        super().__init__()
        self.model = model
        self.parts = state_parts(model.config)

    def forward(
        self, token: Tensor, step: Tensor, memory_bias: Tensor, *states: Tensor
    ) -> tuple[Tensor, ...]:
        rest = iter(states)
        layers = [NOTHING._replace(**{part: next(rest) for part in parts}) for parts in self.parts]
        logits, after = self.model.step(token, step, memory_bias, layers)
        return (logits, *(t for state in after for t in state[:3] if t is not None))


def build(
    config: ModelConfig,
    weights: Mapping[str, NDArray[np.float32]],
    valid: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> LiteTransformer:
    """The network, ready to trace: its convolutions in the form that exporters need.

    `valid` takes the place of the padded convolution, kernel softmax included (see conv_branch).
    """
    if config.is_language_model:
        raise UnsupportedOpError(
            "expected an encoder-decoder, got a language model; export it to onnx"
        )
    model = LiteTransformer.from_weights(config, weights)
    replace_convolutions(model, valid)
    return model


def replace_convolutions(
    model: nn.Module, valid: Callable[[Tensor, Tensor], Tensor] | None = None
) -> None:
    """Give a network's convolutions the form that exporters need, or `valid` (see conv_branch)."""
    for module in model.modules():
        if isinstance(module, ConvBranch):
            module.valid = valid or _gather


def state_parts(config: ModelConfig) -> list[tuple[str, ...]]:
    """Which parts of a LayerState each decoder layer has, in its order."""
    return [
        tuple(
            part
            for part in LayerState._fields
            if not (part in ("key", "value") and not config.attention_dim(kernel))
            and not (part == "conv" and not kernel)
        )
        for kernel in config.decoder_kernel_sizes
    ]


def encoder_names(config: ModelConfig) -> tuple[list[str], list[str]]:
    """Input and output names of the encoder."""
    layers = len(config.decoder_kernel_sizes)
    cross = [f"cross_{part}_{i}" for i in range(layers) for part in ("key", "value")]
    return ["source"], ["memory_bias", *cross]


def decoder_names(config: ModelConfig) -> tuple[list[str], list[str]]:
    """Input and output names of the decoder step."""
    states = [f"{part}_{i}" for i, parts in enumerate(state_parts(config)) for part in parts]
    after = [f"next_{name}" for name in states if not name.startswith("cross_")]
    return ["token", "step", "memory_bias", *states], ["logits", *after]


def encoder_example(batch: int, length: int) -> tuple[Tensor]:
    """Inputs to trace the encoder with."""
    source = torch.full((batch, length), 5, dtype=torch.int64)
    source[:, -1] = EOS_ID
    return (source,)


def decoder_example(
    model: LiteTransformer, batch: int, source_length: int, target_length: int
) -> tuple[Tensor, ...]:
    """Inputs to trace the decoder step with, with room for `target_length` positions."""
    with torch.no_grad():
        memory, bias = model.encode(*encoder_example(batch, source_length))
        states = model.start(memory, target_length)
    present = (t for state in states for t in state if t is not None)
    token = torch.full((batch, 1), EOS_ID, dtype=torch.int64)
    return (token, torch.tensor([0]), bias, *present)


def _gather(x: Tensor, logits: Tensor) -> Tensor:
    """`convolve_valid` under another name: ConvBranch takes its band form only for the original."""
    return convolve_valid(x, logits)
