"""Greedy and beam search over any session, in NumPy.

The rules are those of fairseq 0.8, with which the paper's numbers were made: of 2 x beam candidates
</s> counts only among the first `beam`; a sentence ends when `beam` hypotheses are finished; a
score is the sum of log-probabilities over length^length_penalty, </s> counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from litecompress.errors import InputError
from litecompress.model.config import EOS_ID, PAD_ID, UNK_ID
from litecompress.runtime.session import Session, Tokens

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class SearchConfig:
    """How to decode: at most max_length_a * S + max_length_b tokens before </s>."""

    beam: int = 5
    length_penalty: float = 1.0
    normalize: bool = True
    min_length: int = 1
    max_length_a: float = 1.2
    max_length_b: int = 10
    unk_penalty: float = 0.0
    no_repeat_ngram: int = 0


@dataclass(frozen=True)
class Hypothesis:
    """One translation: ids ending in </s>, its score, and the log-probability of each id."""

    tokens: tuple[int, ...]
    score: float
    token_scores: tuple[float, ...]


@dataclass
class _Sentence:
    """A source still being decoded, and the hypotheses finished so far."""

    index: int
    finished: list[Hypothesis] = field(default_factory=list)


def beam_search(session: Session, source: Tokens, config: SearchConfig) -> list[list[Hypothesis]]:
    """Decode a padded batch (B, S): for each sentence its finished hypotheses, best first."""
    sentences = [_Sentence(i) for i in range(len(source))]
    wanted = int(config.max_length_a * source.shape[1] + config.max_length_b)
    search = _Search(config, min(wanted, session.max_target - 1), len(source))
    state = session.start(source, search.max_length + 1)
    state = state.rows(np.repeat(np.arange(len(source)), config.beam))
    active = list(sentences)
    for step in range(search.max_length + 1):
        logits, state = session.step(search.tokens[:, -1], step, state)
        parents, kept = search.advance(logits, active)
        if not len(kept):
            break
        same = len(kept) == len(active)
        active = [active[i] for i in kept]
        state = state.rows(parents, same_sources=same)
    return [sorted(s.finished, key=lambda h: h.score, reverse=True) for s in sentences]


class _Search:
    """The unfinished hypotheses of a batch, `beam` rows a sentence: ids after </s>, and scores."""

    def __init__(self, config: SearchConfig, max_length: int, batch: int) -> None:
        self.config, self.max_length = config, max_length
        rows = batch * config.beam
        self.tokens: Tokens = np.full((rows, 1), EOS_ID, np.int64)  # (rows, 1 + step)
        self.scores: Floats = np.zeros((rows, 0), np.float32)  # (rows, step), a token each
        self.total: Floats = np.zeros(rows, np.float32)

    def advance(
        self, logits: Floats, active: list[_Sentence]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Extend every hypothesis by a token; the rows that the new ones grew from, and the
        positions in `active` of the sentences that go on."""
        beam, V = self.config.beam, logits.shape[1]
        log_probs = self._constrained(log_softmax(logits))  # (rows, V)
        joint = (log_probs + self.total[:, None]).reshape(len(active), beam, V)
        if self.scores.shape[1] == 0:
            joint = joint[:, :1]  # all rows are equal at first
        totals, candidates = _top(joint.reshape(len(active), -1), 2 * beam)  # (B, 2 beam)
        rows = candidates // V + beam * np.arange(len(active))[:, None]
        words = candidates % V
        ends = (words == EOS_ID) & np.isfinite(totals)
        at_end = self.scores.shape[1] >= self.max_length
        for i, j in np.argwhere(ends[:, :beam]):
            if len(active[i].finished) < beam:
                active[i].finished.append(self._hypothesis(rows[i, j], totals[i, j], log_probs))
        done = [at_end or len(s.finished) >= beam for s in active]
        kept = np.flatnonzero(~np.array(done))
        if not len(kept):
            return np.empty(0, np.intp), kept
        order = np.argsort(words == EOS_ID, axis=1, kind="stable")[kept, :beam]  # </s> last
        parents, words = (np.take_along_axis(a[kept], order, 1).ravel() for a in (rows, words))
        self.tokens = np.concatenate([self.tokens[parents], words[:, None]], axis=1)
        token_scores = log_probs[parents, words][:, None]
        self.scores = np.concatenate([self.scores[parents], token_scores], axis=1)
        self.total = np.take_along_axis(totals[kept], order, 1).ravel()
        return parents, kept

    def _hypothesis(self, row: int, total: float, log_probs: Floats) -> Hypothesis:
        tokens = (*self.tokens[row, 1:].tolist(), EOS_ID)
        scores = (*self.scores[row].tolist(), float(log_probs[row, EOS_ID]))
        length = len(tokens) ** self.config.length_penalty if self.config.normalize else 1
        return Hypothesis(tokens, float(total) / length, scores)

    def _constrained(self, log_probs: Floats) -> Floats:
        """Rule out padding, </s> too early, all else too late, and repeated n-grams."""
        step = self.scores.shape[1]
        log_probs[:, PAD_ID] = -np.inf
        log_probs[:, UNK_ID] -= self.config.unk_penalty
        if step >= self.max_length:
            others = np.arange(log_probs.shape[1]) != EOS_ID
            log_probs[:, others] = -np.inf
        elif step < self.config.min_length:
            log_probs[:, EOS_ID] = -np.inf
        if self.config.no_repeat_ngram and step < self.max_length:
            self._ban_repeats(log_probs, self.config.no_repeat_ngram)
        return log_probs

    def _ban_repeats(self, log_probs: Floats, n: int) -> None:
        for row, tokens in enumerate(self.tokens.tolist()):
            prefix = tuple(tokens[len(tokens) - n + 1 :])
            for i in range(len(tokens) - n + 1):
                if tuple(tokens[i : i + n - 1]) == prefix:
                    log_probs[row, tokens[i + n - 1]] = -np.inf


