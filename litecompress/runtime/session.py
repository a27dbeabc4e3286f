"""What every runtime looks like to the search and to the checks: NumPy in, NumPy out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int64]
Logits = NDArray[np.float32]


@dataclass
class State:
    """What a decoder carries: per-source tensors that stay, and caches that every step replaces.

    Every array (or tensor) has the batch first, so that a beam search may reorder rows. Where
    `candidates` are given, tokens and columns of logits are not ids but places among these.
    """

    fixed: dict[str, Any]
    caches: dict[str, Any]
    candidates: NDArray[np.intp] | None = None  # (C,), ascending, the special ids first

    def rows(self, order: NDArray[np.intp], *, same_sources: bool = False) -> State:
        """The state for other rows, repeated or left out; `same_sources` spares the fixed part."""
        fixed = self.fixed if same_sources else {k: v[order] for k, v in self.fixed.items()}
        return State(fixed, {k: v[order] for k, v in self.caches.items()}, self.candidates)

    def release(self) -> None:
        """Say that nothing will be read from here any more; its memory may serve another state."""


class Decoder(Protocol):
    """What a search steps through."""

    @property
    def max_target(self) -> int:
        """Most target tokens that can be decoded."""

    def step(self, tokens: Tokens, step: int, state: State) -> tuple[Logits, State]:
        """Logits (B, V), the caller's own, after the newest tokens (B,), the `step`-th from 0."""


class Session(Decoder, Protocol):
    """A loaded model: an encoder and a decoder step."""

    @property
    def max_source(self) -> int:
        """Most source tokens a sentence may have."""

    def start(self, source: Tokens, length: int) -> State:
        """Encode source tokens (B, S), padded on the right, with room for `length` targets."""


@runtime_checkable
class ShortlistSession(Session, Protocol):
    """A loaded model that scores the candidates of its shortlist only."""

    def whole(self) -> Session:
        """The same model with its whole vocabulary, loaded once it is asked for."""


class LanguageSession(Decoder, Protocol):
    """A loaded language model: a decoder step alone."""

    def begin(self, batch: int, length: int) -> State:
        """The state of `batch` rows before the first token, with room for `length` tokens."""
