"""Parallel text and batches of about equal length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from litecompress.errors import InputError
from litecompress.model.config import EOS_ID, PAD_ID
from litecompress.text import read_lines

Pair = tuple[list[int], list[int]]  # source and target ids, both ending in </s>


@dataclass(frozen=True)
class Batch:
    """Source (B, S), decoder input (B, T) beginning with </s>, and what to predict (B, T)."""

    source: Tensor
    previous: Tensor
    target: Tensor

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> Batch:
        """Pad pairs on the right."""
        return cls(
            pad([source for source, _ in pairs]),
            pad([[EOS_ID, *target[:-1]] for _, target in pairs]),
            pad([target for _, target in pairs]),
        )

    def to(self, device: str) -> Batch:
        """The same batch on a device."""
        return Batch(self.source.to(device), self.previous.to(device), self.target.to(device))


def pad(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows of ids as one right-padded (B, T) tensor."""
    padded = torch.full((len(rows), max(map(len, rows))), PAD_ID)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = torch.tensor(row)
    return padded


def read_parallel(source: Path, target: Path) -> tuple[list[str], list[str]]:
    """Two files of one sentence a line; unequal lengths or a missing file are an InputError."""
    lines = [read_lines(path) for path in (source, target)]
    if len(lines[0]) != len(lines[1]):
        raise InputError(
            f"expected as many lines in {source} as in {target}, "
            f"got {len(lines[0])} and {len(lines[1])}"
        )
    return lines[0], lines[1]


def batches(pairs: Sequence[Pair], max_tokens: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Shuffled batches of sentences of like length, at most `max_tokens` padded tokens a side."""
    order = rng.permutation(len(pairs))
    lengths = np.array([(len(t), len(s)) for s, t in pairs])[order]
    order = order[np.lexsort((lengths[:, 1], lengths[:, 0]))]
    groups: list[list[Pair]] = [[]]
    longest = 0
    for i in order:
        longest = max(longest, len(pairs[i][0]), len(pairs[i][1]))
        if groups[-1] and longest * (len(groups[-1]) + 1) > max_tokens:
            groups.append([])
            longest = max(len(pairs[i][0]), len(pairs[i][1]))
        groups[-1].append(pairs[i])
    for group in rng.permutation(len(groups)):
        yield Batch.of(groups[group])
