"""The graphs of a TFLite package, written from a model's config: no torch, no tracing.

Names, meanings and order of inputs and outputs are those of `graphs` and `language_graph`, with
two differences: token and source ids are int32, and a convolution of one tap has no cache.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from litecompress.encoding import Encoding
from litecompress.export.tflite_layers import MASKED, Blocks, ConvBranch, real_positions
from litecompress.export.tflite_ops import Ops
from litecompress.export.tflite_stored import Activations, Weights
from litecompress.export.tflite_vocabulary import embedded_token, log_probabilities
from litecompress.export.tflite_writer import FileWriter, GraphWriter, Value
from litecompress.model.config import PAD_ID, ModelConfig
from litecompress.model.layer_shape import LayerShape, layer_shapes

Outputs = dict[str, Value]


@dataclass(frozen=True)
class Form:
    """What all graphs of a file have in common."""

    config: ModelConfig
    planned: Mapping[str, Encoding]
    activations: Activations = "dynamic"
    conv_branch: ConvBranch = "builtin"
    integer_lookups: bool = True  # of a table in integers; else it is expanded as a whole


def write_graphs(form: Form, lengths: tuple[int, ...]) -> FileWriter:
    """Signatures `encode_L` and `decode_L`, or a language model's `step_L`, for every length L."""
    file = FileWriter()
    written: dict[str, Callable[[Blocks, int], Outputs]] = (
        {"step": language_step}
        if form.config.is_language_model
        else {"encode": encoder, "decode": decoder_step}
    )
    for length in lengths:
        for verb, write in written.items():
            ops = Ops(GraphWriter(file))
            weights = Weights(
                ops, form.planned, form.activations, integer_lookups=form.integer_lookups
            )
            outputs = write(Blocks(ops, weights, form.config, form.conv_branch), length)
            ops.graph.finish(outputs, f"{verb}_{length}")
    return file


def encoder(blocks: Blocks, length: int) -> Outputs:
    """Tokens (1, S) to the score bias (1, 1, 1, S) and each layer's cross keys and values."""
    ops, config = blocks.ops, blocks.config
    source = ops.graph.input("source", (1, length), np.int32)
    real, position = real_positions(ops, source)  # (S, 1)
    hidden = ops.multiply(ops.subtract(ops.number(1), real), ops.number(MASKED))
    bias = ops.reshape(hidden, (1, 1, 1, length))
    real = ops.reshape(real, (1, length, 1))
    tokens = ops.reshape(source, (length,))
    x = blocks.embedded(tokens, position, _table(config, "source_embedding"))
    x = ops.multiply(x, real)
    for i, shape in enumerate(layer_shapes(config, "encoder")):
        x = _encoder_layer(blocks, x, f"encoder.{i}", shape, bias, real)
    outputs = {"memory_bias": bias}
    for i, shape in enumerate(layer_shapes(config, "decoder")):
        name, heads = f"decoder.{i}.cross_attention", shape.cross_attention
        outputs[f"cross_key_{i}"] = blocks.heads(x, f"{name}.key", heads)
        outputs[f"cross_value_{i}"] = blocks.heads(x, f"{name}.value", heads)
    return outputs


