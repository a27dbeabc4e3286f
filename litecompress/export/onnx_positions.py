"""Token and position embeddings as ONNX operators (see model/embedding.py)."""

from __future__ import annotations

import math

import numpy as np

from litecompress.export.onnx_network import Network
from litecompress.export.onnx_writer import FLOAT, Value
from litecompress.model.config import PAD_ID

MASKED = -1e4  # added to a score that must not count: exp gives exactly 0, and float16 holds it


class Padding:
    """Which of the source tokens (B, S) are padding, in the forms that layers read."""

    def __init__(self, network: Network, source: Value) -> None:
        emit, writer = network.emit, network.writer
        hidden = emit("Equal", source, writer.constant(np.int64(PAD_ID)))  # (B, S)
        self.row = emit("Cast", emit("Not", hidden), to=FLOAT)  # 1 for a token, 0 for padding
        self.real = emit("Unsqueeze", self.row, writer.integers(-1))  # (B, S, 1)
        bias = emit("Where", hidden, network.number(MASKED), network.number(0))
        self.bias = emit("Unsqueeze", bias, writer.integers(1, 2))  # (B, 1, 1, S)


def source_positions(network: Network, padding: Padding, dim: int) -> Value:
    """Position embeddings (B, S, D) counted from 2 past any padding, which has zeros."""
    emit = network.emit
    count = emit("CumSum", padding.row, network.writer.constant(np.int64(1)))
    position = emit("Add", emit("Mul", count, padding.row), network.number(PAD_ID))
    position = emit("Unsqueeze", position, network.writer.integers(-1))
    return emit("Mul", _sinusoids(network, position, dim), padding.real)


def step_position(network: Network, step: Value, dim: int) -> Value:
    """The position embedding (D,) of a step (1,) counted from 0."""
    position = network.emit("Cast", step, to=FLOAT)
    position = network.emit("Add", position, network.number(PAD_ID + 1))
    return _sinusoids(network, position, dim)


def scaled(network: Network, rows: Value, dim: int) -> Value:
    """Rows of a table as the network adds them to positions."""
    return network.emit("Mul", rows, network.number(math.sqrt(dim)))


def _sinusoids(network: Network, position: Value, dim: int) -> Value:
    """[sin(p f) | cos(p f)] of positions (.., 1), (.., D)."""
    half = dim // 2
    exponents = np.arange(half, dtype=np.float32) * np.float32(-math.log(1e4) / (half - 1))
    rates = network.writer.constant(np.exp(exponents), "position_rates")
    angle = network.emit("Mul", position, rates)
    return network.emit("Concat", network.emit("Sin", angle), network.emit("Cos", angle), axis=-1)
