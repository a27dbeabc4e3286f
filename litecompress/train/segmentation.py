"""Subword regularisation: other segmentations of the same text for every epoch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from litecompress.errors import TrainingError
from litecompress.tokenizer import Tokenizer

Ids = NDArray[np.int32]


@dataclass(frozen=True)
class Ragged:
    """Many sequences of ids in one array: sequence i is ids[starts[i]:starts[i + 1]]."""

    ids: Ids
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> Ragged:
        """Pack lists of ids."""
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        flat = (i for row in rows for i in row)
        return cls(np.fromiter(flat, np.int32, lengths.sum()), _starts(lengths))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, row: int) -> Ids:
        return self.ids[self.starts[row] : self.starts[row + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Ids in each sequence."""
        return np.diff(self.starts)

    def take(self, rows: NDArray[np.intp], limit: int) -> Ragged:
        """Some of the sequences; of a longer one the first `limit` - 1 ids and its last."""
        lengths = self.lengths[rows]
        kept = np.minimum(lengths, limit)
        starts = _starts(kept)
        within = np.arange(starts[-1]) - np.repeat(starts[:-1], kept)
        within += np.repeat(lengths - kept, kept) * (within == np.repeat(kept - 1, kept))
        return Ragged(self.ids[np.repeat(self.starts[rows], kept) + within], starts)


class Merges:
    """A byte-pair encoding read backwards: which two pieces each token was merged of."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        model = json.loads(tokenizer.data)["model"]
        if model.get("type") != "BPE":
            raise TrainingError(
                f"merge_dropout: expected a byte-pair encoding, got {model.get('type')}; use 0"
            )
        vocabulary = model["vocab"]
        self.parts = np.full((max(vocabulary.values()) + 1, 2), -1, np.int32)
        for merge in model["merges"]:
            left, right = merge.split(" ") if isinstance(merge, str) else merge
            merged = vocabulary[left + right]
            if self.parts[merged, 0] < 0:
                self.parts[merged] = vocabulary[left], vocabulary[right]

    def sample(self, text: Ragged, dropout: float, rng: np.random.Generator) -> Ragged:
        """Undo each merge with probability `dropout`, those of the pieces as well.

        The same aim as BPE-dropout (arXiv:1910.13267), which leaves out merges on the way up;
        undoing them on the way down is as random, needs no second encoding, and is seeded.
        """
        ids = text.ids
        owner = np.repeat(np.arange(len(text)), text.lengths)
        fresh = np.ones(len(ids), bool)  # pieces whose merge has not been drawn for
        while fresh.any():
            split = fresh & (self.parts[ids, 0] >= 0)
            split[split] = rng.random(split.sum()) < dropout
            count = 1 + split
            first = _starts(count)[:-1]
            ids, before = np.repeat(ids, count), ids
            ids[first[split]], ids[first[split] + 1] = self.parts[before[split]].T
            owner, fresh = np.repeat(owner, count), np.repeat(split, count)
        return Ragged(ids, _starts(np.bincount(owner, minlength=len(text))))


def _starts(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
