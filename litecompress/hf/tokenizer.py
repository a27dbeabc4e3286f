"""The tokenizers of a checkpoint as one of transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from tokenizers import Tokenizer as _Tokenizer
from transformers import PreTrainedTokenizerFast

from litecompress.checkpoint import TARGET_TOKENIZER, write_tokenizers
from litecompress.errors import CheckpointError, InputError
from litecompress.model.config import UNK_ID, ModelConfig
from litecompress.tokenizer import SPECIAL_TOKENS, Tokenizers


class LiteTransformerTokenizer(PreTrainedTokenizerFast):
    """Our `tokenizer.json`: the ids of `Tokenizer.encode`, </s> last; of a language model, first.

    With a `target_tokenizer.json` beside it, `text_target` is encoded by that one, and ids are
    always decoded by it: they are what a model generates. A vocabulary cannot be extended.
    """

    vocab_files_names: ClassVar[dict[str, str]] = {
        "tokenizer_file": "tokenizer.json",
        "target_tokenizer_file": TARGET_TOKENIZER,
        "model_config_file": "config.json",
    }
    model_input_names: ClassVar[list[str]] = ["input_ids", "attention_mask"]
    slow_tokenizer_class = None
    _tokenizer: _Tokenizer

    def __init__(
        self,
        tokenizer_file: str | None = None,
        target_tokenizer_file: str | None = None,
        model_config_file: str | None = None,
        language_model: bool | None = None,
        **kwargs: Any,
    ) -> None:
        if tokenizer_file is None:
            raise CheckpointError("expected a folder with tokenizer.json, got none there")
        target = Path(target_tokenizer_file).read_bytes() if target_tokenizer_file else None
        self._sides = Tokenizers.of(Path(tokenizer_file).read_bytes(), target)
        config = _model_config(model_config_file)
        if config is not None:
            language_model = config.is_language_model
            kwargs.setdefault("model_max_length", config.max_positions)
        kwargs |= {"bos_token": "</s>" if language_model else "<s>", "eos_token": "</s>"}
        kwargs |= {"pad_token": "<pad>", "unk_token": "<unk>"}
        kwargs |= {"add_bos_token": bool(language_model), "add_eos_token": not language_model}
        super().__init__(
            tokenizer_object=_Tokenizer.from_buffer(self._sides.source.data),
            language_model=bool(language_model),
            **kwargs,
        )
        self._vocabulary = self._sides.source.vocab_size
        self._source = self._target = self._tokenizer
        if target is not None:
            self._target = _Tokenizer.from_buffer(target)
            self._target.post_processor = self._source.post_processor

    @classmethod
    def convert_to_native_format(cls, **kwargs: Any) -> dict[str, Any]:
        """The files as they are."""
        return kwargs

    @property
    def vocab_size(self) -> int:
        """Ids that the model knows; those above serve the segmentation only."""
        return self._vocabulary

    def __len__(self) -> int:
        return self._vocabulary

    def get_vocab(self) -> dict[str, int]:
        """Tokens that the model knows, and their ids."""
        return {t: i for t, i in super().get_vocab().items() if i < self._vocabulary}

    def _switch_to_target_mode(self) -> None:
        self._tokenizer, self._vocabulary = self._target, self._sides.target.vocab_size

    def _switch_to_input_mode(self) -> None:
        self._tokenizer, self._vocabulary = self._source, self._sides.source.vocab_size

    def _convert_encoding(self, *args: Any, **kwargs: Any) -> Any:
        """What the tokenizer found, with <unk> for what is not in the vocabulary."""
        values, encodings = super()._convert_encoding(*args, **kwargs)
        limit = self._vocabulary
        values["input_ids"] = [
            [i if i < limit else UNK_ID for i in ids] for ids in values["input_ids"]
        ]
        return values, encodings

    def _decode(self, token_ids: Any, skip_special_tokens: bool = False, **kwargs: Any) -> str:
        self._switch_to_target_mode()
        try:
            text: str = super()._decode(token_ids, skip_special_tokens, **kwargs)
        finally:
            self._switch_to_input_mode()
        return text.strip() if skip_special_tokens else text

    def _add_tokens(self, new_tokens: Any, special_tokens: bool = False) -> int:
        """Nothing that is not there: the model could not embed it, and no file would keep it."""
        new = [str(t) for t in new_tokens if str(t) not in SPECIAL_TOKENS]
        if new:
            raise InputError(
                f"expected the checkpoint's own tokens, got {', '.join(new)}; train a model with "
                "the tokenizer that you want"
            )
        missing = [t for t in new_tokens if str(t) not in self.added_tokens_encoder]
        return int(super()._add_tokens(missing, True)) if missing else 0

    def _save_pretrained(
        self, save_directory: Any, file_names: tuple[str, ...], *args: Any, **kwargs: Any
    ) -> tuple[str, ...]:
        """Write the files as they were read."""
        folder, (source, target) = Path(save_directory), self._sides
        own = target.data if target is not source else None
        write_tokenizers(folder, source.data, own)
        names = ["tokenizer.json", *([TARGET_TOKENIZER] if own is not None else [])]
        return (*file_names, *(str(folder / name) for name in names))


def _model_config(path: str | None) -> ModelConfig | None:
    """The config beside a tokenizer, where there is one and it is a model's."""
    if path is None:
        return None
    values = json.loads(Path(path).read_text("utf-8"))
    return ModelConfig.from_dict(values)
