"""Encoder-decoders: translation, summarization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput
from transformers.utils.generic import can_return_tuple

from litecompress.errors import InputError
from litecompress.hf.base import (
    IGNORED,
    LiteTransformerForGeneration,
    check_options,
    mean_loss,
)
from litecompress.hf.decoding import Memory, hidden_as_padding
from litecompress.model.config import EOS_ID, PAD_ID
from litecompress.model.embedding import positions
from litecompress.model.layers import MASKED
from litecompress.runtime.search import SearchConfig


@dataclass
class EncoderOutput(BaseModelOutput):
    """States of the source (B, S, D), and 1 where `attention_mask` (B, S) does not hide them."""

    attention_mask: Tensor | None = None


class Encoder(nn.Module):
    """A model's encoder by itself, for generation; it has no weights of its own."""

    main_input_name = "input_ids"

    def __init__(self, model: LiteTransformerForSeq2SeqLM) -> None:
        super().__init__()
        self._encode = model.encode  # a method, so that the model's weights are not ours

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> EncoderOutput:
        """Source tokens (B, S), padded on either side."""
        check_options({"output_attentions": output_attentions})
        return self._encode(input_ids, attention_mask, bool(output_hidden_states))


class LiteTransformerForSeq2SeqLM(LiteTransformerForGeneration):
    """A translation or summarization model; `labels` end in </s>, -100 among them do not count.

    Where there are labels but no `decoder_input_ids`, these are the labels shifted right behind
    </s>. Padding may be on either side; what a mask hides is padding. Caches are kept by default
    but while training or with labels.
    """

    embedding: nn.Embedding
    source_embedding: nn.Embedding
    target_embedding: nn.Embedding
    output: nn.Linear
    language_model: ClassVar[bool] = False
    other_class: ClassVar[str] = "AutoModelForCausalLM"
    shortest: ClassVar[int | None] = SearchConfig.min_length

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.encoder.main_input_name = Encoder.main_input_name  # generate asks for it

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_outputs: Any = None,
        past_key_values: Any = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        **options: Any,
    ) -> Seq2SeqLMOutput:
        """Logits (B, T, V) after each decoder token, and the mean loss of the labels (B, T)."""
        check_options(options)
        all_states = self._keeps_states(output_hidden_states)
        if encoder_outputs is None:
            encoder_outputs = self.encode(input_ids, attention_mask, all_states)
        memory = _memory(encoder_outputs, attention_mask)
        if decoder_input_ids is None:
            decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
        cache = self._cache(past_key_values, use_cache, labels is None and not self.training)
        if cache is not None and decoder_attention_mask is not None:  # it may cover what is cached
            decoder_attention_mask = decoder_attention_mask[:, -decoder_input_ids.shape[1] :]
        _, states = self._decode(decoder_input_ids, decoder_attention_mask, memory, cache)
        logits = self.logits(states[-1])
        return Seq2SeqLMOutput(
            loss=None if labels is None else self._loss(logits, labels, options),
            logits=logits,
            past_key_values=cache,
            decoder_hidden_states=tuple(states) if all_states else None,
            encoder_last_hidden_state=memory.states,
            encoder_hidden_states=getattr(encoder_outputs, "hidden_states", None),
        )

    def encode(
        self, input_ids: Tensor | None, attention_mask: Tensor | None, all_states: bool = False
    ) -> EncoderOutput:
        """Source tokens (B, S) to states (B, S, D)."""
        if input_ids is None:
            raise InputError("expected input_ids or encoder_outputs, got neither")
        tokens = hidden_as_padding(input_ids, attention_mask)
        real = (tokens != PAD_ID).long()
        x = self._embed(tokens, positions(tokens), self.get_input_embeddings())
        states, bias = [x], _bias(real, x)
        for layer in self.encoder:
            x = layer(x, bias, real.unsqueeze(-1).to(x.dtype))
            states.append(x)
        hidden_states = tuple(states) if all_states else None
        return EncoderOutput(x, hidden_states=hidden_states, attention_mask=real)

    def logits(self, features: Tensor) -> Tensor:
        """Features (.., D) to scores (.., V)."""
        return F.linear(features, self.get_output_embeddings().weight)

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor | None) -> Tensor:
        """Labels (B, T) shifted right behind </s>, padding in place of those that do not count."""
        if labels is None:
            raise InputError("expected decoder_input_ids or labels, got neither")
        shifted = F.pad(labels[:, :-1], (1, 0), value=EOS_ID)
        return shifted.masked_fill(shifted == IGNORED, PAD_ID)

    def get_encoder(self, modality: str | None = None) -> nn.Module:
        """The encoder as something to call."""
        return Encoder(self)

    def get_input_embeddings(self) -> nn.Embedding:
        """The table of source tokens."""
        return self.embedding if self.architecture.share_embeddings else self.source_embedding

    def get_decoder_embeddings(self) -> nn.Embedding:
        """The table of target tokens."""
        return self.embedding if self.architecture.share_embeddings else self.target_embedding

    def get_output_embeddings(self) -> nn.Embedding | nn.Linear:
        """What turns features into scores: the one table, or an own matrix."""
        return self.embedding if self.architecture.share_embeddings else self.output

    def _generation_defaults(self) -> dict[str, Any]:
        return {**super()._generation_defaults(), "forced_eos_token_id": EOS_ID}

    def _longest(self, source: int, prompt: int) -> int:
        search = SearchConfig()
        wanted = int(search.max_length_a * source + search.max_length_b)
        return max(min(wanted, self.architecture.max_positions - 1) + 2 - prompt, 1)

    def _loss(self, logits: Tensor, labels: Tensor, options: dict[str, Any]) -> Tensor:
        counted = labels != IGNORED
        losses = F.cross_entropy(logits[counted].float(), labels[counted], reduction="none")
        return mean_loss(losses, options.get("num_items_in_batch"))


def _memory(encoder_outputs: Any, mask: Tensor | None) -> Memory:
    """States of the source, what the encoder or the mask hides left out."""
    states = encoder_outputs[0]
    real = getattr(encoder_outputs, "attention_mask", None)
    if real is None:
        real = states.new_ones(states.shape[:2])
    if mask is not None:
        real = real * (mask != 0)
    return Memory(states, _bias(real, states))


def _bias(real: Tensor, like: Tensor) -> Tensor:
    """Scores (B, 1, 1, S) to add so that nothing attends over what is not real (B, S)."""
    return ((1 - real.to(like.dtype)) * MASKED)[:, None, None, :]
