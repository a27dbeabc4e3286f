"""What a checkpoint says about its model's shape; no torch needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any, ClassVar, Literal

from litecompress.errors import CheckpointError

BOS_ID, PAD_ID, EOS_ID, UNK_ID = 0, 1, 2, 3
MODEL_TYPE = "lite_transformer"
HUGGING_FACE_KEYS = {  # what transformers adds to `config.json`; none shapes the network
    "architectures",
    "attn_implementation",
    "auto_map",
    "bos_token_id",
    "chunk_size_feed_forward",
    "decoder_start_token_id",
    "dtype",
    "eos_token_id",
    "id2label",
    "is_encoder_decoder",
    "label2id",
    "_name_or_path",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    "problem_type",
    "return_dict",
    "tie_word_embeddings",
    "tokenizer_class",
    "torch_dtype",
    "transformers_version",
    "use_cache",
}
DROPOUTS = (  # what only training knows of
    "dropout",
    "attention_dropout",
    "weight_dropout",
    "activation_dropout",
    "adaptive_dropout",
)


@dataclass(frozen=True)
class Kept:
    """What structured pruning left of one layer; 0 for what the layer never had.

    Heads keep their width; those of a convolution may have lost channels, all the same number:
    `conv_head_dim` is what each has left.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    ffn_dim: int
    attention_heads: int = 0
    conv_heads: int = 0
    conv_head_dim: int = 0
    cross_attention_heads: int = 0


