"""Adaptive input and softmax as ONNX operators (see model/adaptive.py)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from litecompress.export.onnx_network import Network
from litecompress.export.onnx_writer import Value
from litecompress.model.config import ModelConfig


def adaptive_rows(network: Network, config: ModelConfig, tokens: Value) -> Value:
    """Embeddings (B, T, D), every band looked up: no shape depends on a token."""
    emit, x = network.emit, ""
    for i, (start, end) in enumerate(_ranges(config)):
        low, high = (network.writer.constant(np.int64(n)) for n in (0, end - start - 1))
        shifted = emit("Sub", tokens, network.writer.constant(np.int64(start)))
        rows = network.rows(f"{_band(i)}.table.weight", emit("Clip", shifted, low, high))
        projected = network.linear(rows, f"{_band(i)}.projection")
        if not x:
            x = projected
            continue
        inside = emit("GreaterOrEqual", shifted, low)  # later bands overwrite those that end there
        x = emit("Where", emit("Unsqueeze", inside, network.writer.integers(-1)), projected, x)
    return x


def adaptive_log_probs(network: Network, config: ModelConfig, features: Value) -> Value:
    """Log-probabilities (B, V) of every word, from features (B, D)."""
    names = [f"{_band(0)}.table.weight", "embedding.classes.weight"]
    head = network.emit("LogSoftmax", network.product(features, names), axis=-1)
    ranges = _ranges(config)
    sizes = network.writer.integers(ranges[0][1], *[1] * (len(ranges) - 1))
    first, *classes = network.writer.emit_several(len(ranges), "Split", head, sizes, axis=-1)
    parts = [first]
    for i, of_class in enumerate(classes, 1):
        narrow = network.emit("MatMul", features, network.floats(f"{_band(i)}.projection.weight"))
        words = network.product(narrow, [f"{_band(i)}.table.weight"])
        words = network.emit("LogSoftmax", words, axis=-1)
        parts.append(network.emit("Add", words, of_class))
    return network.emit("Concat", *parts, axis=-1)


def _ranges(config: ModelConfig) -> list[tuple[int, int]]:
    """First id of each band, and that after its last."""
    return list(pairwise((0, *config.adaptive_cutoffs, config.target_vocab_size)))


def _band(index: int) -> str:
    return f"embedding.bands.{index}"
