"""The blocks of the family as TFLite operators, for S positions of one sentence.

Shapes: S positions, D = embed_dim, C channels of a branch, N heads of W channels each; T or S
positions that are attended over. The convolution is one definition, written in place or as a
composite that carries it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from litecompress.export.tflite_composite import convolution
from litecompress.export.tflite_ops import Ops
from litecompress.export.tflite_stored import Weights
from litecompress.export.tflite_writer import Value
from litecompress.model.config import PAD_ID, ModelConfig
from litecompress.model.layer_shape import Heads, LayerShape

MASKED = -1e4  # what hides a score: exp gives exactly 0
EPSILON = 1e-5  # of layer norms
ConvBranch = Literal["builtin", "custom"]


class Blocks:
    """Writes the blocks of one graph."""

    def __init__(
        self, ops: Ops, weights: Weights, config: ModelConfig, conv_branch: ConvBranch
    ) -> None:
        self.ops, self.weights, self.config = ops, weights, config
        self.conv_branch = conv_branch

    def norm(self, x: Value, name: str) -> Value:
        """Layer norm over the last axis."""
        ops = self.ops
        centred = ops.subtract(x, ops.mean(x))
        variance = ops.mean(ops.multiply(centred, centred))
        inverse = ops.unary("RSQRT", ops.add(variance, ops.number(EPSILON)))
        gain = self.weights.vector(f"{name}.weight")
        scaled = ops.multiply(ops.multiply(centred, inverse), gain)
        return ops.add(scaled, self.weights.vector(f"{name}.bias"))

    def before(self, x: Value, name: str) -> Value:
        """The input of a sublayer: normalized here in a pre-norm model."""
        return self.norm(x, name) if self.config.normalize_before else x

    def after(self, x: Value, update: Value, name: str) -> Value:
        """The residual sum: normalized here in a post-norm model."""
        x = self.ops.add(x, update)
        return x if self.config.normalize_before else self.norm(x, name)

    def feed_forward(self, x: Value, layer: str) -> Value:
        """Two linear layers with ReLU between, residual sum and norm: (1, S, D)."""
        inner = self.before(x, f"{layer}.ffn_norm")
        hidden = self.weights.linear(inner, f"{layer}.ffn.fc1.weight", relu=True)
        update = self.weights.linear(hidden, f"{layer}.ffn.fc2.weight")
        return self.after(x, update, f"{layer}.ffn_norm")

    def branches(self, x: Value, shape: LayerShape) -> tuple[Value, Value]:
        """The channels of attention and those of convolution; all of them where one is alone."""
        if shape.attention.count and shape.kernel_size:
            return self.ops.halves(x)
        return x, x

    def joined(self, attended: Value | None, convolved: Value | None) -> Value:
        """What `branches` divided, (1, S, D) again."""
        found = [part for part in (attended, convolved) if part is not None]
        return self.ops.concatenate(found, 2) if len(found) == 2 else found[0]

    def heads(self, x: Value, name: str, heads: Heads) -> Value:
        """A projection of x (1, S, C) as (1, N, S, W)."""
        ops, positions = self.ops, x.shape[1]
        projected = self.weights.linear(x, f"{name}.weight")
        if positions == 1:
            return ops.reshape(projected, (1, heads.count, 1, heads.width))
        divided = ops.reshape(projected, (1, positions, heads.count, heads.width))
        return ops.transpose(divided, (0, 2, 1, 3))

    def attention(
        self, x: Value, name: str, heads: Heads, key: Value, value: Value, bias: Value
    ) -> Value:
        """Attend from x (1, S, C) over keys and values (1, N, T, W); `bias` goes to the scores."""
        ops = self.ops
        query = self.heads(x, f"{name}.query", heads)
        query = ops.multiply(query, ops.number(heads.width**-0.5))
        scores = ops.add(ops.product(query, key, transposed=True), bias)  # (1, N, S, T)
        mixed = ops.product(ops.softmax(scores), value)  # (1, N, S, W)
        positions = x.shape[1]
        if positions > 1:
            mixed = ops.transpose(mixed, (0, 2, 1, 3))
        flat = ops.reshape(mixed, (1, positions, heads.inner))
        return self.weights.linear(flat, f"{name}.out.weight")

    def conv_input(self, x: Value, name: str, real: Value | None = None) -> Value:
        """What is convolved (1, S, N W); `real` (1, S, 1) is 0 on padded positions."""
        ops, padding = self.ops, self.config.conv_padding
        if real is not None and padding == "leaky":
            x = ops.multiply(x, real)
        y = self.weights.linear(x, f"{name}.linear1.weight")
        if self.config.conv_glu:
            values, gates = ops.halves(y)
            y = ops.multiply(values, ops.unary("LOGISTIC", gates))
        return ops.multiply(y, real) if real is not None and padding == "masked" else y

    def convolved(self, y: Value, window: Value, name: str, heads: Heads, taps: int) -> Value:
        """Convolve a padded input (1, S + K - 1, N W) by the kernels of y (1, S, N W)."""
        if self.config.conv_type == "dynamic":
            predicted = self.weights.linear(y, f"{name}.kernel_predictor.weight")
            logits = self.ops.reshape(predicted, (1, y.shape[1], heads.count, taps))
        else:
            logits = self.weights.vector(f"{name}.kernel")  # (H, K)
        mixed = convolution(self.ops, window, logits, composite=self.conv_branch == "custom")
        return self.weights.linear(mixed, f"{name}.linear2.weight")

    def embedded(self, tokens: Value, position: Value, table: str) -> Value:
        """sqrt(D) E[token] + PE[position] (1, S, D), of tokens (S,) and positions (S, 1)."""
        rows = self.weights.lookup(tokens, table)
        return self.positioned(rows, position)

    def positioned(self, rows: Value, position: Value) -> Value:
        """sqrt(D) rows + PE[position] (1, S, D), of rows (S, D)."""
        ops = self.ops
        scaled = ops.multiply(rows, ops.number(self.config.embed_dim**0.5))
        x = ops.add(scaled, self._sinusoids(position))
        return ops.reshape(x, (1, *rows.shape))

    def _sinusoids(self, position: Value) -> Value:
        """[sin(p f) | cos(p f)], f_i = 10000^(-i/(D/2-1)): positions (S, 1) to (S, D)."""
        half = self.config.embed_dim // 2
        step = -(np.log(1e4) / (half - 1))
        rates = np.exp(np.arange(half, dtype=np.float32) * np.float32(step))
        angle = self.ops.multiply(position, self.ops.graph.constant(rates))
        parts = [self.ops.unary(kind, angle, None) for kind in ("SIN", "COS")]
        return self.ops.concatenate(parts, 1)


def real_positions(ops: Ops, source: Value) -> tuple[Value, Value]:
    """Of tokens (1, S): 1 where there is one, 0 on padding (S, 1); and positions from 2 (S, 1)."""
    length = source.shape[1]
    pad = ops.graph.constant(np.array([PAD_ID], np.int32))
    real = ops.compare("NOT_EQUAL", source, pad)  # (1, S)
    counted = ops.multiply(ops.running_sum(real), real)
    position = ops.add(counted, ops.number(PAD_ID))
    return ops.reshape(real, (length, 1)), ops.reshape(position, (length, 1))