def log_softmax(logits: Floats) -> Floats:
    """Log-probabilities over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return np.asarray(shifted, np.float32)


def _top(values: Floats, count: int) -> tuple[Floats, NDArray[np.intp]]:
    """The greatest `count` of each row and where they stand, in descending order.

    They lie in the `count` chunks of a row with the greatest maxima, and in what no chunk holds.
    """
    rows, width = values.shape
    count = min(count, width - 1)
    size = math.isqrt(width)
    chunks = width // size
    if chunks <= count:
        return _sorted_top(values, count)
    best = values[:, : chunks * size].reshape(rows, chunks, size).max(axis=2)
    kept = np.argpartition(best, chunks - count, axis=1)[:, chunks - count :]
    where = (kept[:, :, None] * size + np.arange(size)).reshape(rows, -1)
    rest = np.broadcast_to(np.arange(chunks * size, width), (rows, width - chunks * size))
    where = np.concatenate([where, rest], axis=1)
    found, at = _sorted_top(np.take_along_axis(values, where, 1), count)
    return found, np.take_along_axis(where, at, 1)


def _sorted_top(values: Floats, count: int) -> tuple[Floats, NDArray[np.intp]]:
    """The greatest `count` of each row and where they stand, by comparing all."""
    part = np.argpartition(-values, count, axis=1)[:, :count]
    best = np.take_along_axis(values, part, 1)
    order = np.argsort(-best, axis=1, kind="stable")
    return np.take_along_axis(best, order, 1), np.take_along_axis(part, order, 1)


def translate(
    session: Session, sources: Sequence[Sequence[int]], config: SearchConfig, batch: int = 32
) -> list[Hypothesis]:
    """The best hypothesis of each source, decoded in batches of like length."""
    order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
    best: dict[int, Hypothesis] = {}
    for start in range(0, len(order), batch):
        group = order[start : start + batch]
        hypotheses = beam_search(session, pad_right([sources[i] for i in group]), config)
        if not all(hypotheses):
            raise InputError("expected finite scores, got none above -inf; is the model damaged?")
        best.update({i: h[0] for i, h in zip(group, hypotheses, strict=True)})
    return [best[i] for i in range(len(sources))]


def pad_right(rows: Sequence[Sequence[int]]) -> Tokens:
    """Rows of ids as one array (B, S)."""
    padded = np.full((len(rows), max(map(len, rows))), PAD_ID, np.int64)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    return padded
