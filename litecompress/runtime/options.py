"""What a user may ask of a translation or a continuation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from litecompress.errors import InputError
from litecompress.runtime.hypothesis import SearchConfig

MAX_LENGTH = 64  # tokens of a continuation, where no other limit is asked for


@dataclass(frozen=True)
class SearchOptions:
    """How to search; whatever makes no sense is one InputError.

    `beam` 1 is greedy, `n_best` the outputs asked for of every text. `max_length` counts tokens
    before </s>.
    """

    at_least: ClassVar[dict[str, int]] = {
        "beam": 1,
        "n_best": 1,
        "no_repeat_ngram": 0,
        "min_length": 0,
        "max_length": 1,
        "batch_size": 1,
        "max_source": 2,
        "top_k": 0,
        "seed": 0,
    }
    beam: int = 5
    n_best: int = 1
    length_penalty: float = 1.0
    no_repeat_ngram: int = 0
    min_length: int = 1
    max_length: int | None = None

    def __post_init__(self) -> None:
        problems = [
            f"{name} of at least {least}, got {value}"
            for name, least in self.at_least.items()
            if (value := getattr(self, name, None)) is not None and value < least
        ]
        problems += self._problems()
        if problems:
            raise InputError("expected " + "; ".join(problems))

    def _problems(self) -> list[str]:
        """What else does not go together."""
        if 1 <= self.beam < self.n_best:
            return [f"n_best of at most the beam, {self.beam}, got {self.n_best}"]
        return []

    def search(self) -> SearchConfig:
        """The same as the search takes it."""
        limits: dict[str, Any] = {}
        if self.max_length is not None:
            limits = {"max_length_a": 0.0, "max_length_b": self.max_length}
        return SearchConfig(
            beam=self.beam,
            length_penalty=self.length_penalty,
            no_repeat_ngram=self.no_repeat_ngram,
            min_length=self.min_length,
            **limits,
        )


@dataclass(frozen=True)
class TranslationOptions(SearchOptions):
    """How to translate or summarize.

    At most 1.2 of the source's tokens and 10 are written where `max_length` is None. `max_source`
    cuts longer sources to so many tokens, as in training; what is then still longer than the model
    takes is refused, or split at sentences, punctuation or blanks. Without `scores` greedy search
    is quicker, and all of them are 0. With `shortlist` only the candidates of the package's
    shortlist are scored, if it has one.
    """

    batch_size: int = 32
    max_source: int | None = None
    overlong: Literal["refuse", "split"] = "refuse"
    scores: bool = True
    shortlist: bool = True

    def _problems(self) -> list[str]:
        found = super()._problems()
        if self.overlong not in ("refuse", "split"):
            found.append(f"overlong refuse or split, got {self.overlong!r}")
        return found


@dataclass(frozen=True)
class GenerationOptions(SearchOptions):
    """How to continue a text: by search, or where any of the last three is given, by drawing.

    A draw takes logits over `temperature` (1 if None), of the `top_k` likeliest tokens (all if
    None or 0); the same `seed` (0 if None) draws the same.
    """

    beam: int = 1
    max_length: int = MAX_LENGTH
    temperature: float | None = None
    top_k: int | None = None
    seed: int | None = None

    @property
    def draws(self) -> bool:
        """Whether tokens are drawn."""
        return any(value is not None for value in (self.temperature, self.top_k, self.seed))

    def _problems(self) -> list[str]:
        found = [] if self.draws else super()._problems()
        if self.draws and self.beam != 1:
            found.append(f"beam 1 where tokens are drawn, got {self.beam}")
        if self.temperature is not None and not 0 < self.temperature < float("inf"):
            found.append(f"a temperature above 0, got {self.temperature}; beam 1 is greedy")
        return found
