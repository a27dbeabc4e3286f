"""Language models."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.utils.generic import can_return_tuple

from litecompress.errors import InputError
from litecompress.hf.base import (
    IGNORED,
    LiteTransformerForGeneration,
    check_options,
    mean_loss,
)
from litecompress.model.adaptive import AdaptiveEmbedding, TiedEmbedding
from litecompress.model.config import PAD_ID


class LiteTransformerForCausalLM(LiteTransformerForGeneration):
    """A language model; text begins with </s>, padding may be on either side.

    Its logits are log-probabilities: their softmax is the distribution, too. `labels` are those of
    `input_ids`, shifted here; -100 among them, hidden tokens and a text's first do not count.
    """

    embedding: TiedEmbedding | AdaptiveEmbedding
    language_model: ClassVar[bool] = True
    other_class: ClassVar[str] = "AutoModelForSeq2SeqLM"

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        logits_to_keep: int = 0,
        **options: Any,
    ) -> CausalLMOutputWithPast:
        """Log-probabilities (B, T, V) of the next token, after the last `logits_to_keep` if set.

        Trained with an adaptive vocabulary, it computes the loss over the bands that occur only,
        and no logits.
        """
        check_options(options)
        if input_ids is None:
            raise InputError("expected input_ids, got none")
        cache = self._cache(past_key_values, use_cache, labels is None and not self.training)
        if cache is not None and attention_mask is not None:  # it covers what is cached, too
            attention_mask = attention_mask[:, -input_ids.shape[1] :]
        tokens, states = self._decode(input_ids, attention_mask, None, cache)
        spared = self.training and labels is not None and not self._tied
        kept = states[-1][:, -logits_to_keep:]
        logits = None if spared else self.embedding.log_probs(kept)
        loss = None
        if labels is not None:
            loss = self._loss(states[-1], logits, tokens, labels, options)
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=cache,
            hidden_states=tuple(states) if self._keeps_states(output_hidden_states) else None,
        )

    def get_input_embeddings(self) -> nn.Module:
        """The vocabulary: one table, or bands of them."""
        return self.embedding

    def get_output_embeddings(self) -> nn.Module | None:
        """The one table again; None where bands give no single matrix."""
        return self.embedding if self._tied else None

    @property
    def _tied(self) -> bool:
        return isinstance(self.embedding, TiedEmbedding)

    def _longest(self, source: int, prompt: int) -> int:
        return max(self.architecture.max_positions - prompt, 1)

    def _loss(
        self,
        features: Tensor,
        logits: Tensor | None,
        tokens: Tensor,
        labels: Tensor,
        options: dict[str, Any],
    ) -> Tensor:
        """The mean over what is counted; from the logits where these are all there."""
        labels, shown = labels[:, 1:], tokens != PAD_ID
        counted = (labels != IGNORED) & shown[:, :-1] & shown[:, 1:]
        targets = labels[counted]
        if logits is not None and logits.shape[1] == features.shape[1]:
            found = logits[:, :-1][counted].gather(1, targets[:, None])[:, 0]
        else:
            found = self.embedding.target_log_probs(features[:, :-1][counted], targets)
        return mean_loss(-found.float(), options.get("num_items_in_batch"))
