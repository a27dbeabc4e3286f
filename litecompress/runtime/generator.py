"""Prompts in, continuations out, from anything that runs a language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from litecompress.errors import InputError
from litecompress.model.config import EOS_ID
from litecompress.runtime.beams import Beams
from litecompress.runtime.chooser import Chooser
from litecompress.runtime.hypothesis import Hypothesis, checked
from litecompress.runtime.open import open_language_model
from litecompress.runtime.options import GenerationOptions
from litecompress.runtime.sampling import Sampling
from litecompress.runtime.search import decode
from litecompress.runtime.session import LanguageSession, State
from litecompress.runtime.single import Greedy
from litecompress.runtime.texts import encode_each
from litecompress.runtime.translator import Candidate
from litecompress.tokenizer import Tokenizer


@dataclass(frozen=True)
class Continuation:
    """What a prompt became: the best candidate, or the first sample, and the `n_best` asked for.

    A text begins with the prompt; score and ids are those of what was written after it.
    """

    prompt: str
    text: str
    score: float
    tokens: tuple[int, ...]
    n_best: tuple[Candidate, ...]


class Generator:
    """A language model with its tokenizer."""

    def __init__(self, session: LanguageSession, tokenizer: Tokenizer) -> None:
        self.session, self.tokenizer = session, tokenizer

    @classmethod
    def load(cls, path: Path | str, *, threads: int | None = None) -> Generator:
        """From a package, an artifact or a checkpoint; the last two need torch."""
        session, tokenizers = open_language_model(Path(path), threads)
        return cls(session, tokenizers.target)

    def generate(
        self,
        prompts: Sequence[str],
        options: GenerationOptions | None = None,
        *,
        first: int = 1,
        **changes: Any,
    ) -> list[Continuation]:
        """One continuation a prompt, in order; `changes` are fields of the options by name.

        An empty prompt begins a text. Prompts that leave no room are one InputError, numbered from
        `first`; drawn tokens depend on that number too.
        """
        asked = replace(options or GenerationOptions(), **changes)
        most = asked.max_length
        begun = encode_each(prompts, lambda prompt: self._encoded(prompt, most), "prompt", first)
        return [
            self._continuation(prompt, ids, asked, number)
            for number, (prompt, ids) in enumerate(zip(prompts, begun, strict=True), first)
        ]

    def _encoded(self, prompt: str, most: int) -> list[int]:
        """What the decoder reads before it writes: </s> and the prompt."""
        ids = self.tokenizer.encode(prompt)[:-1] if prompt.strip() else []
        room = self.session.max_target - most
        if len(ids) >= room:
            raise InputError(
                f"expected fewer than {room} tokens, so that {most} more find room, got {len(ids)}"
            )
        return [EOS_ID, *ids]

    def _continuation(
        self, prompt: str, begun: list[int], options: GenerationOptions, number: int
    ) -> Continuation:
        state, rows = self._read(begun, options.max_length), np.array([begun])
        if options.draws:
            state = state.rows(np.zeros(options.n_best, np.intp))
            chooser: Chooser = Sampling(options, rows.repeat(options.n_best, axis=0), number)
        else:
            search = Greedy if options.beam == 1 else Beams
            chooser = search(options.search(), options.max_length, rows)
        found = decode(self.session, state, chooser, cut=True)
        candidates = [self._candidate(begun, h) for hypotheses in found for h in hypotheses]
        best, *_ = checked(candidates)
        n_best = tuple(candidates[: options.n_best])
        return Continuation(prompt, best.text, best.score, best.tokens, n_best)

    def _read(self, begun: list[int], most: int) -> State:
        """The state when all but the last token are read."""
        state = self.session.begin(1, len(begun) + most)
        for step, token in enumerate(begun[:-1]):
            _, state = self.session.step(np.array([token]), step, state)
        return state

    def _candidate(self, begun: list[int], hypothesis: Hypothesis) -> Candidate:
        text = self.tokenizer.decode([*begun, *hypothesis.tokens])
        return Candidate(text, hypothesis.score, hypothesis.tokens)
