"""Whole decodes of a package and of its model: tokens, and the score of the texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from litecompress.runtime.search import SearchConfig, translate
from litecompress.runtime.session import Logits, Session, State, Tokens
from litecompress.tokenizer import Tokenizer
from litecompress.verify.check import Check
from litecompress.verify.logits import Pair

JUDGED = 200  # sentences; of fewer, one that differs may be worth more than the bound
Ids = tuple[int, ...]
Score = Callable[[Sequence[str], Sequence[str]], float]


@dataclass(frozen=True)
class Limited:
    """A session with no more room than another has, so that both search alike."""

    session: Session
    max_source: int
    max_target: int

    def start(self, source: Tokens, length: int) -> State:
        return self.session.start(source, length)

    def step(self, tokens: Tokens, step: int, state: State) -> tuple[Logits, State]:
        return self.session.step(tokens, step, state)


def decoded(session: Session, like: Session, sources: Sequence[Ids], beam: int) -> list[Ids]:
    """Translations of a session with the limits of another, </s> included."""
    limited = Limited(session, like.max_source, like.max_target)
    found = translate(limited, sources, SearchConfig(beam=beam), batch=16)
    return [hypothesis.tokens for hypothesis in found]


def tokens_check(pair: Pair, theirs: Sequence[Ids], ours: Sequence[Ids], beam: int) -> Check:
    """How much of what was written is the same; for the record, BLEU is what judges it."""
    pairs = list(zip(theirs, ours, strict=True))
    edits = sum(edit_distance(first, second) for first, second in pairs)
    longest = sum(max(len(first), len(second)) for first, second in pairs)
    figures = {
        "token_agreement": 1 - edits / longest,
        "sentence_agreement": sum(first == second for first, second in pairs) / len(pairs),
        "sentences": len(pairs),
    }
    return Check("decode", f"beam {beam}", pair.level, figures)


def bleu_check(
    pair: Pair,
    theirs: Sequence[Ids],
    ours: Sequence[Ids],
    references: Sequence[str],
    tokenizer: Tokenizer,
    score: Score,
) -> Check:
    """Corpus BLEU of both, judged where there are enough sentences for it."""
    first, second = (
        score([tokenizer.decode(i) for i in ids], references) for ids in (theirs, ours)
    )
    figures = {"bleu": second, "bleu_model": first, "bleu_delta": second - first}
    case = f"{len(references)} sentences"
    bounds = pair.bounds.only("bleu_delta") if len(references) >= JUDGED else {}
    return Check("bleu", case, pair.level, figures, bounds)


def edit_distance(first: Sequence[Any], second: Sequence[Any]) -> int:
    """Least number of tokens to insert, delete or replace."""
    row = np.arange(len(second) + 1)
    places = np.arange(len(second) + 1)
    other = np.array(second)
    for token in first:
        above = row + 1
        replaced = row[:-1] + (other != token) if len(second) else row[:0]
        best = np.minimum(above, np.concatenate([above[:1], replaced]))
        row = np.minimum.accumulate(best - places) + places
    return int(row[-1])
