"""The convolution branch as ONNX operators (see model/layers.py): H heads of R channels."""

from __future__ import annotations

from typing import Literal

import numpy as np

from litecompress.export.conv_branch import DOMAIN, Operator, Sizes, convolve
from litecompress.export.onnx_network import Network
from litecompress.export.onnx_positions import Padding
from litecompress.export.onnx_writer import Value
from litecompress.model.config import ModelConfig
from litecompress.model.layer_shape import LayerShape

ConvForm = Literal["builtin", "custom"]


class Convolution:
    """The branch of one layer; `name` is that of its weights."""

    def __init__(
        self, network: Network, config: ModelConfig, name: str, shape: LayerShape, form: ConvForm
    ) -> None:
        self.network, self.config, self.name, self.form = network, config, name, form
        self.heads, self.kernel_size = shape.conv, shape.kernel_size
        dynamic = config.conv_type == "dynamic"
        self.operator: Operator = "DynamicConv" if dynamic else "LightweightConv"

    def sequence(self, x: Value, padding: Padding) -> Value:
        """Convolve a whole source (B, S, C)."""
        if self.config.conv_padding == "leaky":
            x = self.network.emit("Mul", x, padding.real)
        y = self._project(x)
        if self.config.conv_padding == "masked":
            y = self.network.emit("Mul", y, padding.real)
        return self._convolved(self._padded(y), self._logits(y), step=False)

    def step(self, x: Value, cache: Value) -> tuple[Value, Value]:
        """Convolve the newest position (B, 1, C) after the K-1 of the cache; and the cache then."""
        y = self._project(x)
        window = self.network.emit("Concat", cache, y, axis=1)  # (B, K, H R)
        writer, end = self.network.writer, np.iinfo(np.int64).max
        ends = [writer.integers(n) for n in (1, end, 1)]
        return self._convolved(window, self._logits(y), step=True), writer.emit(
            "Slice", window, *ends
        )

    def _padded(self, y: Value) -> Value:
        """Zeros on either side, (B, S+K-1, H R)."""
        left, writer = self.kernel_size // 2, self.network.writer
        if not left:
            return y
        return writer.emit("Pad", y, writer.integers(left, left), "", writer.integers(1))

    def _project(self, x: Value) -> Value:
        """The convolution's input (B, T, H R)."""
        y = self.network.linear(x, f"{self.name}.linear1")
        if not self.config.conv_glu:
            return y
        writer = self.network.writer
        passed, gate = writer.emit_several(2, "Split", y, axis=-1, num_outputs=2)
        return writer.emit("Mul", passed, writer.emit("Sigmoid", gate))

    def _logits(self, y: Value) -> Value:
        """Kernels before their softmax: (H, K), or (B, T, H, K) when dynamic."""
        if self.operator == "LightweightConv":
            return self.network.floats(f"{self.name}.kernel")
        predicted = self.network.linear(y, f"{self.name}.kernel_predictor")
        sizes = self.network.writer.integers(0, 0, self.heads.count, self.kernel_size)
        return self.network.emit("Reshape", predicted, sizes)

    def _convolved(self, padded: Value, logits: Value, *, step: bool) -> Value:
        writer = self.network.writer
        if self.form == "custom":
            y = writer.emit_of(DOMAIN, self.operator, padded, logits)
        else:
            sizes = Sizes(self.heads.count, self.heads.width, self.kernel_size)
            y = convolve(writer, self.operator, padded, logits, sizes, step=step)
        return self.network.linear(y, f"{self.name}.linear2")
