"""What a Lite Transformer checkpoint says about its shape; no torch needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from litecompress.errors import CheckpointError

BOS_ID, PAD_ID, EOS_ID, UNK_ID = 0, 1, 2, 3
MODEL_TYPE = "lite_transformer"


@dataclass(frozen=True)
class ModelConfig:
    """The architecture of one Lite Transformer encoder-decoder (arXiv:2004.11886 sec. 4).

    `embed_dim` d is split in two: attention works on the first d/2 channels, convolution on the
    rest. `conv_padding` says what a padded position feeds to the convolution: `masked` zeros, so
    that the output never depends on the amount of padding, or `leaky` what the authors' code does
    (zeros before `linear1`, hence its bias after it).
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
    max_positions: int = 1024
    dropout: float = 0.0
    attention_dropout: float = 0.0
    weight_dropout: float = 0.0
    activation_dropout: float = 0.0

    def __post_init__(self) -> None:
        problems = _problems(self)
        if problems:
            raise CheckpointError("model config: " + "; ".join(problems))

    @property
    def branch_dim(self) -> int:
        """Channels of each LSRA branch, d/2."""
        return self.embed_dim // 2

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Read `config.json`; unknown or missing keys are a CheckpointError naming all of them."""
        given = {k: v for k, v in values.items() if k != "model_type"}
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
            wrong = [f"{e['loc'][0]}: {e['msg']}, got {e['input']!r}" for e in error.errors()]
            raise CheckpointError("model config: " + "; ".join(wrong)) from error

    def to_dict(self) -> dict[str, Any]:
        """The content of `config.json`."""
        values = {"model_type": MODEL_TYPE, **asdict(self)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def _problems(config: ModelConfig) -> list[str]:
    """Every inconsistency at once, each saying what would be right."""
    found = []
    for name in ("source_vocab_size", "target_vocab_size", "embed_dim", "ffn_dim"):
        if getattr(config, name) < 1:
            found.append(f"{name} must be positive, got {getattr(config, name)}")
    branch = config.embed_dim // 2
    for dim, heads in (
        ("attention branch", config.attention_heads),
        ("convolution branch", config.conv_heads),
    ):
        if config.embed_dim % 2 or heads < 1 or branch % heads:
            found.append(f"{dim}: embed_dim/2 must be a multiple of {heads} heads, got {branch}")
    if config.cross_attention_heads < 1 or config.embed_dim % config.cross_attention_heads:
        found.append(f"embed_dim must be a multiple of {config.cross_attention_heads} cross heads")
    for kernels in (config.encoder_kernel_sizes, config.decoder_kernel_sizes):
        if not kernels or any(k < 1 or k % 2 == 0 for k in kernels):
            found.append(f"kernel sizes must be odd and positive, one a layer, got {kernels}")
    if config.share_embeddings and config.source_vocab_size != config.target_vocab_size:
        found.append("share_embeddings needs equal vocabulary sizes")
    for name in ("dropout", "attention_dropout", "weight_dropout", "activation_dropout"):
        if not 0 <= getattr(config, name) < 1:
            found.append(f"{name} must be in [0, 1), got {getattr(config, name)}")
    if config.conv_type == "lightweight" and config.conv_glu:
        found.append("conv_glu belongs to the dynamic convolution only")
    return found
