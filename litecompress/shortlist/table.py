"""The lexical table: which target ids each source id may need."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from litecompress.errors import InputError
from litecompress.tokenizer import SPECIAL_TOKENS

Ids = NDArray[np.integer]
MOST_TARGETS = 255  # of a source id, so that a count is a byte
SPECIAL_IDS = tuple(sorted(SPECIAL_TOKENS.values()))


@dataclass(frozen=True)
class Shortlist:
    """Targets of source id s: `targets[starts[s] : starts[s + 1]]`, where `starts` sums `counts`.

    `always` (K,) are candidates of every sentence; the special ids 0 to 3 are among them, so that
    they stand first in any candidates, where a search looks for them. Where `copies`, source and
    target share a vocabulary and a source id is a candidate itself: names and numbers are copied.
    Ids of `always` and of each row of `targets` ascend; what breaks these rules is one InputError.
    """

    vocab_size: int  # of the target
    always: Ids  # (K,)
    counts: Ids  # (source vocabulary,), 0 to 255
    targets: Ids  # (sum of counts,)
    copies: bool

    def __post_init__(self) -> None:
        problems = self._problems()
        if problems:
            raise InputError(f"shortlist: expected {'; '.join(problems)}; learn it again")

    def candidates(self, source: Iterable[int] | Ids, multiple: int = 1) -> NDArray[np.intp]:
        """Ids that a sentence, or the sentences of a batch, may need: ascending, none twice.

        Their number is a multiple of `multiple`, or the whole vocabulary: the lowest ids that were
        left out fill up. Ids of the source must be below its vocabulary.
        """
        ids = np.asarray(source, np.intp).ravel()
        allowed = self._base.copy()  # (V,)
        allowed[self._rows[ids]] = True
        if self.copies:
            allowed[ids] = True
        found = allowed.nonzero()[0]
        missing = min(-len(found) % multiple, self.vocab_size - len(found))
        if missing:
            low = allowed[: len(found) + missing]  # of so many ids at least `missing` are left out
            low[(~low).nonzero()[0][:missing]] = True
            found = allowed.nonzero()[0]
        return found

    @property
    def source_vocab_size(self) -> int:
        """Number of source ids."""
        return len(self.counts)

    @cached_property
    def _base(self) -> NDArray[np.bool_]:
        """Whether an id is always a candidate (V,)."""
        base = np.zeros(self.vocab_size, bool)
        base[self.always] = True
        return base

    @cached_property
    def _rows(self) -> NDArray[np.int32]:
        """The table with rows of one length (source vocabulary, N), filled up with special ids.

        One look-up then serves a sentence, however short its rows.
        """
        width = max(1, int(self.counts.max()))
        rows = np.full((len(self.counts), width), SPECIAL_IDS[0], np.int32)
        rows[np.arange(width) < self.counts[:, None].astype(int)] = self.targets
        return rows

    def _problems(self) -> list[str]:
        """What is wrong with the content."""
        found = []
        total = int(self.counts.sum(dtype=np.int64))
        if not len(self.counts) or int(self.counts.max()) > MOST_TARGETS:
            found.append(f"source ids with at most {MOST_TARGETS} targets each")
        if total != len(self.targets):
            found.append(f"{total} targets, as counted, got {len(self.targets)}")
        elif not _ascend(self.targets, self.counts):
            found.append("the targets of every source id ascending")
        if not _ascend(self.always, np.array([len(self.always)])):
            found.append("the ids that are always candidates ascending")
        if not set(SPECIAL_IDS) <= set(self.always[: len(SPECIAL_IDS)].tolist()):
            found.append(f"the special ids {SPECIAL_IDS} always among the candidates")
        highest = max(
            (int(ids.max()) for ids in (self.always, self.targets) if len(ids)), default=0
        )
        if highest >= self.vocab_size:
            found.append(f"ids below the vocabulary of {self.vocab_size}, got {highest}")
        if self.copies and len(self.counts) != self.vocab_size:
            found.append(
                f"one vocabulary where source ids are copied, got {len(self.counts)} source ids "
                f"and {self.vocab_size} target ids"
            )
        return found


def _ascend(ids: Ids, counts: Ids) -> bool:
    """Whether ids, so many in each row, ascend within every row."""
    rows = np.repeat(np.arange(len(counts)), counts)
    steps = np.diff(ids.astype(np.int64))
    return bool(((steps > 0) | (np.diff(rows) > 0)).all())
