"""A language model's input and output over its vocabulary, plain or adaptive, in TFLite."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from litecompress.export.tflite_layers import Blocks
from litecompress.export.tflite_writer import Value


def embedded_token(blocks: Blocks, token: Value) -> Value:
    """The embedding (1, D) of a token (1,), not yet scaled."""
    config = blocks.config
    if not config.adaptive_cutoffs:
        return blocks.weights.lookup(token, "embedding.weight")
    ends = (0, *config.adaptive_cutoffs, config.target_vocab_size)
    parts = [_of_band(blocks, token, i, *span) for i, span in enumerate(pairwise(ends))]
    total, *rest = parts
    for part in rest:
        total = blocks.ops.add(total, part)
    return total


def _of_band(blocks: Blocks, token: Value, band: int, start: int, end: int) -> Value:
    """The embedding (1, D) of a token if it is in a band, else zeros."""
    ops = blocks.ops
    first, last = (ops.graph.constant(np.array([n], np.int32)) for n in (start, end - 1))
    bounded = ops.graph.operator("MAXIMUM", [token, first], (1,), dtype=np.int32)
    bounded = ops.graph.operator("MINIMUM", [bounded, last], (1,), dtype=np.int32)
    row = ops.graph.operator("SUB", [bounded, first], (1,), dtype=np.int32)
    name = f"embedding.bands.{band}"
    narrow = blocks.weights.lookup(row, f"{name}.table.weight")  # (1, w)
    wide = blocks.weights.linear(narrow, f"{name}.projection.weight")  # (1, D)
    return ops.multiply(wide, ops.reshape(ops.compare("EQUAL", bounded, token), (1, 1)))


def log_probabilities(blocks: Blocks, features: Value) -> Value:
    """Log-probability (1, V) of every word, from features (1, D)."""
    config, weights = blocks.config, blocks.weights
    if not config.adaptive_cutoffs:
        return _log_softmax(blocks, weights.linear(features, "embedding.weight"))
    words = weights.linear(features, "embedding.bands.0.table.weight")
    classes = weights.linear(features, "embedding.classes.weight")
    head = _log_softmax(blocks, blocks.ops.concatenate([words, classes], 1))
    first = config.adaptive_cutoffs[0]
    parts = [blocks.ops.slice(head, (0, 0), (1, first))]
    for band in range(1, len(config.adaptive_cutoffs) + 1):
        chosen = blocks.ops.slice(head, (0, first + band - 1), (1, 1))
        parts.append(blocks.ops.add(_log_probs_within(blocks, features, band), chosen))
    return blocks.ops.concatenate(parts, 1)


def _log_probs_within(blocks: Blocks, features: Value, band: int) -> Value:
    """Log-probabilities (1, n) of a band's words, given that it is the band."""
    name = f"embedding.bands.{band}"
    projection = blocks.weights.expanded(f"{name}.projection.weight")  # (D, w)
    narrow = blocks.ops.product(features, projection)
    return _log_softmax(blocks, blocks.weights.linear(narrow, f"{name}.table.weight"))


def _log_softmax(blocks: Blocks, x: Value) -> Value:
    return blocks.ops.unary("LOG_SOFTMAX", x)
