"""Beam search over a batch.

The rules are those of fairseq 0.8, with which the paper's numbers were made: of 2 x beam candidates
</s> counts only among the first `beam`; a sentence ends when `beam` hypotheses are finished; a
score is the sum of log-probabilities over length^length_penalty, </s> counted.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from litecompress.model.config import EOS_ID
from litecompress.runtime.candidates import Flags, Floats, Places, log_sums, top
from litecompress.runtime.chooser import Chooser, Kept
from litecompress.runtime.hypothesis import Hypothesis, SearchConfig
from litecompress.runtime.session import Tokens


class _Candidates(NamedTuple):
    """Hypotheses a token longer (B, N), the best first: the sum of log-probabilities, the row that
    each grows from, its token, and the log-probability of that alone."""

    totals: NDArray[Any]
    rows: NDArray[Any]
    words: NDArray[Any]
    scores: NDArray[Any]

    def first(self, count: int) -> _Candidates:
        """The first `count` of each sentence."""
        return _Candidates(*(part[:, :count] for part in self))

    def chosen(self, sentences: Places, order: Places) -> _Candidates:
        """Those of some sentences, in another order (B', N')."""
        return _Candidates(*(np.take_along_axis(p[sentences], order, 1) for p in self))


class Beams(Chooser):
    """The unfinished hypotheses of a batch: a row a sentence at first, then `beam` rows each."""

    def __init__(self, config: SearchConfig, most: int, begun: Tokens) -> None:
        super().__init__(config, most, begun)
        self._active = np.arange(len(begun))  # the unfinished sentences
        self._tokens = begun  # (R, N + step)
        self._scores: Floats = np.zeros((len(begun), 0), np.float32)  # (R, step), a token each
        self._totals: Floats = np.zeros(len(begun), np.float32)  # (R,)

    def advance(self, logits: Floats) -> Kept | None:
        found, sentences = self._candidates(logits), len(self._active)
        ends = found.words == EOS_ID
        if self.step < self.most and not ends.any():
            return self._grow(found.first(self.config.beam), same_sources=True)
        kept = np.flatnonzero(self._finish(ends, found))
        if not len(kept):
            return None
        self._active = self._active[kept]
        order = np.argsort(ends[kept], axis=1, kind="stable")  # </s> last
        chosen = found.chosen(kept, order[:, : self.config.beam])
        return self._grow(chosen, same_sources=len(kept) == sentences)

    def _candidates(self, logits: Floats) -> _Candidates:
        """The best 2 x beam of each sentence."""
        batch = len(self._active)
        sums = log_sums([logits])[0]  # (R,)
        self._constrain(logits, self._tokens)
        totals = logits + (self._totals - sums)[:, None]
        best, where = top(totals.reshape(batch, -1), 2 * self.config.beam)
        rows, words = np.divmod(where, logits.shape[1])
        rows += len(logits) // batch * np.arange(batch)[:, None]
        scores = logits[rows, words] - sums[rows]
        return _Candidates(best, rows, words, scores)

    def _finish(self, ends: Flags, found: _Candidates) -> Flags:
        """Note the hypotheses that end; which of the active sentences go on (B,)."""
        beam = self.config.beam
        going = np.full(len(self._active), self.step < self.most)
        for i, j in np.argwhere(ends[:, :beam] & np.isfinite(found.totals[:, :beam])):
            finished, row = self.finished[self._active[i]], found.rows[i, j]
            if len(finished) < beam:
                tokens = [*self._tokens[row, self.first + 1 :].tolist(), EOS_ID]
                scores = [*self._scores[row].tolist(), float(found.scores[i, j])]
                total = float(found.totals[i, j])
                finished.append(Hypothesis.of(tokens, scores, total, self.config))
            going[i] &= len(finished) < beam
        return going

    def cut(self) -> None:
        width = len(self._tokens) // len(self._active)
        for row in np.flatnonzero(np.isfinite(self._totals)):
            finished = self.finished[self._active[row // width]]
            if len(finished) < self.config.beam:
                tokens = self._tokens[row, self.first + 1 :].tolist()
                scores, total = self._scores[row].tolist(), float(self._totals[row])
                finished.append(Hypothesis.of(tokens, scores, total, self.config))

    def _grow(self, chosen: _Candidates, *, same_sources: bool) -> Kept:
        """Write a token more; what is chosen of each sentence is (B, beam)."""
        parents, self.newest = chosen.rows.ravel(), chosen.words.ravel()
        same = same_sources and len(parents) == len(self._tokens)
        still = same and bool((parents == np.arange(len(parents))).all())
        if not still:
            self._tokens, self._scores = self._tokens[parents], self._scores[parents]
        self._tokens = np.concatenate([self._tokens, self.newest[:, None]], axis=1)
        self._scores = np.concatenate([self._scores, chosen.scores.reshape(-1, 1)], axis=1)
        self._totals = chosen.totals.ravel()
        self.step += 1
        return Kept(None if still else parents, same)
