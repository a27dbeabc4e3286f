"""What every graph is written with: the weights by their names, linear layers, norms, look-ups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from litecompress.encoding import Encoding
from litecompress.export.onnx_expand import Expander
from litecompress.export.onnx_lookups import LookUps
from litecompress.export.onnx_products import Activations, Products
from litecompress.export.onnx_stored import StoredWeight
from litecompress.export.onnx_writer import GraphWriter, Value

LOOKED_UP_ONLY = ("source_embedding.weight", "target_embedding.weight")
EPSILON = 1e-5  # of layer norms


class Network:
    """One graph in the making; names are those of the artifact's weights."""

    def __init__(
        self, weights: Mapping[str, StoredWeight], activations: Activations = "per_tensor"
    ) -> None:
        self.writer, self.weights = GraphWriter(), weights
        self.emit = self.writer.emit
        self.expander = Expander(self.writer)
        self.products = Products(self.expander, activations)
        self.look_ups = LookUps(self.expander)

    def linear(self, x: Value, *names: str) -> Value:
        """Linear layers of one input (.., in), their outputs joined (.., sum of outs)."""
        biases = [self.weights[n] for name in names if (n := f"{name}.bias") in self.weights]
        return self.product(x, [f"{name}.weight" for name in names], biases)

    def product(self, x: Value, names: Sequence[str], biases: Sequence[StoredWeight] = ()) -> Value:
        """X (.., in) times matrices (out, in)."""
        return self.products.product(x, [self.weights[name] for name in names], biases)

    def rows(self, name: str, ids: Value) -> Value:
        """Rows (B, T, D) of a table for ids (B, T)."""
        return self.look_ups.rows(self.weights[name], ids)

    def floats(self, name: str) -> Value:
        """A weight in float32, in its own shape."""
        weight = self.weights[name]
        floats = self.expander.floats(weight)
        return self.emit("Transpose", floats, perm=[1, 0]) if weight.turned else floats

    def norm(self, x: Value, name: str) -> Value:
        """Layer norm over the last axis."""
        scale, bias = self.floats(f"{name}.weight"), self.floats(f"{name}.bias")
        return self.emit("LayerNormalization", x, scale, bias, axis=-1, epsilon=EPSILON)

    def number(self, value: float) -> Value:
        """A constant in float32."""
        return self.writer.constant(np.float32(value))


def store(planned: Mapping[str, Encoding]) -> dict[str, StoredWeight]:
    """Every weight as it is stored: matrices that are multiplied with as (in, out).

    MatMul takes them so as they are, and a look-up of the same table gathers columns of that one
    copy. MatMulNBits and GatherBlockQuantized take rows, so 4-bit blocks are stored as they are.
    """
    return {
        name: StoredWeight.of(name, encoding, turned=is_multiplied(name))
        for name, encoding in planned.items()
    }


def is_multiplied(name: str) -> bool:
    """Whether some graph multiplies activations with a matrix (out, in) of this name."""
    vector = name.endswith("norm.weight") or not name.endswith(".weight")
    return not vector and name not in LOOKED_UP_ONLY
