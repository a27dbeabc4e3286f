"""Logits of a package over lengths, with padding and in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from litecompress.verify.check import Bounds, Check, Level
from litecompress.verify.difference import Difference, Row, compare

BATCHES = (2, 8)
PADDING = (1, 7)  # columns more than the sentence has


@dataclass(frozen=True)
class Pair:
    """The reference and what is compared with it, on rows that both have room for.

    `leaky`: padding changes what the model itself says, so that both have to have the same.
    """

    reference: Any
    session: Any
    level: Level
    bounds: Bounds
    leaky: bool = False

    def difference(self, rows: Sequence[Row], padding: int = 0) -> Difference:
        """Over one batch."""
        return compare(self.reference, self.session, rows, padding, like=self.leaky)

    def check(self, name: str, case: str, difference: Difference) -> Check:
        """Held to the bounds of logits."""
        return Check(name, case, self.level, difference.values(), self.bounds.logits())


def by_length(pair: Pair, rows: Sequence[Row]) -> Iterator[Check]:
    """Each row alone."""
    for row in rows:
        yield pair.check("logits", f"length {len(row.target)}", pair.difference([row]))


def padded(pair: Pair, row: Row, room: int) -> Iterator[Check]:
    """A sentence with more padding than it needs, as far as there is room for it."""
    for more in PADDING:
        if row.source and len(row.source) + more <= room:
            case = f"length {len(row.source)} padded to {len(row.source) + more}"
            yield pair.check("padding", case, pair.difference([row], more))


def batches(pair: Pair, rows: Sequence[Row]) -> Iterator[Check]:
    """Sentences of unlike lengths together."""
    for size in BATCHES:
        if len(rows) >= size:
            difference = pair.difference(rows[:size])
            yield pair.check("batch", f"{size} sentences", difference)


def forced(pair: Pair, rows: Sequence[Row]) -> Difference:
    """Real sentences, one at a time."""
    total = Difference()
    for row in rows:
        compare(pair.reference, pair.session, [row], into=total, like=pair.leaky)
    return total
