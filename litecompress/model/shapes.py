"""Names and shapes of a model's weights, from its config alone; no torch needed."""

from __future__ import annotations

from collections.abc import Mapping

from litecompress.errors import CheckpointError
from litecompress.model.config import ModelConfig
from litecompress.model.layer_shape import Heads, LayerShape, Stack, layer_shapes

Shapes = dict[str, tuple[int, ...]]


def weight_shapes(config: ModelConfig) -> Shapes:
    """What a checkpoint of this config holds."""
    shapes = _tables(config)
    stacks: tuple[Stack, ...] = ("encoder", "decoder")
    for stack in stacks:
        for i, shape in enumerate(layer_shapes(config, stack)):
            layer = _layer(config, shape)
            if shape.cross_attention.count:
                layer |= _attention("cross_attention", shape.cross_attention)
                layer |= _norm("cross_norm", config.embed_dim)
            shapes |= {f"{stack}.{i}.{name}": shape for name, shape in layer.items()}
    return shapes


def check_shapes(config: ModelConfig, got: Mapping[str, tuple[int, ...]]) -> None:
    """A CheckpointError where weights of these names and shapes are not those of the config."""
    expected = weight_shapes(config)
    wrong = sorted(n for n in expected.keys() | got.keys() if expected.get(n) != got.get(n))
    if wrong:
        raise CheckpointError(
            f"{len(wrong)} weights do not fit the config, such as {wrong[0]}: expected "
            f"{expected.get(wrong[0], 'none')}, got {got.get(wrong[0], 'none')}"
        )


def _tables(config: ModelConfig) -> Shapes:
    """Look-up tables, and what turns features into words."""
    d = config.embed_dim
    if config.adaptive_cutoffs:
        bands = config.adaptive_bands()
        shapes: Shapes = {"embedding.classes.weight": (len(bands) - 1, d)}
        for i, (rows, width) in enumerate(bands):
            shapes[f"embedding.bands.{i}.table.weight"] = (rows, width)
            shapes[f"embedding.bands.{i}.projection.weight"] = (d, width)
        return shapes
    if config.share_embeddings:
        return {"embedding.weight": (config.target_vocab_size, d)}
    return {
        "source_embedding.weight": (config.source_vocab_size, d),
        "target_embedding.weight": (config.target_vocab_size, d),
        "output.weight": (config.target_vocab_size, d),
    }


def _layer(config: ModelConfig, shape: LayerShape) -> Shapes:
    """Attention and convolution, as far as the layer has them, and the feed-forward network."""
    d, channels, inner = config.embed_dim, shape.conv.channels, shape.conv.inner
    shapes = _attention("attention", shape.attention) if shape.attention.count else {}
    if shape.conv.count:
        shapes |= _linear("conv.linear1", channels, 2 * inner if config.conv_glu else inner)
        shapes |= _linear("conv.linear2", inner, channels)
        if config.conv_type == "dynamic":
            shapes["conv.kernel_predictor.weight"] = (shape.conv.count * shape.kernel_size, inner)
        else:
            shapes["conv.kernel"] = (shape.conv.count, shape.kernel_size)
    shapes |= _linear("ffn.fc1", d, shape.ffn_dim) | _linear("ffn.fc2", shape.ffn_dim, d)
    return shapes | _norm("lsra_norm", d) | _norm("ffn_norm", d)


def _attention(name: str, heads: Heads) -> Shapes:
    shapes = _linear(f"{name}.out", heads.inner, heads.channels)
    for part in ("query", "key", "value"):
        shapes |= _linear(f"{name}.{part}", heads.channels, heads.inner)
    return shapes


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, dim: int) -> Shapes:
    return {f"{name}.weight": (dim,), f"{name}.bias": (dim,)}
