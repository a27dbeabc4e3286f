"""From the arguments of a checkpoint to our config, or all reasons why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from litecompress.errors import CheckpointError
from litecompress.fairseq.arguments import Arguments
from litecompress.model.config import ModelConfig

KERNELS = [3, 7, 15, 31, 31, 31]  # what the authors' code takes where nothing is said
_BRANCHES = {
    ("attn",),
    ("lightweight",),
    ("dynamic",),
    ("attn", "lightweight"),
    ("attn", "dynamic"),
}
_UNSUPPORTED_FLAGS = (
    "encoder_learned_pos",
    "decoder_learned_pos",
    "no_token_positional_embeddings",
    "character_embeddings",
    "no_scale_embedding",
    "cross_self_attention",
    "no_cross_attention",
)


@dataclass(frozen=True)
class Architecture:
    """A config, and what it does not say: whether self-attention is called a branch, and whether
    the output is the target's look-up table."""

    config: ModelConfig
    branched: bool
    tied: bool


@dataclass(frozen=True)
class Mixing:
    """What mixes positions in one stack: heads (0 for none), a kernel size a layer (0 for none)."""

    kernels: tuple[int, ...]
    attention_heads: int = 1
    conv_heads: int = 1
    conv_type: Literal["lightweight", "dynamic"] = "dynamic"
    conv_glu: bool = True
    branched: bool = True


def architecture(arguments: Arguments, source_rows: int | None, target_rows: int) -> Architecture:
    """The model that arguments and rows of its tables describe.

    `source_rows` is None for a language model. All that our models cannot express is one
    CheckpointError.
    """
    translates = source_rows is not None
    stacks = [_mixing(arguments, stack) for stack in ("encoder", "decoder")[not translates :]]
    if translates:
        _expect_alike(arguments, *stacks)
    conv = next((stack for stack in stacks if any(stack.kernels)), stacks[-1])
    _expect_expressible(arguments, any(conv.kernels))
    tied = arguments.flag("share_decoder_input_output_embed")
    values = _sizes(arguments, translates) | _dropouts(arguments)
    values |= {} if translates else _vocabulary(arguments, tied)
    if arguments.problems:
        problems = "; ".join(arguments.problems)
        raise CheckpointError(
            "expected a Lite Transformer, a Transformer or a language model of these, got "
            f"{arguments.text('arch', 'an unnamed one')}: {problems}"
        )
    config = ModelConfig(
        source_vocab_size=target_rows if source_rows is None else source_rows,
        target_vocab_size=target_rows,
        encoder_kernel_sizes=stacks[0].kernels if translates else (),
        decoder_kernel_sizes=stacks[-1].kernels,
        conv_type=conv.conv_type,
        conv_glu=conv.conv_glu,
        conv_padding="leaky" if any(conv.kernels) else "masked",
        attention_heads=conv.attention_heads,
        conv_heads=conv.conv_heads,
        share_embeddings=arguments.flag("share_all_embeddings") or not translates,
        **values,
    )
    return Architecture(config, conv.branched, tied or config.share_embeddings)


def _mixing(arguments: Arguments, stack: str) -> Mixing:
    """What mixes positions in one stack: a branch is `type:kernel:channels:heads`."""
    layers, limit = arguments.whole(f"{stack}_layers"), arguments.layers_limit
    arguments.expect(layers <= limit, f"{stack}_layers is {layers}, more than are stored")
    none = (0,) * min(layers, limit)
    specs = arguments.texts(f"{stack}_branch_type")
    if specs is None:
        heads = arguments.whole(f"{stack}_attention_heads", 8)
        return Mixing(none, attention_heads=heads, branched=False)
    branches = [spec.split(":") for spec in specs]
    width = arguments.whole(f"{stack}_embed_dim") // max(len(branches), 1)
    kinds = tuple(branch[0] for branch in branches)
    if kinds not in _BRANCHES or not all(_is_branch(branch, width) for branch in branches):
        arguments.problems.append(
            f"{stack}_branch_type {' '.join(specs)[:100]} is not attention, convolution, or "
            "attention beside convolution of equal width"
        )
        return Mixing(none)
    heads = int(branches[0][3]) if kinds[0] == "attn" else 0
    kind, kernel, _, conv_heads = branches[-1]
    if kind == "attn":
        return Mixing(none, heads)
    gated = kind == "dynamic" and arguments.flag(f"{stack}_glu", True)
    sizes = _kernels(arguments, stack, len(none), kernel)
    return Mixing(sizes, heads, int(conv_heads), kind, gated)  # type: ignore[arg-type]