@dataclass(frozen=True)
class ModelConfig:
    """The architecture of one model of the family (arXiv:2004.11886 sec. 4).

    A layer mixes positions by attention, by convolution or by both (LSRA): with both, attention
    works on the first d/2 of the d = `embed_dim` channels and convolution on the rest. There is
    one kernel size a layer; 0 stands for no convolution (a Transformer's layer), and
    `attention_heads` 0 for no self-attention (LightConv). No encoder kernels at all make a
    language model: only the decoder, without cross-attention.

    `conv_padding` says what a padded position feeds to the convolution: `masked` zeros, so that
    the output never depends on the amount of padding, or `leaky` what the authors' code does
    (zeros before `linear1`, hence its bias after it). `adaptive_cutoffs` divide a language model's
    vocabulary into bands of falling width, each `adaptive_factor` narrower than the one before
    (adaptive input and softmax, arXiv:1809.10853).

    `encoder_kept` and `decoder_kept` have an entry for every layer of a model that was pruned in
    structure, and none otherwise: each layer then has all heads and `ffn_dim` channels.
    """

    source_vocab_size: int
    target_vocab_size: int
    embed_dim: int
    ffn_dim: int
    encoder_kernel_sizes: tuple[int, ...]
    decoder_kernel_sizes: tuple[int, ...]
    conv_type: Literal["lightweight", "dynamic"] = "dynamic"
    conv_glu: bool = True
    conv_padding: Literal["masked", "leaky"] = "masked"
    attention_heads: int = 4
    conv_heads: int = 4
    cross_attention_heads: int = 4
    share_embeddings: bool = True
    normalize_before: bool = False
    adaptive_cutoffs: tuple[int, ...] = ()
    adaptive_factor: int = 4
    max_positions: int = 1024
    dropout: float = 0.0
    attention_dropout: float = 0.0
    weight_dropout: float = 0.0
    activation_dropout: float = 0.0
    adaptive_dropout: float = 0.0
    encoder_kept: tuple[Kept, ...] = ()
    decoder_kept: tuple[Kept, ...] = ()

    def __post_init__(self) -> None:
        problems = _problems(self)
        if problems:
            raise CheckpointError("model config: " + "; ".join(problems))

    @property
    def is_language_model(self) -> bool:
        """Whether there is a decoder only."""
        return not self.encoder_kernel_sizes

    def attention_dim(self, kernel_size: int) -> int:
        """Channels that attention mixes in a layer with this kernel: d, d/2 or none."""
        if not self.attention_heads:
            return 0
        return self.embed_dim // 2 if kernel_size else self.embed_dim

    def conv_dim(self, kernel_size: int) -> int:
        """Channels that convolution mixes in a layer with this kernel: d, d/2 or none."""
        return self.embed_dim - self.attention_dim(kernel_size)

    def whole(self, kernel_size: int, *, crosses: bool) -> Kept:
        """All of a layer with this kernel; `crosses` says that it is a decoder's."""
        conv = self.conv_dim(kernel_size)
        return Kept(
            self.ffn_dim,
            self.attention_heads,
            self.conv_heads if conv else 0,
            conv // self.conv_heads if conv else 0,
            self.cross_attention_heads if crosses and not self.is_language_model else 0,
        )

    def adaptive_bands(self) -> list[tuple[int, int]]:
        """Rows and width of each band of an adaptive vocabulary, the most frequent words first."""
        ends = (0, *self.adaptive_cutoffs, self.target_vocab_size)
        rows = [end - start for start, end in pairwise(ends)]
        return [(n, self.embed_dim // self.adaptive_factor**i) for i, n in enumerate(rows)]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Read `config.json`; unknown or missing keys are a CheckpointError naming all of them.

        `HUGGING_FACE_KEYS` are left out: a folder may come from transformers.
        """
        given = {k: v for k, v in values.items() if k not in {"model_type", *HUGGING_FACE_KEYS}}
        known = {f.name for f in fields(cls)}
        required = {"source_vocab_size", "target_vocab_size", "embed_dim", "ffn_dim"}
        required |= {"encoder_kernel_sizes", "decoder_kernel_sizes"}
        wrong = sorted(set(given) - known) + sorted(required - set(given))
        if values.get("model_type", MODEL_TYPE) != MODEL_TYPE:
            wrong.insert(0, f"model_type {values['model_type']!r}")
        if wrong:
            raise CheckpointError(
                f"model config: expected the keys of a {MODEL_TYPE}, got wrong or missing "
                f"{', '.join(wrong)}; was this config written by `litecompress train`?"
            )
        from pydantic import TypeAdapter, ValidationError

        try:
            return TypeAdapter(cls).validate_python(given)
        except ValidationError as error:
            wrong = [
                f"{'.'.join(map(str, e['loc']))}: {e['msg']}, got {e['input']!r}"
                for e in error.errors()
            ]
            raise CheckpointError("model config: " + "; ".join(wrong)) from error

    def to_dict(self) -> dict[str, Any]:
        """The content of `config.json`; what structured pruning kept only where there was any."""
        values = {"model_type": MODEL_TYPE, **asdict(self)}
        for name in ("encoder_kept", "decoder_kept"):
            if not values[name]:
                del values[name]
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def _problems(config: ModelConfig) -> list[str]:
    """Every inconsistency at once, each saying what would be right."""
    found = []
    for name in ("source_vocab_size", "target_vocab_size", "embed_dim", "ffn_dim"):
        if getattr(config, name) < 1:
            found.append(f"{name} must be positive, got {getattr(config, name)}")
    for kernels in (config.encoder_kernel_sizes, config.decoder_kernel_sizes):
        if any(k < 0 or (k and k % 2 == 0) for k in kernels):
            found.append(f"kernel sizes must be odd and positive, or 0 for none, got {kernels}")
    if not config.decoder_kernel_sizes:
        found.append("decoder_kernel_sizes must be one a layer, odd and positive or 0, got none")
    found += _head_problems(config) + _vocabulary_problems(config)
    for name in DROPOUTS:
        if not 0 <= getattr(config, name) < 1:
            found.append(f"{name} must be in [0, 1), got {getattr(config, name)}")
    if config.conv_type == "lightweight" and config.conv_glu:
        found.append("conv_glu belongs to the dynamic convolution only")
    return found or _kept_problems(config)


def _head_problems(config: ModelConfig) -> list[str]:
    """Heads that do not divide their channels, layers that mix nothing."""
    found = []
    kernels = {*config.encoder_kernel_sizes, *config.decoder_kernel_sizes}
    if not config.attention_heads and 0 in kernels:
        found.append("a layer needs attention_heads or a kernel size, got neither")
    if config.attention_heads and any(kernels) and config.embed_dim % 2:
        found.append(f"embed_dim must be even to be split in two, got {config.embed_dim}")
    for branch, heads, dims in (
        ("attention_heads", config.attention_heads, {config.attention_dim(k) for k in kernels}),
        ("conv_heads", config.conv_heads, {config.conv_dim(k) for k in kernels}),
        ("cross_attention_heads", config.cross_attention_heads, {config.embed_dim}),
    ):
        for dim in sorted(dims - {0}):
            if heads < 1 or dim % heads:
                found.append(f"{branch} must divide its {dim} channels, got {heads}")
    return found


def _kept_problems(config: ModelConfig) -> list[str]:
    """Layers that keep more than they had or nothing of a part; only of sound other values."""
    found = []
    for stack, kernels, kept in (
        ("encoder", config.encoder_kernel_sizes, config.encoder_kept),
        ("decoder", config.decoder_kernel_sizes, config.decoder_kept),
    ):
        if kept and len(kept) != len(kernels):
            found.append(f"{stack}_kept must be one a layer or none, got {len(kept)}")
            continue
        for i, (kernel, left) in enumerate(zip(kernels, kept, strict=False)):
            most = config.whole(kernel, crosses=stack == "decoder")
            if left.ffn_dim < 1:
                found.append(f"{stack}_kept.{i}.ffn_dim must be positive, got {left.ffn_dim}")
            for name in ("attention_heads", "conv_heads", "conv_head_dim", "cross_attention_heads"):
                high, got = getattr(most, name), getattr(left, name)
                if not min(high, 1) <= got <= high:
                    found.append(
                        f"{stack}_kept.{i}.{name} must be from {min(high, 1)} to {high}, got {got}"
                    )
    return found


def _vocabulary_problems(config: ModelConfig) -> list[str]:
    """Vocabularies that do not go together, bands that do not fall within theirs."""
    found = []
    if config.share_embeddings and config.source_vocab_size != config.target_vocab_size:
        found.append("share_embeddings needs equal vocabulary sizes")
    if config.is_language_model and not config.share_embeddings:
        found.append("a language model has one table: share_embeddings must be true")
    cutoffs = config.adaptive_cutoffs
    if cutoffs and not config.is_language_model:
        found.append("adaptive_cutoffs belong to a language model only")
    if any(a >= b for a, b in pairwise((0, *cutoffs, config.target_vocab_size))):
        found.append(
            f"adaptive_cutoffs must rise from 0 to {config.target_vocab_size}, got {cutoffs}"
        )
    factor = config.adaptive_factor
    if cutoffs and (factor < 1 or config.embed_dim % factor ** len(cutoffs)):
        found.append(f"adaptive_factor must divide embed_dim at every band, got {factor}")
    return found
