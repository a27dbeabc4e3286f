"""Search with one hypothesis a row: greedy, and what sampling shares with it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from math import isfinite

import numpy as np

from litecompress.model.config import EOS_ID, PAD_ID, UNK_ID
from litecompress.runtime.candidates import Floats, log_sums
from litecompress.runtime.chooser import ALL, Chooser, Kept
from litecompress.runtime.hypothesis import Hypothesis, SearchConfig
from litecompress.runtime.session import Tokens

PENDING_BYTES = 2**19  # of logits kept until their sums are taken


@dataclass
class _Row:
    """The `number`-th row: what it began with and has written, log-probabilities of the latter."""

    number: int
    tokens: list[int]
    finished: list[Hypothesis]
    scores: list[float] = field(default_factory=list)

    def finish(self, first: int, config: SearchConfig) -> None:
        """Count it as finished, if its score is finite."""
        total = sum(self.scores)
        if isfinite(total):
            self.finished.append(Hypothesis.of(self.tokens[first:], self.scores, total, config))


class Single(Chooser):
    """One hypothesis a row, gone when its </s> is written.

    Log-probabilities are put off until a row ends: taken together they cost two thirds of what
    they cost one by one between two runs of the decoder. Without `scores` they are all 0.
    """

    def __init__(
        self, config: SearchConfig, most: int, begun: Tokens, *, scores: bool = True
    ) -> None:
        super().__init__(config, most, begun)
        rows = zip(begun.tolist(), self.finished, strict=True)
        self._rows = [_Row(i, *row) for i, row in enumerate(rows)]
        self._pending: list[tuple[Floats, list[int]]] = []  # a step each: logits (R, V), words
        self._scored = scores

    @abstractmethod
    def _pick(self, logits: Floats) -> Tokens:
        """A token that each row may write (R,), by its logits (R, V), which stay as they are."""

    def advance(self, logits: Floats) -> Kept | None:
        self.newest = self._pick(logits)
        words = self.newest.tolist()
        for row, word in zip(self._rows, words, strict=True):
            row.tokens.append(word)
        self._pending.append((logits, words))
        self.step += 1
        if self.step > self.most or EOS_ID in words:
            return self._finish(words)
        if (len(self._pending) + 1) * logits.nbytes > PENDING_BYTES:
            self._settle()
        return ALL

    def cut(self) -> None:
        if self._pending:
            self._settle()
        for row in self._rows:
            row.finish(self.first + 1, self.config)

    def _allowed(self, logits: Floats) -> Floats:
        """The same logits, but for what may not be written."""
        allowed = logits.copy()
        self._constrain(allowed, np.array([row.tokens for row in self._rows]))
        return allowed

    def _settle(self) -> None:
        """Write down the log-probabilities of the pending steps."""
        blocks = [logits for logits, _ in self._pending]
        sums = log_sums(blocks) if self._scored else [None] * len(blocks)
        for (logits, words), log_sum in zip(self._pending, sums, strict=True):
            for i, (row, word) in enumerate(zip(self._rows, words, strict=True)):
                row.scores.append(self._score(float(logits[i, word]), log_sum, i, word))
        self._pending.clear()

    def _score(self, logit: float, log_sum: Floats | None, row: int, word: int) -> float:
        """The log-probability of a word; 0 where none are wanted, no number where it is none."""
        if log_sum is None:
            return 0.0 if isfinite(logit) else logit
        penalty = self.config.unk_penalty if word == UNK_ID else 0.0
        return logit - float(log_sum[row]) - penalty

    def _finish(self, words: list[int]) -> Kept | None:
        """Note the rows that end, and go on with the others."""
        self._settle()
        for row, word in zip(self._rows, words, strict=True):
            if word == EOS_ID:
                row.finish(self.first + 1, self.config)
        kept = [i for i, word in enumerate(words) if word != EOS_ID]
        if self.step > self.most or not kept:
            return None
        self._rows, self.newest = [self._rows[i] for i in kept], self.newest[kept]
        return Kept(np.array(kept), same_sources=False)


class Greedy(Single):
    """The likeliest token each time: beam search with one hypothesis."""

    def _pick(self, logits: Floats) -> Tokens:
        config = self.config
        if self.step < self.most and not (config.unk_penalty or config.no_repeat_ngram):
            likeliest: Tokens = np.argmax(logits, axis=1)
            found = likeliest.tolist()
            if PAD_ID not in found and not (self.step < config.min_length and EOS_ID in found):
                return likeliest
        allowed: Tokens = np.argmax(self._allowed(logits), axis=1)
        return allowed
