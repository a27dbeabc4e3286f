"""Texts in, translations or summaries out, from anything that runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from litecompress.errors import InputError
from litecompress.runtime.hypothesis import Hypothesis
from litecompress.runtime.open import open_model
from litecompress.runtime.options import TranslationOptions
from litecompress.runtime.overlong import split
from litecompress.runtime.search import n_best
from litecompress.runtime.session import Session, ShortlistSession
from litecompress.runtime.texts import encode_each
from litecompress.tokenizer import Tokenizers, shortened


@dataclass(frozen=True)
class Candidate:
    """One output: its text, score (log-probability over length^length_penalty) and ids.

    Ids end in </s>, those of every piece where the source was split.
    """

    text: str
    score: float
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Translation:
    """What became of one text: the best candidate, and the `n_best` asked for, if so many ended.

    `pieces`: into how many an overlong source was split; an empty text has none, and no candidate.
    """

    text: str
    score: float
    tokens: tuple[int, ...]
    n_best: tuple[Candidate, ...]
    pieces: int

    @classmethod
    def of(cls, candidates: Sequence[Candidate], pieces: int) -> Translation:
        """From candidates, best first."""
        best = candidates[0] if candidates else Candidate("", 0.0, ())
        return cls(best.text, best.score, best.tokens, tuple(candidates), pieces)


class Translator:
    """A translation or summarization model with its tokenizers."""

    def __init__(self, session: Session, tokenizers: Tokenizers) -> None:
        self.session, self.tokenizers = session, tokenizers

    @classmethod
    def load(
        cls, path: Path | str, *, threads: int | None = None, shortlist: bool = True
    ) -> Translator:
        """From a package, an artifact or a checkpoint; the last two need torch.

        Packages run on one thread unless more are asked for. Without `shortlist` that of a package
        is not loaded.
        """
        return cls(*open_model(Path(path), threads, shortlist=shortlist))

    def translate(
        self,
        texts: Sequence[str],
        options: TranslationOptions | None = None,
        *,
        first: int = 1,
        **changes: Any,
    ) -> list[Translation]:
        """One translation a text, in order; `changes` are fields of the options by name.

        Texts that cannot be translated are one InputError, numbered from `first`.
        """
        asked = replace(options or TranslationOptions(), **changes)
        sources = encode_each(texts, lambda text: self._pieces(text, asked), "sentence", first)
        rows = [row for pieces in sources for row in pieces]
        session = self.session
        if not asked.shortlist and isinstance(session, ShortlistSession):
            session = session.whole()
        hypotheses = n_best(session, rows, asked.search(), asked.batch_size, scores=asked.scores)
        found = iter(hypotheses)
        return [self._joined([next(found) for _ in pieces], asked) for pieces in sources]

    def _pieces(self, text: str, options: TranslationOptions) -> list[list[int]]:
        """A text as ids: none, whole if it is short enough, else as the options say."""
        if not text.strip():
            return []
        encode, limit = self.tokenizers.source.encode, self.session.max_source
        ids = encode(text)
        if options.max_source is not None:
            ids = shortened(ids, options.max_source)
        if len(ids) <= limit:
            return [ids]
        if options.overlong == "refuse":
            raise InputError(
                f"expected at most {limit} tokens, got {len(ids)}; split it, or let it be split "
                "(overlong: split)"
            )
        return [encode(piece) for piece in split(text, lambda piece: len(encode(piece)) <= limit)]

    def _joined(
        self, pieces: Sequence[Sequence[Hypothesis]], options: TranslationOptions
    ) -> Translation:
        """The outputs of a text's pieces as one: the best of each, the second best of each, ..."""
        ranks = zip(*pieces, strict=False)
        candidates = [self._candidate(rank, options) for rank in ranks]
        return Translation.of(candidates[: options.n_best], len(pieces))

    def _candidate(self, parts: Sequence[Hypothesis], options: TranslationOptions) -> Candidate:
        """Hypotheses of consecutive pieces as one, scored as if they were one."""
        text = " ".join(self.tokenizers.target.decode(part.tokens) for part in parts)
        tokens = tuple(token for part in parts for token in part.tokens)
        if len(parts) == 1:
            return Candidate(text, parts[0].score, tokens)
        total = sum(score for part in parts for score in part.token_scores)
        return Candidate(text, total / len(tokens) ** options.length_penalty, tokens)
