"""The model's config as transformers holds it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, ClassVar

from transformers import PreTrainedConfig

from litecompress.errors import CheckpointError
from litecompress.model.config import (
    BOS_ID,
    EOS_ID,
    HUGGING_FACE_KEYS,
    MODEL_TYPE,
    PAD_ID,
    ModelConfig,
)

ARCHITECTURE = tuple(field.name for field in fields(ModelConfig))
_OF_TRANSFORMERS = {
    *HUGGING_FACE_KEYS,
    *(field.name for field in fields(PreTrainedConfig)),
    *("experts_implementation", "model_type", "name_or_path", "num_labels", "quantization_config"),
}


class LiteTransformerConfig(PreTrainedConfig):
    """The fields of `ModelConfig`, checked by it, and what transformers adds.

    Keys of neither are a CheckpointError, and so are other ids of special tokens: these are the
    same in every model.
    """

    model_type = MODEL_TYPE
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values"]
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "embed_dim",
        "vocab_size": "target_vocab_size",
        "num_attention_heads": "attention_heads",
        "max_position_embeddings": "max_positions",
    }

    def __init__(self, **values: Any) -> None:
        own = [name for name in values if name not in _OF_TRANSFORMERS]
        architecture = ModelConfig.from_dict({name: values.pop(name) for name in own})
        for name, value in architecture.to_dict().items():
            if name in ARCHITECTURE:
                setattr(self, name, value)
        for name, value in _special_ids(architecture).items():
            if values.pop(name, value) not in (value, None):
                raise CheckpointError(f"expected {name} {value} as in every model, got another")
            setattr(self, name, value)
        values["is_encoder_decoder"] = not architecture.is_language_model
        super().__init__(**values)

    def model_config(self) -> ModelConfig:
        """The architecture as the rest of this project knows it."""
        given = {name: getattr(self, name) for name in ARCHITECTURE if hasattr(self, name)}
        return ModelConfig.from_dict(given)

    @property
    def num_hidden_layers(self) -> int:
        """Layers of the decoder."""
        return len(self.decoder_kernel_sizes)

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> Any:
        """The config itself: it has the fields of encoder and decoder side by side."""
        return self


def _special_ids(architecture: ModelConfig) -> dict[str, int]:
    """Text begins with </s> for a decoder; <s> is in the vocabularies but never used."""
    bos = EOS_ID if architecture.is_language_model else BOS_ID
    return {
        "bos_token_id": bos,
        "pad_token_id": PAD_ID,
        "eos_token_id": EOS_ID,
        "decoder_start_token_id": EOS_ID,
    }
