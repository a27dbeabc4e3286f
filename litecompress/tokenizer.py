"""Text to token ids and back, with the special ids that the models expect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tokenizers import Tokenizer as _Tokenizer
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from litecompress.errors import CheckpointError, InputError, LiteCompressError
from litecompress.model.config import BOS_ID, EOS_ID, PAD_ID, UNK_ID

SPECIAL_TOKENS = {"<s>": BOS_ID, "<pad>": PAD_ID, "</s>": EOS_ID, "<unk>": UNK_ID}
VOCABULARY_END = "<end of vocabulary>"  # has blanks, so no text can contain it as a token
LIMIT_CHARS = 100_000
NO_LIMIT = 2**31  # tokens


class Tokenizer:
    """A subword vocabulary; the content of `tokenizer.json` is its whole state.

    Where there is a token `VOCABULARY_END`, it and the ids above serve the segmentation only and
    mean <unk>; the vocabulary is what lies below.
    """

    def __init__(self, data: bytes) -> None:
        try:
            self._tokenizer = _Tokenizer.from_buffer(data)
        except Exception as error:  # the library raises bare Exceptions only
            raise CheckpointError(
                f"tokenizer: expected the JSON of a `tokenizers` tokenizer, got {error}"
            ) from error
        for token, expected in SPECIAL_TOKENS.items():
            got = self._tokenizer.token_to_id(token)
            if got != expected:
                raise CheckpointError(f"tokenizer: expected id {expected} for {token}, got {got}")
        self.data = data
        end = self._tokenizer.token_to_id(VOCABULARY_END)
        self._vocab_size = self._tokenizer.get_vocab_size() if end is None else end

    @property
    def vocab_size(self) -> int:
        """Number of ids, special ones included."""
        return self._vocab_size

    def encode(self, text: str) -> list[int]:
        """Ids of one sentence, ending in </s>; an empty or absurdly long text is an InputError."""
        if not text.strip():
            raise InputError("expected a sentence, got an empty line; remove it or write text")
        if any("\ud800" <= c <= "\udfff" for c in text):
            raise InputError("expected UTF-8 text, got bytes that are not; convert the input")
        if len(text) > LIMIT_CHARS:
            raise InputError(f"expected at most {LIMIT_CHARS} characters, got {len(text)}")
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        return [*(i if i < self._vocab_size else UNK_ID for i in ids), EOS_ID]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; special ones are left out."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=True).strip()

    @classmethod
    def learn(cls, lines: Iterable[str], vocab_size: int) -> Tokenizer:
        """Learn a cased byte-pair encoding (arXiv:1508.07909) with punctuation on its own."""
        tokenizer = _Tokenizer(models.BPE(unk_token="<unk>"))
        tokenizer.normalizer = normalizers.NFC()
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()]
        )
        tokenizer.decoder = decoders.Metaspace()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size, special_tokens=list(SPECIAL_TOKENS), show_progress=False
        )
        tokenizer.train_from_iterator(lines, trainer)
        return cls(tokenizer.to_str().encode())


class Tokenizers(NamedTuple):
    """The tokenizers of both sides; one and the same where the vocabulary is shared."""

    source: Tokenizer
    target: Tokenizer

    @classmethod
    def of(cls, source: bytes, target: bytes | None) -> Tokenizers:
        """From the contents of `tokenizer.json` and, where there is one, the target's own."""
        first = Tokenizer(source)
        return cls(first, first if target is None else Tokenizer(target))


def shortened(ids: list[int], limit: int) -> list[int]:
    """At most `limit` ids: of more, the first and the last, which is </s>."""
    return ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]]


def encode_all(
    tokenizer: Tokenizer, lines: Iterable[str], limit: int, origin: str = ""
) -> list[list[int]]:
    """Encode lines, naming every one that is empty or longer than `limit` ids in one InputError."""
    encoded: list[list[int]] = []
    problems: list[str] = []
    for number, line in enumerate(lines, 1):
        try:
            ids = tokenizer.encode(line)
            if len(ids) > limit:
                raise InputError(f"expected at most {limit} tokens, got {len(ids)}; split it")
            encoded.append(ids)
        except LiteCompressError as error:
            problems.append(f"sentence {number}: {error}")
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise InputError((f"{origin}: " if origin else "") + "; ".join(problems[:3]) + more)
    return encoded
