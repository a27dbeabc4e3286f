"""From lines of text to batches of about equal length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from litecompress.model.config import EOS_ID, PAD_ID

Ids = NDArray[np.int32]


class Rows(Protocol):
    """Sequences of ids by number."""

    def __len__(self) -> int: ...
    def __getitem__(self, row: int, /) -> Ids: ...


@dataclass(frozen=True)
class Example:
    """What the decoder is to write (T,), after which first token, and the source (S,) if any.

    A sentence begins after </s>; a block of running text after the last token of the one before.
    """

    target: Ids
    source: Ids | None = None
    first: int = EOS_ID

    def __len__(self) -> int:
        """Tokens of the longer side."""
        return max(len(self.target), 0 if self.source is None else len(self.source))


@dataclass(frozen=True)
class Batch:
    """Source (B, S) if any, decoder input (B, T), and what to predict (B, T), right-padded."""

    source: Tensor | None
    previous: Tensor
    target: Tensor

    @classmethod
    def of(cls, examples: Sequence[Example]) -> Batch:
        """Pad examples on the right."""
        sources = [e.source for e in examples if e.source is not None]
        return cls(
            pad(sources) if sources else None,
            pad([np.concatenate([[e.first], e.target[:-1]]) for e in examples]),
            pad([e.target for e in examples]),
        )

    @property
    def tokens(self) -> int:
        """Target tokens that count."""
        return int((self.target != PAD_ID).sum())

    def doubled(self) -> Batch:
        """All of it, and then all of it again."""
        parts = (None if part is None else part.repeat(2, 1) for part in vars(self).values())
        return Batch(*parts)  # type: ignore[arg-type]

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        source = None if self.source is None else self.source.to(device)
        return Batch(source, self.previous.to(device), self.target.to(device))


def pad(rows: Sequence[Sequence[int] | NDArray[np.integer]]) -> Tensor:
    """Rows of ids as one right-padded (B, T) tensor."""
    padded = np.full((len(rows), max(map(len, rows))), PAD_ID, np.int64)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    return torch.from_numpy(padded)


def pairs(sources: Rows, targets: Rows) -> list[Example]:
    """Sentence pairs as examples."""
    return [Example(targets[i], sources[i]) for i in range(len(sources))]


def blocks(stream: Ids, length: int) -> list[Example]:
    """Running text cut into blocks of `length` tokens."""
    return [
        Example(stream[i : i + length], first=int(stream[i - 1]) if i else EOS_ID)
        for i in range(0, len(stream), length)
    ]


def batches(
    examples: Sequence[Example], max_tokens: int, rng: np.random.Generator
) -> list[list[int]]:
    """Shuffled groups of examples of like length, at most `max_tokens` padded tokens a side."""
    order = rng.permutation(len(examples))
    target = np.array([len(examples[i].target) for i in order])
    longest = np.array([len(examples[i]) for i in order])
    groups: list[list[int]] = [[]]
    width = 0
    for i in order[np.lexsort((longest, target))]:
        width = max(width, len(examples[i]))
        if groups[-1] and width * (len(groups[-1]) + 1) > max_tokens:
            groups.append([])
            width = len(examples[i])
        groups[-1].append(int(i))
    return [groups[i] for i in rng.permutation(len(groups))]
