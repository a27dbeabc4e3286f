"""Layers as ONNX operators, of a whole source or of one position (see model/layers.py)."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import NamedTuple

from litecompress.export.onnx_attention import Caches, attention_step, cross_step, self_attention
from litecompress.export.onnx_convolution import ConvForm, Convolution
from litecompress.export.onnx_network import Network
from litecompress.export.onnx_positions import Padding
from litecompress.export.onnx_writer import Value
from litecompress.model.config import ModelConfig
from litecompress.model.layer_shape import LayerShape


class State(NamedTuple):
    """What one decoder layer carries from step to step; an empty name for what it does not have."""

    key: Value = ""
    value: Value = ""
    conv: Value = ""


class Source(NamedTuple):
    """What one decoder layer reads of the source: keys and values (B, N, S, W), and a bias."""

    key: Value
    value: Value
    bias: Value


class Layer:
    """Mixing of positions, then a feed-forward network, each with a residual sum and layer norm."""

    def __init__(
        self, network: Network, config: ModelConfig, name: str, shape: LayerShape, form: ConvForm
    ) -> None:
        self.network, self.config, self.name, self.shape = network, config, name, shape
        self.conv = Convolution(network, config, f"{name}.conv", shape, form)

    def sequence(self, x: Value, padding: Padding) -> Value:
        """A whole source (B, S, D)."""
        attended, convolved = self._branches(self._before(x, "lsra_norm"))
        if attended:
            with self._part("attention") as name:
                heads = self.shape.attention
                attended = self_attention(self.network, name, heads, attended, padding.bias)
        if convolved:
            with self._part("conv"):
                convolved = self.conv.sequence(convolved, padding)
        return self._feed_forward(self._after(x, self._joined(attended, convolved), "lsra_norm"))

    def step(
        self, x: Value, caches: Caches, state: State, source: Source | None
    ) -> tuple[Value, State]:
        """One position (B, 1, D), and the caches after it."""
        attended, convolved = self._branches(self._before(x, "lsra_norm"))
        key, value, conv = state
        if attended:
            with self._part("attention") as name:
                attended, key, value = attention_step(
                    self.network, name, self.shape.attention, attended, caches, key, value
                )
        if convolved:
            with self._part("conv"):
                convolved, conv = self.conv.step(convolved, conv)
        x = self._after(x, self._joined(attended, convolved), "lsra_norm")
        if source is not None:
            x = self._cross(x, source)
        return self._feed_forward(x), State(key, value, conv)

    def _cross(self, x: Value, source: Source) -> Value:
        y = self._before(x, "cross_norm")
        with self._part("cross_attention") as name:
            y = cross_step(self.network, name, self.shape.cross_attention, y, *source)
        return self._after(x, y, "cross_norm")

    def _feed_forward(self, x: Value) -> Value:
        y = self._before(x, "ffn_norm")
        with self._part("ffn") as name:
            y = self.network.emit("Relu", self.network.linear(y, f"{name}.fc1"))
            y = self.network.linear(y, f"{name}.fc2")
        return self._after(x, y, "ffn_norm")

    def _branches(self, x: Value) -> tuple[Value, Value]:
        """The channels of attention and those of convolution; an empty name where one is alone."""
        attends, convolves = self.shape.attention.count, self.shape.kernel_size
        if attends and convolves:
            with self.network.writer.scope(self.name):
                halves = self.network.writer.emit_several(2, "Split", x, axis=-1, num_outputs=2)
            return halves[0], halves[1]
        return (x, "") if attends else ("", x)

    def _joined(self, attended: Value, convolved: Value) -> Value:
        if not (attended and convolved):
            return attended or convolved
        with self.network.writer.scope(self.name):
            return self.network.emit("Concat", attended, convolved, axis=-1)

    def _before(self, x: Value, norm: str) -> Value:
        """The input of a sublayer: normalized here in a pre-norm model."""
        return self._norm(x, norm) if self.config.normalize_before else x

    def _after(self, x: Value, update: Value, norm: str) -> Value:
        """The residual sum: normalized here in a post-norm model."""
        with self._part(norm):
            x = self.network.emit("Add", x, update)
        return x if self.config.normalize_before else self._norm(x, norm)

    def _norm(self, x: Value, norm: str) -> Value:
        with self._part(norm) as name:
            return self.network.norm(x, name)

    def _part(self, part: str) -> AbstractContextManager[str]:
        return self.network.writer.scope(f"{self.name}.{part}")
