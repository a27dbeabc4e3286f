"""Names and shapes of a model's weights, from its config alone; no torch needed."""

from __future__ import annotations

from collections.abc import Mapping

from litecompress.errors import CheckpointError
from litecompress.model.config import ModelConfig

Shapes = dict[str, tuple[int, ...]]


def weight_shapes(config: ModelConfig) -> Shapes:
    """What a checkpoint of this config holds."""
    d = config.embed_dim
    shapes: Shapes
    if config.share_embeddings:
        shapes = {"embedding.weight": (config.source_vocab_size, d)}
    else:
        shapes = {
            "source_embedding.weight": (config.source_vocab_size, d),
            "target_embedding.weight": (config.target_vocab_size, d),
            "output.weight": (config.target_vocab_size, d),
        }
    for stack, kernels in (
        ("encoder", config.encoder_kernel_sizes),
        ("decoder", config.decoder_kernel_sizes),
    ):
        for i, kernel in enumerate(kernels):
            layer = _layer(config, kernel)
            if stack == "decoder":
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


def _layer(config: ModelConfig, kernel: int) -> Shapes:
    d, h, heads = config.embed_dim, config.branch_dim, config.conv_heads
    shapes = _attention("attention", h)
    shapes |= _linear("conv.linear1", h, 2 * h if config.conv_glu else h)
    shapes |= _linear("conv.linear2", h, h)
    if config.conv_type == "dynamic":
        shapes["conv.kernel_predictor.weight"] = (heads * kernel, h)
    else:
        shapes["conv.kernel"] = (heads, kernel)
    shapes |= _linear("ffn.fc1", d, config.ffn_dim) | _linear("ffn.fc2", config.ffn_dim, d)
    return shapes | _norm("lsra_norm", d) | _norm("ffn_norm", d)


def _attention(name: str, dim: int) -> Shapes:
    parts = ("query", "key", "value", "out")
    return {k: v for p in parts for k, v in _linear(f"{name}.{p}", dim, dim).items()}


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, dim: int) -> Shapes:
    return {f"{name}.weight": (dim,), f"{name}.bias": (dim,)}
