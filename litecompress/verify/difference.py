"""How far two sessions are apart when they read the same tokens, summed as they go."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from litecompress.model.config import EOS_ID, PAD_ID
from litecompress.runtime.search import pad_right
from litecompress.runtime.session import Logits, State


@dataclass(frozen=True)
class Row:
    """What is fed to an encoder, nothing for a language model, and the tokens after </s>."""

    source: tuple[int, ...]
    target: tuple[int, ...]


class Difference:
    """Sums over all logits seen so far; a value that is not finite makes the PSNR 0."""

    def __init__(self) -> None:
        self.positions = 0
        self.max_abs_err = self._square = self._peak = 0.0
        self._values = self._same = 0
        self._nll = np.zeros(2)

    def add(self, reference: Logits, other: Logits, words: Sequence[int]) -> None:
        """Count in positions (N, V) of both, after which the `words` (N,) come."""
        with np.errstate(invalid="ignore", over="ignore"):  # what is no number is counted as such
            self._add(reference, other, words)

    def _add(self, reference: Logits, other: Logits, words: Sequence[int]) -> None:
        error = np.subtract(reference, other, dtype=np.float64)
        self.positions += len(words)
        self._values += error.size
        self._square += float(np.square(error).sum())
        self._peak = float(np.maximum(self._peak, np.abs(reference).max()))
        self.max_abs_err = float(np.maximum(self.max_abs_err, np.abs(error).max()))
        self._same += int((reference.argmax(-1) == other.argmax(-1)).sum())
        self._nll += [_nll(logits, words) for logits in (reference, other)]

    @property
    def psnr_db(self) -> float:
        """20 log10(max |reference| / RMSE); infinite when equal."""
        if not (math.isfinite(self._square) and math.isfinite(self._peak) and self._values):
            return 0.0
        rmse = math.sqrt(self._square / self._values)
        if not rmse:
            return math.inf
        return 20 * math.log10(self._peak / rmse) if self._peak else 0.0

    @property
    def argmax_agreement(self) -> float:
        """Share of positions with the same best token."""
        return self._same / max(1, self.positions)

    @property
    def perplexities(self) -> tuple[float, float]:
        """Of the words, by the reference and by the other."""
        first, second = np.exp(self._nll / max(1, self.positions))
        return float(first), float(second)

    def values(self) -> dict[str, float]:
        """The figures by name."""
        return {
            "psnr_db": self.psnr_db,
            "max_abs_err": self.max_abs_err,
            "argmax_agreement": self.argmax_agreement,
            "positions": self.positions,
        }


def compare(
    reference: Any,
    other: Any,
    rows: Sequence[Row],
    padding: int = 0,
    *,
    into: Difference | None = None,
    like: bool = False,
) -> Difference:
    """Rows as one batch of the other, `padding` columns wider than need be.

    The reference reads them one at a time and unpadded, unless it is to read them `like` the other.
    """
    difference = into or Difference()
    theirs = steps(reference, rows, padding) if like else _alone(reference, rows)
    for step, (first, second) in enumerate(zip(theirs, steps(other, rows, padding), strict=True)):
        real = [i for i, row in enumerate(rows) if step < len(row.target)]
        first = first[real] if like else first
        difference.add(first, second[real], [rows[i].target[step] for i in real])
    return difference


def steps(session: Any, rows: Sequence[Row], padding: int = 0) -> Iterator[Logits]:
    """Logits (B, V) before each token of the targets; a row that has ended reads </s>."""
    longest = max(len(row.target) for row in rows)
    read = [[EOS_ID, *row.target[:-1], *[EOS_ID] * (longest - len(row.target))] for row in rows]
    state = started(session, rows, padding, longest)
    for step, tokens in enumerate(np.array(read, np.int64).T):
        logits, state = session.step(np.ascontiguousarray(tokens), step, state)
        yield logits
    state.release()


def started(session: Any, rows: Sequence[Row], padding: int, length: int) -> State:
    """The state of a translation model or, where the rows have no sources, a language model."""
    if not rows[0].source:
        return cast(State, session.begin(len(rows), length))
    source = pad_right([row.source for row in rows])
    wider = np.pad(source, ((0, 0), (0, padding)), constant_values=PAD_ID)
    return cast(State, session.start(wider, length))


def _alone(session: Any, rows: Sequence[Row]) -> Iterator[Logits]:
    """Logits (N, V) of the rows that have not ended, each run by itself."""
    runs = [steps(session, [row]) for row in rows]
    for step in range(max(len(row.target) for row in rows)):
        live = [run for run, row in zip(runs, rows, strict=True) if step < len(row.target)]
        yield np.concatenate([next(run) for run in live])
    for run in runs:
        next(run, None)  # so that it releases its state


def _nll(logits: Logits, words: Sequence[int]) -> float:
    """Sum of -log p of the words."""
    wide = logits.astype(np.float64)
    peak = wide.max(axis=1, keepdims=True)
    log_sums = peak[:, 0] + np.log(np.exp(wide - peak).sum(axis=1))
    return float((log_sums - wide[np.arange(len(words)), list(words)]).sum())
