"""Bootstrap resampling of sentences: confidence intervals, and paired tests of two systems.

A corpus score is a function of sums over sentences. A resample draws as many sentences as there
are, with replacement; with one seed it draws the same ones for every score and every system, and
with `SEED` those that sacreBLEU draws, so that scores of resamples equal sacreBLEU's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RESAMPLES = 1000
SEED = 12345
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Resampling:
    """How often sentences are drawn anew, and from which seed."""

    resamples: int = RESAMPLES
    seed: int = SEED

    def sums(self, rows: Floats) -> Floats:
        """Sums (resamples, k) over the sentences drawn of rows (sentences, k)."""
        rng = np.random.default_rng(self.seed)
        n = len(rows)
        draws = (np.bincount(rng.choice(n, n), minlength=n) for _ in range(self.resamples))
        return np.stack([times @ rows for times in draws])


@dataclass(frozen=True)
class Statistics:
    """What a corpus score needs of each sentence: rows (sentences, k) and the score of their sum.

    The `signature` says how the score was computed. Two are `comparable` only when their
    `unit` agrees: a likelihood a token depends on what the tokens are.
    """

    rows: Floats
    of_sums: Callable[[Floats], float]
    signature: str
    unit: str = ""

    @property
    def score(self) -> float:
        """The score of the whole corpus."""
        return self.of_sums(self.rows.sum(axis=0))

    def resampled(self, resampling: Resampling) -> Floats:
        """The score of every resample (resamples,)."""
        return np.array([self.of_sums(sums) for sums in resampling.sums(self.rows)])

    def comparable(self, other: Statistics) -> bool:
        """Whether the two score the same number of sentences in the same unit."""
        return self.unit == other.unit and len(self.rows) == len(other.rows)


@dataclass(frozen=True)
class Score:
    """A corpus score, its 95 % interval where there were resamples, and how it was computed."""

    score: float
    low: float | None
    high: float | None
    signature: str


@dataclass(frozen=True)
class Delta:
    """By how much a system differs from a baseline, with 95 % interval and two-sided p-value."""

    delta: float
    low: float
    high: float
    p_value: float


def estimate(statistics: Statistics, resampling: Resampling | None) -> Score:
    """A score, with its percentile interval where there is resampling."""
    low = high = None
    if resampling is not None:
        low, high = interval(statistics.resampled(resampling))
    return Score(statistics.score, low, high, statistics.signature)


def compare(system: Statistics, baseline: Statistics, resampling: Resampling) -> Delta:
    """System minus baseline on the same sentences: paired bootstrap resampling (Koehn 2004).

    The p-value is twice the smaller share of resamples in which one system is not better than the
    other, so that it goes with the interval. sacreBLEU's own is another: one-sided for a large
    difference, and 1 / (resamples + 1) for a system compared with itself.
    """
    deltas = system.resampled(resampling) - baseline.resampled(resampling)
    low, high = interval(deltas)
    fewer = int(min((deltas <= 0).sum(), (deltas >= 0).sum()))
    p_value = min(1.0, 2 * (fewer + 1) / (len(deltas) + 1))
    return Delta(system.score - baseline.score, low, high, p_value)


def interval(scores: Floats) -> tuple[float, float]:
    """What is left of resampled scores (n,) without the n // 40 least and greatest."""
    ordered, cut = np.sort(scores), len(scores) // 40
    return float(ordered[cut]), float(ordered[-1 - cut])
