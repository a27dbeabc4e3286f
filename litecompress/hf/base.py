"""What both kinds of model share: weights by our names, embeddings, the decoder."""

from __future__ import annotations

import math
from typing import Any, ClassVar, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import PreTrainedModel

from litecompress.errors import CheckpointError, InputError
from litecompress.hf.cache import LiteTransformerCache
from litecompress.hf.config import LiteTransformerConfig
from litecompress.hf.decoding import Memory, decode, decode_on, hidden_as_padding
from litecompress.hf.generation import OwnGenerationMixin
from litecompress.model.build import network
from litecompress.model.dropout import dropout
from litecompress.model.embedding import sinusoids
from litecompress.model.layers import DecoderLayer

IGNORED = -100  # a label that does not count
ACCEPTED = ("output_attentions", "num_items_in_batch")
SHOWN = 5  # weights of each kind that an error names


class LiteTransformerForGeneration(PreTrainedModel, OwnGenerationMixin):
    """The modules of our network under their own names, so that weights keep theirs.

    Weights load in float32 whatever the file holds, unless `dtype` says otherwise.
    """

    config_class = LiteTransformerConfig
    embedding: nn.Module
    decoder: nn.ModuleList
    language_model: ClassVar[bool]
    other_class: ClassVar[str]

    def __init__(self, config: LiteTransformerConfig) -> None:
        super().__init__(config)
        self.architecture = config.model_config()
        if self.architecture.is_language_model is not self.language_model:
            raise CheckpointError(
                f"expected {'a language model' if self.language_model else 'an encoder-decoder'}, "
                f"got a config of the other kind; use {self.other_class}"
            )
        for name, module in network(self.architecture).named_children():
            self.add_module(name, module)
        self._fill_generation_config()
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: modules initialise themselves."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Load a checkpoint folder or Hub repository; misfits are a CheckpointError."""
        if "dtype" not in kwargs and "torch_dtype" not in kwargs:
            kwargs["dtype"] = torch.float32
        with_info = kwargs.pop("output_loading_info", False)
        kwargs["ignore_mismatched_sizes"] = True  # they are refused below, with all else
        kwargs.setdefault("use_safetensors", True)
        try:
            model, info = super().from_pretrained(
                pretrained_model_name_or_path, *args, output_loading_info=True, **kwargs
            )
        except SafetensorError as error:
            raise CheckpointError(
                f"{pretrained_model_name_or_path}: expected intact safetensors, got {error}"
            ) from error
        wrong = _misfits(info)
        if wrong:
            raise CheckpointError(
                f"{pretrained_model_name_or_path}: expected the weights of its config, got {wrong}"
            )
        return (model, info) if with_info else model

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Module:
        """Refused: a vocabulary is fixed by its checkpoint."""
        if args or kwargs:
            raise InputError(
                "expected the checkpoint's own vocabulary, got another size; train a model with "
                "the tokenizer that you want"
            )
        table: nn.Module = self.get_input_embeddings()
        return table

    def _embed(self, tokens: Tensor, position: Tensor, table: nn.Module) -> Tensor:
        """sqrt(D) E[token] + PE[position], (B, T) to (B, T, D)."""
        found = table(tokens)
        x = found * math.sqrt(self.architecture.embed_dim)
        x = x + sinusoids(position, self.architecture.embed_dim)
        return dropout(x.to(found.dtype), self.architecture.dropout, self.training)

    def _decode(
        self,
        tokens: Tensor,
        mask: Tensor | None,
        memory: Memory | None,
        cache: LiteTransformerCache | None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Tokens (B, T) as the decoder takes them, and all its states (B, T, D)."""
        tokens = hidden_as_padding(tokens, mask)
        table = self.get_decoder_embeddings()
        layers = cast("list[DecoderLayer]", list(self.decoder))

        def embed(tokens: Tensor, position: Tensor) -> Tensor:
            return self._embed(tokens, position, table)

        if cache is None:
            return tokens, decode(layers, embed, tokens, memory)
        return tokens, decode_on(layers, embed, tokens, memory, cache)

    def get_decoder_embeddings(self) -> nn.Module:
        """The table of the tokens that the decoder takes."""
        return self.embedding

    def _keeps_states(self, asked: bool | None) -> bool:
        """Whether the states of all layers are wanted, by the caller or the config."""
        return bool(self.config.output_hidden_states if asked is None else asked)

    def _cache(self, given: Any, use_cache: bool | None, default: bool) -> Any:
        """The cache to use, new where one is wanted and none is given."""
        if given is not None and not isinstance(given, LiteTransformerCache):
            raise InputError(
                f"expected a LiteTransformerCache as past_key_values, got {type(given).__name__}"
            )
        if use_cache is None:
            use_cache = default and getattr(self.config, "use_cache", True)
        if given is None and use_cache:
            return LiteTransformerCache(self.architecture)
        return given


def _misfits(info: dict[str, Any]) -> str:
    """Weights that are missing, unknown or misshapen, the first few of each; empty for none."""
    kinds = ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")
    found = {kind: sorted(map(str, info.get(kind) or ())) for kind in kinds}
    return "; ".join(
        f"{len(names)} {kind}: {', '.join(names[:SHOWN])}" for kind, names in found.items() if names
    )


def check_options(options: dict[str, Any]) -> None:
    """An InputError that names every option of transformers that these models do not have."""
    wrong = [name for name, value in options.items() if name not in ACCEPTED and value is not None]
    if options.get("output_attentions"):
        wrong.append("output_attentions")
    if wrong:
        raise InputError(f"expected arguments of this model, got {', '.join(sorted(wrong))} too")


def mean_loss(losses: Tensor, count: Tensor | int | None) -> Tensor:
    """Losses of labels (N,) as one: their sum over `count`, where none is given their number."""
    return losses.sum() / (len(losses) if count is None else count)