def _is_branch(branch: list[str], width: int) -> bool:
    if len(branch) != 4 or branch[2] != str(width):
        return False
    kernel = branch[1] == "default" or branch[1].isdecimal()
    return kernel and branch[3].isdecimal() and int(branch[3]) > 0


def _kernels(arguments: Arguments, stack: str, layers: int, given: str) -> tuple[int, ...]:
    """One kernel size a layer."""
    if given != "default":
        return (int(given),) * layers
    sizes = arguments.wholes(f"{stack}_kernel_size_list", KERNELS)
    sizes = sizes * layers if len(sizes) == 1 else sizes[:layers]
    arguments.expect(
        len(sizes) == layers, f"{stack}_kernel_size_list has {len(sizes)} of {layers} sizes"
    )
    return tuple(sizes)


def _expect_alike(arguments: Arguments, encoder: Mixing, decoder: Mixing) -> None:
    """Our config says these things once for both stacks."""
    if arguments.problems:
        return  # which may be why they differ
    names = ["attention_heads", "branched"]
    if any(encoder.kernels) and any(decoder.kernels):
        names += ["conv_heads", "conv_type", "conv_glu"]
    for name in names:
        sides = getattr(encoder, name), getattr(decoder, name)
        arguments.expect(
            sides[0] == sides[1], f"{name} differs: encoder {sides[0]}, decoder {sides[1]}"
        )
    for name in ("embed_dim", "ffn_embed_dim"):
        sizes = [arguments.whole(f"{stack}_{name}") for stack in ("encoder", "decoder")]
        arguments.expect(sizes[0] == sizes[1], f"encoder and decoder differ in {name}: {sizes}")
    norms = [arguments.flag(f"{stack}_normalize_before") for stack in ("encoder", "decoder")]
    arguments.expect(norms[0] == norms[1], "encoder and decoder differ in normalize_before")


def _expect_expressible(arguments: Arguments, convolves: bool) -> None:
    """Options that change what is computed without any weight to show for it."""
    for name in _UNSUPPORTED_FLAGS:
        arguments.expect(not arguments.flag(name), f"{name} is set")
    activation = arguments.text("activation_fn", "relu")
    arguments.expect(activation == "relu", f"activation_fn is {activation}, not relu")
    if convolves:
        arguments.expect(arguments.flag("conv_linear"), "conv_linear is not set")
        arguments.expect(arguments.flag("weight_softmax", True), "weight_softmax is not set")


def _sizes(arguments: Arguments, translates: bool) -> dict[str, Any]:
    target = arguments.whole("max_target_positions", arguments.whole("tokens_per_sample", 1024))
    source = arguments.whole("max_source_positions", 1024) if translates else target
    return {
        "embed_dim": arguments.whole("decoder_embed_dim"),
        "ffn_dim": arguments.whole("decoder_ffn_embed_dim"),
        "cross_attention_heads": arguments.whole("decoder_attention_heads", 8) if translates else 1,
        "max_positions": min(source, target),
        "normalize_before": arguments.flag("decoder_normalize_before", not translates),
    }


def _dropouts(arguments: Arguments) -> dict[str, Any]:
    attention = arguments.fraction("attention_dropout")
    activation = arguments.fraction("activation_dropout")
    return {
        "dropout": arguments.fraction("dropout", 0.1),
        "attention_dropout": attention,
        "weight_dropout": arguments.fraction("weight_dropout", attention),
        "activation_dropout": activation or arguments.fraction("relu_dropout"),
    }


def _vocabulary(arguments: Arguments, tied: bool) -> dict[str, Any]:
    """A language model's table: one, or adaptive bands that input and output share."""
    cutoffs = arguments.wholes("adaptive_softmax_cutoff", [])
    adaptive = arguments.flag("adaptive_input")
    if not cutoffs and not adaptive:
        arguments.expect(tied, "share_decoder_input_output_embed is not set")
        return {}
    same = adaptive and arguments.wholes("adaptive_input_cutoff", []) == cutoffs
    arguments.expect(same, "adaptive_input and adaptive_softmax have not the same cutoffs")
    factors = [arguments.whole(f"adaptive_{side}_factor", 4) for side in ("input", "softmax")]
    arguments.expect(factors[0] == factors[1], f"adaptive factors differ: {factors}")
    for name in ("tie_adaptive_weights", "tie_adaptive_proj"):
        arguments.expect(arguments.flag(name), f"{name} is not set")
    return {
        "adaptive_cutoffs": tuple(cutoffs),
        "adaptive_factor": factors[0],
        "adaptive_dropout": arguments.fraction("adaptive_softmax_dropout"),
    }
