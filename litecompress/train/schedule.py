"""Learning rates by update; every schedule warms up linearly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from litecompress.errors import RecipeError


@dataclass(frozen=True)
class InverseSqrt:
    """Up from `initial` to `peak` in `warmup_updates`, then peak * sqrt(warmup / done).

    arXiv:1706.03762 sec. 5.3, as fairseq counts: the first update has the rate of 0 done.
    """

    kind: Literal["inverse_sqrt"]
    peak: float
    warmup_updates: int
    initial: float = 1e-7

    def __post_init__(self) -> None:
        _check(self.peak, self.warmup_updates)

    def rate(self, update: int, updates: int) -> float:
        """Learning rate of an update, counted from 1, of `updates` in all."""
        done = update - 1
        if done < self.warmup_updates:
            return _warm(self.initial, self.peak, done / self.warmup_updates)
        return self.peak * math.sqrt(self.warmup_updates / done)


@dataclass(frozen=True)
class Cosine:
    """Up from `initial` to `peak`, then down to `floor` in half a cosine (arXiv:1608.03983).

    The first period has `period_updates`, by default all that are left; each next one is
    `period_factor` times as long, with peak and floor multiplied by `shrink`.
    """

    kind: Literal["cosine"]
    peak: float
    warmup_updates: int
    initial: float = 1e-7
    floor: float = 1e-9
    period_updates: int | None = None
    period_factor: float = 1.0
    shrink: float = 1.0

    def __post_init__(self) -> None:
        _check(self.peak, self.warmup_updates)
        if (self.period_updates is not None and self.period_updates < 1) or self.period_factor < 1:
            raise RecipeError(
                "schedule: expected period_updates and period_factor of at least 1, got "
                f"{self.period_updates} and {self.period_factor}"
            )

    def rate(self, update: int, updates: int) -> float:
        """Learning rate of an update, counted from 1, of `updates` in all."""
        done = update - 1
        if done < self.warmup_updates:
            return _warm(self.initial, self.peak, done / self.warmup_updates)
        period = float(self.period_updates or max(1, updates - self.warmup_updates))
        done, scale = done - self.warmup_updates, 1.0
        since = float(done)
        while since >= period:
            since, period, scale = since - period, period * self.period_factor, scale * self.shrink
        span = scale * (self.peak - self.floor)
        return scale * self.floor + span * (1 + math.cos(math.pi * since / period)) / 2


def _warm(initial: float, peak: float, share: float) -> float:
    return initial + (peak - initial) * share


def _check(peak: float, warmup_updates: int) -> None:
    if not 0 < peak < math.inf or warmup_updates < 1:
        raise RecipeError(
            "schedule: expected a positive peak and at least 1 warmup update, got "
            f"{peak} and {warmup_updates}"
        )
