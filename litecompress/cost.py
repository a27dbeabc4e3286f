"""Parameters and multiply-accumulates (MACs) of any model of the family, component by component.

Two counts of MACs, both for one sequence whose target is processed whole (teacher forcing):

- the paper's (arXiv:2004.11886, #Mult-Adds, reproduced within 0.5 %): linear layers, the kernel
  predictor among them, and both attention products at full length, causal or not. Left out are
  look-up, norms, softmax, convolution taps and output projection. An adaptive input is in, every
  token as if of the widest band.
- everything: the convolution taps too (all K of a channel and position, also those that fall
  outside), the output projection to the whole vocabulary (every band of an adaptive one), and one
  MAC an element for the scale and shift of norms and for scaling an embedding and adding the
  position. Biases, residual sums, gates, softmax, ReLU, means and variances multiply nothing that
  they accumulate: they are in neither.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import prod

from litecompress.model.config import ModelConfig
from litecompress.model.layer_shape import LayerShape, layer_shapes
from litecompress.model.shapes import weight_shapes

COMPONENTS = (
    "embedding",
    "attention",
    "convolution",
    "cross_attention",
    "ffn",
    "norms",
    "output",
)
Counts = dict[str, int]
"""A number for each of COMPONENTS."""

_OF_LAYER = {"attention": "attention", "conv": "convolution", "ffn": "ffn"}


def component(weight_name: str) -> str:
    """The component that a weight belongs to; a tied table is the embedding's."""
    if weight_name in ("output.weight", "embedding.classes.weight"):
        return "output"
    parts = weight_name.split(".")
    if parts[0] not in ("encoder", "decoder"):
        return "embedding"
    if parts[2].endswith("_norm"):
        return "norms"
    return _OF_LAYER.get(parts[2], parts[2])


def parameters(config: ModelConfig) -> Counts:
    """How many parameters each component has; tied tables count once."""
    counts = dict.fromkeys(COMPONENTS, 0)
    for name, shape in weight_shapes(config).items():
        counts[component(name)] += prod(shape)
    return counts


def nonembed(counts: Mapping[str, int]) -> int:
    """The paper's scope of parameters and bytes: all but the embedding.

    A tied output table is out with it, an untied one is in (IWSLT). Of an adaptive embedding the
    projections are out as well.
    """
    return sum(count for name, count in counts.items() if name != "embedding")


def paper_macs(config: ModelConfig, source_length: int, target_length: int) -> Counts:
    """MACs in the paper's convention; a language model has no source, its length is not read."""
    counts = dict.fromkeys(COMPONENTS, 0)
    for name, shape in weight_shapes(config).items():
        if _is_linear(name, shape):
            counts[component(name)] += prod(shape) * _length(name, source_length, target_length)
    for length, shapes in _stacks(config, source_length, target_length):
        counts["attention"] += sum(2 * s.attention.inner * length**2 for s in shapes)
    for layer in layer_shapes(config, "decoder"):
        counts["cross_attention"] += 2 * layer.cross_attention.inner * source_length * target_length
    return counts


def all_macs(config: ModelConfig, source_length: int, target_length: int) -> Counts:
    """MACs with everything counted, as said at the top of this module."""
    counts = paper_macs(config, source_length, target_length)
    for name, (size, *_) in weight_shapes(config).items():
        if name.endswith("_norm.weight"):
            counts["norms"] += size * _length(name, source_length, target_length)
    for length, shapes in _stacks(config, source_length, target_length):
        counts["convolution"] += sum(s.conv.inner * s.kernel_size * length for s in shapes)
        counts["embedding"] += config.embed_dim * length if shapes else 0
    counts["output"] += _output_macs(config) * target_length
    return counts


def band_macs(config: ModelConfig, source_length: int, target_length: int) -> int:
    """MACs of all convolutions' taps if each is done as the product with a T x T band matrix."""
    return sum(
        shape.conv.inner * length**2
        for length, shapes in _stacks(config, source_length, target_length)
        for shape in shapes
    )


def _stacks(
    config: ModelConfig, source_length: int, target_length: int
) -> tuple[tuple[int, list[LayerShape]], ...]:
    """Length and layers of encoder and decoder."""
    return (
        (source_length, layer_shapes(config, "encoder")),
        (target_length, layer_shapes(config, "decoder")),
    )


def _is_linear(name: str, shape: tuple[int, ...]) -> bool:
    """Whether the body multiplies activations by this weight."""
    if component(name) in ("embedding", "output"):
        return name == "embedding.bands.0.projection.weight"
    return len(shape) == 2 and not name.endswith("conv.kernel")


def _length(name: str, source_length: int, target_length: int) -> int:
    """Positions that this weight acts on: the decoder's keys and values are the source's."""
    of_source = re.match(r"encoder\.|decoder\.\d+\.cross_attention\.(key|value)\.", name)
    return source_length if of_source else target_length


def _output_macs(config: ModelConfig) -> int:
    """MACs of scoring every word after one position."""
    if not config.adaptive_cutoffs:
        return config.embed_dim * config.target_vocab_size
    (rows, _), *tails = config.adaptive_bands()
    head = config.embed_dim * (rows + len(tails))
    return head + sum(width * (config.embed_dim + n) for n, width in tails)
