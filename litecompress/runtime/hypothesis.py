"""What a search is asked for, and what it finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from litecompress.errors import InputError

_T = TypeVar("_T")


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

    def most(self, source_length: int) -> int:
        """Tokens before </s> at most, for a source of that width."""
        return int(self.max_length_a * source_length + self.max_length_b)


@dataclass(frozen=True)
class Hypothesis:
    """One translation: ids ending in </s>, its score, and the log-probability of each id."""

    tokens: tuple[int, ...]
    score: float
    token_scores: tuple[float, ...]

    @classmethod
    def of(
        cls, tokens: Sequence[int], scores: Sequence[float], total: float, config: SearchConfig
    ) -> Hypothesis:
        """Scored by the sum of log-probabilities `total`, over length^length_penalty."""
        length = len(tokens) ** config.length_penalty if config.normalize else 1
        return cls(tuple(tokens), total / length, tuple(scores))

    def named(self, candidates: NDArray[np.intp]) -> Hypothesis:
        """The same with ids, where tokens are places among candidates."""
        return replace(self, tokens=tuple(candidates[list(self.tokens)].tolist()))


def checked(found: Sequence[_T]) -> Sequence[_T]:
    """What a search found, if anything; an InputError where no score was finite."""
    if not found:
        raise InputError("expected finite scores, got none above -inf; is the model damaged?")
    return found
