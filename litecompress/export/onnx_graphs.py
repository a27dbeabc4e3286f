"""The graphs of an ONNX package, written from a model's configuration and its weights' names.

Inputs and outputs are those of `graphs` and `language_graph`; sizes in words are free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from litecompress.export.onnx_adaptive import adaptive_log_probs, adaptive_rows
from litecompress.export.onnx_attention import Caches, keys_values
from litecompress.export.onnx_convolution import ConvForm
from litecompress.export.onnx_layers import Layer, Source, State
from litecompress.export.onnx_lookups import LookUps
from litecompress.export.onnx_network import Network
from litecompress.export.onnx_positions import Padding, scaled, source_positions, step_position
from litecompress.export.onnx_products import Activations
from litecompress.export.onnx_stored import StoredWeight
from litecompress.export.onnx_writer import FLOAT, INT64, GraphWriter, Value
from litecompress.model.config import ModelConfig
from litecompress.model.layer_shape import LayerShape, Stack, layer_shapes

BATCH, SOURCE, TARGET = "batch", "source_length", "target_length"
CANDIDATES = "candidates"
SHORTLIST_ROWS, SHORTLIST_DECODER = "shortlist_rows", "shortlist_decoder"


@dataclass(frozen=True)
class Graphs:
    """Writes the graphs of one model."""

    config: ModelConfig
    weights: Mapping[str, StoredWeight]
    activations: Activations = "per_tensor"
    conv_branch: ConvForm = "builtin"

    def all(self, *, shortlist: bool = False) -> dict[str, GraphWriter]:
        """Each graph by its role; those that a shortlist needs only if asked for."""
        if self.config.is_language_model:
            return {"step": self.step()}
        graphs = {"encoder": self.encoder(), "decoder": self.decoder()}
        if shortlist:
            graphs[SHORTLIST_ROWS] = self.shortlist_rows()
            graphs[SHORTLIST_DECODER] = self.decoder(shortlist=True)
        return graphs

    def encoder(self) -> GraphWriter:
        """Tokens (B, S) to the score bias (B, 1, 1, S) and each layer's cross keys and values."""
        network = self._network()
        writer, dim = network.writer, self.config.embed_dim
        source = writer.input("source", INT64, BATCH, SOURCE)
        with writer.scope("encoder.embedding"):
            padding = Padding(network, source)
            x = scaled(network, network.rows(self._table("source_embedding"), source), dim)
            x = writer.emit("Add", x, source_positions(network, padding, dim))
        for layer in self._layers(network, "encoder"):
            x = layer.sequence(x, padding)
        writer.output(padding.bias, "memory_bias", BATCH, 1, 1, SOURCE)
        heads = [shape.cross_attention for shape in layer_shapes(self.config, "decoder")]
        names = [f"decoder.{i}.cross_attention" for i in range(len(heads))]
        with writer.scope("decoder.cross_attention"):
            found = keys_values(network, names, heads, x)
        for i, (key, value) in enumerate(zip(found[::2], found[1::2], strict=True)):
            sizes = (BATCH, heads[i].count, SOURCE, heads[i].width)
            writer.output(key, f"cross_key_{i}", *sizes)
            writer.output(value, f"cross_value_{i}", *sizes)
        return writer

    def decoder(self, *, shortlist: bool = False) -> GraphWriter:
        """One step: token (B, 1), step (1,), memory_bias, the layers' states, to logits (B, V).

        With `shortlist` also output_rows (C, D), of the C candidates, to logits (B, C).
        """
        network, config = self._network(), self.config
        token, step = _token_and_step(network)
        bias = network.writer.input("memory_bias", FLOAT, BATCH, 1, 1, SOURCE)
        with network.writer.scope("decoder.embedding"):
            rows = network.rows(self._table("target_embedding"), token)
        x, after = self._stepped(network, rows, token, step, bias)
        width: int | str = CANDIDATES if shortlist else config.target_vocab_size
        with network.writer.scope("output"):
            if shortlist:
                table = network.writer.input("output_rows", FLOAT, width, config.embed_dim)
                logits = network.emit("Gemm", x, table, transB=1)
            else:
                logits = network.product(x, [self._table("output")])
        network.writer.output(logits, "logits", BATCH, width)
        self._give_out(network.writer, after)
        return network.writer

    def shortlist_rows(self) -> GraphWriter:
        """Candidates (C,) to output_rows (C, D), the rows that the output layer has for them."""
        network = self._network()
        candidates = network.writer.input("candidates", INT64, CANDIDATES)
        with network.writer.scope("output"):
            look_ups = LookUps(network.expander, turned_back=True)
            rows = look_ups.rows(self.weights[self._table("output")], candidates)
        network.writer.output(rows, "output_rows", CANDIDATES, self.config.embed_dim)
        return network.writer

    def step(self) -> GraphWriter:
        """One step of a language model: token, step, caches, to log-probabilities (B, V)."""
        network, config = self._network(), self.config
        token, step = _token_and_step(network)
        adaptive, table = bool(config.adaptive_cutoffs), self._table("embedding")
        with network.writer.scope("decoder.embedding"):
            rows = adaptive_rows(network, config, token) if adaptive else network.rows(table, token)
        x, after = self._stepped(network, rows, token, step, None)
        with network.writer.scope("output"):
            if adaptive:
                scores = adaptive_log_probs(network, config, x)
            else:
                scores = network.emit("LogSoftmax", network.product(x, [table]), axis=-1)
        network.writer.output(scores, "log_probs", BATCH, config.target_vocab_size)
        self._give_out(network.writer, after)
        return network.writer

    def _stepped(
        self, network: Network, rows: Value, token: Value, step: Value, bias: Value | None
    ) -> tuple[Value, list[State]]:
        """Features (B, D) after all layers, of rows (B, 1, D), and the caches after the step.

        `bias` is there where there is a source.
        """
        writer, dim = network.writer, self.config.embed_dim
        with writer.scope("decoder.embedding"):
            position = step_position(network, step, dim)
            x = writer.emit("Add", scaled(network, rows, dim), position)
        caches, states = Caches(network, token, step), []
        for i, layer in enumerate(self._layers(network, "decoder")):
            state = _state(writer, layer.shape, i)
            source = None if bias is None else _source(writer, layer.shape, i, bias)
            x, after = layer.step(x, caches, state, source)
            states.append(after)
        with writer.scope("output"):
            return writer.emit("Squeeze", x, writer.integers(1)), states

    def _give_out(self, writer: GraphWriter, states: list[State]) -> None:
        """The outputs that hold the caches after a step."""
        shapes = layer_shapes(self.config, "decoder")
        for i, (shape, state) in enumerate(zip(shapes, states, strict=True)):
            for part, sizes in _caches(shape).items():
                writer.output(getattr(state, part), f"next_{part}_{i}", *sizes)

    def _network(self) -> Network:
        return Network(self.weights, self.activations)

    def _layers(self, network: Network, stack: Stack) -> list[Layer]:
        shapes = layer_shapes(self.config, stack)
        return [
            Layer(network, self.config, f"{stack}.{i}", shape, self.conv_branch)
            for i, shape in enumerate(shapes)
        ]

    def _table(self, name: str) -> str:
        return "embedding.weight" if self.config.share_embeddings else f"{name}.weight"


