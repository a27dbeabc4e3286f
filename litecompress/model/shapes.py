"""Names and shapes of a model's weights, from its config alone; no torch needed."""

from __future__ import annotations

from collections.abc import Mapping

from litecompress.errors import CheckpointError
from litecompress.model.config import ModelConfig

Shapes = dict[str, tuple[int, ...]]


def weight_shapes(config: ModelConfig) -> Shapes:
    """What a checkpoint of this config holds."""
    shapes = _tables(config)
    for stack, kernels in (
        ("encoder", config.encoder_kernel_sizes),
        ("decoder", config.decoder_kernel_sizes),
    ):
        for i, kernel in enumerate(kernels):
            layer = _layer(config, kernel)
            if stack == "decoder" and not config.is_language_model:
                d = config.embed_dim
                layer |= _attention("cross_attention", d) | _norm("cross_norm", d)
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


def _layer(config: ModelConfig, kernel: int) -> Shapes:
    """Attention and convolution, as far as the layer has them, and the feed-forward network."""
    d, attention, h = config.embed_dim, config.attention_dim(kernel), config.conv_dim(kernel)
    shapes = _attention("attention", attention) if attention else {}
    if h:
        shapes |= _linear("conv.linear1", h, 2 * h if config.conv_glu else h)
        shapes |= _linear("conv.linear2", h, h)
        if config.conv_type == "dynamic":
            shapes["conv.kernel_predictor.weight"] = (config.conv_heads * kernel, h)
        else:
            shapes["conv.kernel"] = (config.conv_heads, kernel)
    shapes |= _linear("ffn.fc1", d, config.ffn_dim) | _linear("ffn.fc2", config.ffn_dim, d)
    return shapes | _norm("lsra_norm", d) | _norm("ffn_norm", d)


def _attention(name: str, dim: int) -> Shapes:
    parts = ("query", "key", "value", "out")
    return {k: v for p in parts for k, v in _linear(f"{name}.{p}", dim, dim).items()}


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, dim: int) -> Shapes:
    return {f"{name}.weight": (dim,), f"{name}.bias": (dim,)}