def _encoder_layer(
    blocks: Blocks, x: Value, name: str, shape: LayerShape, bias: Value, real: Value
) -> Value:
    """(1, S, D) to (1, S, D)."""
    before = blocks.before(x, f"{name}.lsra_norm")
    attended, convolved = blocks.branches(before, shape)
    mixed: list[Value | None] = [None, None]
    if shape.attention.count:
        attention = f"{name}.attention"
        key, value = (
            blocks.heads(attended, f"{attention}.{part}", shape.attention)
            for part in ("key", "value")
        )
        mixed[0] = blocks.attention(attended, attention, shape.attention, key, value, bias)
    if taps := shape.kernel_size:
        conv = f"{name}.conv"
        y = blocks.conv_input(convolved, conv, real)
        window = blocks.ops.pad(y, 1, taps // 2, taps - 1 - taps // 2)
        mixed[1] = blocks.convolved(y, window, conv, shape.conv, taps)
    x = blocks.after(x, blocks.joined(*mixed), f"{name}.lsra_norm")
    return blocks.feed_forward(x, name)


def decoder_step(blocks: Blocks, length: int) -> Outputs:
    """Token (1, 1), step (1,), memory_bias and the layers' states to logits (1, V) and caches."""
    ops, config = blocks.ops, blocks.config
    token, step = _token_and_step(ops)
    memory_bias = ops.graph.input("memory_bias", (1, 1, 1, length))
    table = _table(config, "target_embedding")
    x = blocks.embedded(ops.reshape(token, (1,)), _position(ops, step), table)
    place = _Place.of(ops, step, length)
    outputs: Outputs = {"logits": x}
    for i, shape in enumerate(layer_shapes(config, "decoder")):
        x = _decoder_layer(blocks, x, i, shape, place, outputs)
        heads = shape.cross_attention
        shapes = 1, heads.count, length, heads.width
        key, value = (ops.graph.input(f"cross_{part}_{i}", shapes) for part in ("key", "value"))
        cross = f"decoder.{i}.cross"
        attended = blocks.attention(
            blocks.before(x, f"{cross}_norm"), f"{cross}_attention", heads, key, value, memory_bias
        )
        x = blocks.after(x, attended, f"{cross}_norm")
        x = blocks.feed_forward(x, f"decoder.{i}")
    features = ops.reshape(x, (1, config.embed_dim))
    outputs["logits"] = blocks.weights.linear(features, _table(config, "output"))
    return outputs


def language_step(blocks: Blocks, length: int) -> Outputs:
    """Token (1, 1), step (1,) and the layers' caches to log_probs (1, V) and caches."""
    ops, config = blocks.ops, blocks.config
    token, step = _token_and_step(ops)
    rows = embedded_token(blocks, ops.reshape(token, (1,)))
    x = blocks.positioned(rows, _position(ops, step))
    place = _Place.of(ops, step, length)
    outputs: Outputs = {"log_probs": x}
    for i, shape in enumerate(layer_shapes(config, "decoder")):
        x = _decoder_layer(blocks, x, i, shape, place, outputs)
        x = blocks.feed_forward(x, f"decoder.{i}")
    outputs["log_probs"] = log_probabilities(blocks, ops.reshape(x, (1, config.embed_dim)))
    return outputs


@dataclass(frozen=True)
class _Place:
    """Where a step writes in caches of T positions: `now` (1, 1, T, 1) is 1 there, `others` 0;
    `bias` (1, 1, 1, T) hides later ones."""

    now: Value
    others: Value
    bias: Value

    @classmethod
    def of(cls, ops: Ops, step: Value, length: int) -> _Place:
        slots = ops.graph.constant(np.arange(length, dtype=np.int32))
        now = ops.reshape(ops.compare("EQUAL", slots, step), (1, 1, length, 1))
        later = ops.multiply(ops.compare("GREATER", slots, step), ops.number(MASKED))
        others = ops.subtract(ops.number(1), now)
        return cls(now, others, ops.reshape(later, (1, 1, 1, length)))


def _decoder_layer(
    blocks: Blocks, x: Value, number: int, shape: LayerShape, place: _Place, outputs: Outputs
) -> Value:
    """Causal mixing of one position (1, 1, D); the caches after it are added to the outputs."""
    ops, name, length = blocks.ops, f"decoder.{number}", place.now.shape[2]
    attended, convolved = blocks.branches(blocks.before(x, f"{name}.lsra_norm"), shape)
    mixed: list[Value | None] = [None, None]
    if heads := shape.attention.count:
        caches = {}
        for part in ("key", "value"):
            cache = ops.graph.input(f"{part}_{number}", (1, heads, length, shape.attention.width))
            new = blocks.heads(attended, f"{name}.attention.{part}", shape.attention)
            kept = ops.multiply(cache, place.others)
            caches[part] = ops.add(kept, ops.multiply(new, place.now))  # (1, N, T, W)
            outputs[f"next_{part}_{number}"] = caches[part]
        attention = f"{name}.attention"
        mixed[0] = blocks.attention(attended, attention, shape.attention, **caches, bias=place.bias)
    if taps := shape.kernel_size:
        y = blocks.conv_input(convolved, f"{name}.conv")
        window = y
        if taps > 1:
            inner = shape.conv.inner
            cache = ops.graph.input(f"conv_{number}", (1, taps - 1, inner))
            window = ops.concatenate([cache, y], 1)  # (1, K, N W)
            after = ops.slice(window, (0, 1, 0), (1, taps - 1, inner))
            outputs[f"next_conv_{number}"] = after
        mixed[1] = blocks.convolved(y, window, f"{name}.conv", shape.conv, taps)
    return blocks.after(x, blocks.joined(*mixed), f"{name}.lsra_norm")


def _token_and_step(ops: Ops) -> tuple[Value, Value]:
    return (
        ops.graph.input("token", (1, 1), np.int32),
        ops.graph.input("step", (1,), np.int32),
    )


def _position(ops: Ops, step: Value) -> Value:
    """The position (1, 1) of the token of a step."""
    counted = ops.add(ops.cast(step), ops.number(PAD_ID + 1))
    return ops.reshape(counted, (1, 1))


def _table(config: ModelConfig, name: str) -> str:
    """The weight of the source's or the target's look-up table, or of the output."""
    return "embedding.weight" if config.share_embeddings else f"{name}.weight"
