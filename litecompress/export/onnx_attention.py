"""Attention as ONNX operators (see model/layers.py): N heads of W channels, N W those of all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from litecompress.export.onnx_network import Network
from litecompress.export.onnx_positions import MASKED
from litecompress.export.onnx_writer import Value
from litecompress.model.layer_shape import Heads


def self_attention(network: Network, name: str, heads: Heads, x: Value, bias: Value) -> Value:
    """A sequence (B, T, C) over itself; `bias` is added to the scores."""
    names = [f"{name}.{part}" for part in ("query", "key", "value")]
    query, key, value = _by_head(network, network.linear(x, *names), [heads] * 3)
    mixed = _mixed(network, heads, query, key, value, bias)  # (B, N, T, W)
    mixed = network.emit("Transpose", mixed, perm=[0, 2, 1, 3])
    mixed = network.emit("Reshape", mixed, network.writer.integers(0, 0, -1))
    return network.linear(mixed, f"{name}.out")


def keys_values(
    network: Network, names: Sequence[str], heads: Sequence[Heads], x: Value
) -> list[Value]:
    """Keys and values (B, N, S, W) of several attentions over x (B, S, C), pair after pair."""
    linears = [f"{name}.{part}" for name in names for part in ("key", "value")]
    return _by_head(network, network.linear(x, *linears), [h for h in heads for _ in range(2)])


class Caches:
    """Where a step's keys and values go, and which of the cached ones count."""

    def __init__(self, network: Network, token: Value, step: Value) -> None:
        self.network, self.token, self.step = network, token, step
        self._bias: Value | None = None
        self._places: dict[int, Value] = {}

    def bias(self, keys: Value) -> Value:
        """Scores (T,) to add to those of cached keys (B, N, T, W), which hide later positions."""
        if self._bias is None:
            emit, writer = self.network.emit, self.network.writer
            ends = [writer.constant(np.int64(0)), emit("Squeeze", writer.size(keys, 2))]
            slots = emit("Range", *ends, writer.constant(np.int64(1)))  # (T,)
            later = emit("Greater", slots, self.step)
            self._bias = emit("Where", later, self.network.number(MASKED), self.network.number(0))
        return self._bias

    def written(self, cache: Value, heads: Heads, newest: Value) -> Value:
        """A cache (B, N, T, W) with the newest (B, N, 1, W) in the step's place."""
        if heads.count not in self._places:
            self._places[heads.count] = self._place(heads.count)
        return self.network.emit("ScatterND", cache, self._places[heads.count], newest)

    def _place(self, heads: int) -> Value:
        """Indices (B, N, 1, 3) of sentence, head and position."""
        emit, writer = self.network.emit, self.network.writer
        zero, one = (writer.constant(np.int64(n)) for n in (0, 1))
        rows = emit("Range", zero, emit("Squeeze", writer.size(self.token, 0)), one)
        rows = emit("Reshape", rows, writer.integers(-1, 1, 1, 1))
        of_row = emit("Mul", rows, writer.integers(1, 0, 0))  # (B, 1, 1, 3)
        of_step = emit("Mul", self.step, writer.integers(0, 0, 1))  # (3,)
        grid = np.zeros((1, heads, 1, 3), np.int64)
        grid[0, :, 0, 1] = np.arange(heads)
        of_head = emit("Add", writer.constant(grid, f"heads_{heads}"), of_step)
        return emit("Add", of_head, of_row)


def attention_step(
    network: Network, name: str, heads: Heads, x: Value, caches: Caches, key: Value, value: Value
) -> tuple[Value, Value, Value]:
    """One position (B, 1, C) over the cached ones and itself; and the caches after it."""
    names = [f"{name}.{part}" for part in ("query", "key", "value")]
    joined = network.linear(x, *names)  # (B, 1, 3 N W)
    query, *newest = _of_one(network, joined, [heads] * 3)
    key, value = (caches.written(c, heads, n) for c, n in zip((key, value), newest, strict=True))
    mixed = _mixed(network, heads, query, key, value, caches.bias(key))
    return _out_of_one(network, name, mixed), key, value


def cross_step(
    network: Network, name: str, heads: Heads, x: Value, key: Value, value: Value, bias: Value
) -> Value:
    """One position (B, 1, D) over the source."""
    (query,) = _of_one(network, network.linear(x, f"{name}.query"), [heads])
    return _out_of_one(network, name, _mixed(network, heads, query, key, value, bias))


def _mixed(
    network: Network, heads: Heads, query: Value, key: Value, value: Value, bias: Value
) -> Value:
    """Values (B, N, T, W) weighted by what queries and keys say."""
    emit = network.emit
    query = emit("Mul", query, network.number(heads.width**-0.5))
    scores = emit("MatMul", query, emit("Transpose", key, perm=[0, 1, 3, 2]))  # (B, N, T, S)
    return emit("MatMul", emit("Softmax", emit("Add", scores, bias), axis=-1), value)


def _by_head(network: Network, joined: Value, heads: Sequence[Heads]) -> list[Value]:
    """Projections of a sequence (B, T, sum of N W), each as (B, N, T, W)."""
    split = network.writer.integers(0, 0, -1, heads[0].width)
    turned = network.emit("Transpose", network.emit("Reshape", joined, split), perm=[0, 2, 1, 3])
    return _divided(network, turned, heads)


def _of_one(network: Network, joined: Value, heads: Sequence[Heads]) -> list[Value]:
    """Projections of one position (B, 1, sum of N W), each as (B, N, 1, W): nothing moves."""
    split = network.writer.integers(0, -1, 1, heads[0].width)
    return _divided(network, network.emit("Reshape", joined, split), heads)


def _divided(network: Network, joined: Value, heads: Sequence[Heads]) -> list[Value]:
    if len(heads) == 1:
        return [joined]
    counts = network.writer.integers(*(h.count for h in heads))
    return list(network.writer.emit_several(len(heads), "Split", joined, counts, axis=1))


def _out_of_one(network: Network, name: str, mixed: Value) -> Value:
    """The output projection of one position's heads (B, N, 1, W)."""
    joined = network.emit("Reshape", mixed, network.writer.integers(0, 1, -1))
    return network.linear(joined, f"{name}.out")
