"""How `generate` starts: limits and special tokens as in our search, and a cache of ours."""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import GenerationConfig, GenerationMixin

from litecompress.errors import InputError
from litecompress.hf.cache import LiteTransformerCache


class OwnGenerationMixin(GenerationMixin):
    """Generation of transformers with our defaults where neither caller nor folder set any."""

    generation_config: GenerationConfig
    shortest: ClassVar[int | None] = None  # tokens before </s> where the caller sets no limit

    def adjust_generation_fn(self, *args: Any, **kwargs: Any) -> None:
        """The folder's generation config, if it has one, over ours."""
        super().adjust_generation_fn(*args, **kwargs)
        self._fill_generation_config()

    def _fill_generation_config(self) -> None:
        """Our defaults where nothing is set: those of our search."""
        self.generation_config.update(**self._generation_defaults(), defaults_only=True)

    def _generation_defaults(self) -> dict[str, Any]:
        names = ("bos_token_id", "pad_token_id", "eos_token_id", "decoder_start_token_id")
        ids = {name: getattr(self.config, name) for name in names}
        return {**ids, "suppress_tokens": [self.config.pad_token_id]}

    def _longest(self, source: int, prompt: int) -> int:
        """Most new tokens, </s> included, where the caller sets no limit."""
        raise NotImplementedError

    def _prepare_generated_length(
        self, generation_config: GenerationConfig, **lengths: Any
    ) -> GenerationConfig:
        """Limits that the caller leaves open."""
        if lengths["has_default_max_length"] and generation_config.max_new_tokens is None:
            source, prompt = lengths["inputs_tensor"].shape[1], lengths["input_ids_length"]
            generation_config.max_new_tokens = self._longest(source, prompt)
        if lengths["has_default_min_length"] and generation_config.min_new_tokens is None:
            generation_config.min_new_tokens = self.shortest
        return super()._prepare_generated_length(generation_config=generation_config, **lengths)

    def _prepare_cache_for_generation(
        self, generation_config: GenerationConfig, model_kwargs: dict[str, Any], *args: Any
    ) -> None:
        """A cache of ours for generation, where one is wanted."""
        if generation_config.cache_implementation not in (None, "dynamic"):
            raise InputError(
                "expected no cache_implementation, as convolution states need the cache of this "
                f"model, got {generation_config.cache_implementation!r}"
            )
        if model_kwargs.get("past_key_values") is not None:
            super()._prepare_cache_for_generation(generation_config, model_kwargs, *args)
        elif generation_config.use_cache:
            cache = LiteTransformerCache(self.architecture)
            if generation_config.is_assistant:
                cache.activate_past_recording()
            model_kwargs["past_key_values"] = cache