def _token_and_step(network: Network) -> tuple[Value, Value]:
    return network.writer.input("token", INT64, BATCH, 1), network.writer.input("step", INT64, 1)


def _state(writer: GraphWriter, shape: LayerShape, i: int) -> State:
    """The inputs that hold a layer's caches."""
    return State(**{p: writer.input(f"{p}_{i}", FLOAT, *s) for p, s in _caches(shape).items()})


def _caches(shape: LayerShape) -> dict[str, tuple[int | str, ...]]:
    """Sizes of a layer's caches."""
    heads, sizes = shape.attention, dict[str, tuple[int | str, ...]]()
    if heads.count:
        sizes["key"] = sizes["value"] = (BATCH, heads.count, TARGET, heads.width)
    if shape.kernel_size:
        sizes["conv"] = (BATCH, shape.kernel_size - 1, shape.conv.inner)
    return sizes


def _source(writer: GraphWriter, shape: LayerShape, i: int, bias: Value) -> Source:
    """The inputs that a layer's attention over the source reads."""
    sizes = (BATCH, shape.cross_attention.count, SOURCE, shape.cross_attention.width)
    parts = [writer.input(f"cross_{part}_{i}", FLOAT, *sizes) for part in ("key", "value")]
    return Source(parts[0], parts[1], bias)
