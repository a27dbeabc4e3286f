"""Sequences of chosen lengths, made of real ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, cycle, islice

from litecompress.model.config import EOS_ID
from litecompress.verify.difference import Row


def spread_lengths(longest: int, buckets: Sequence[int] = ()) -> list[int]:
    """1, powers of 2, the limit of every bucket and what comes just before and after it."""
    powers = (2**power for power in range(longest.bit_length()))
    limits = (limit + d for limit in (*buckets, longest) for d in (-1, 0, 1))
    return sorted({n for n in chain(powers, limits) if 1 <= n <= longest})


def rows_of(lengths: Sequence[int], rows: Sequence[Row]) -> list[Row]:
    """A row of every length, on both sides: the words of real ones in their order, then </s>."""
    sources, targets = _words(row.source for row in rows), _words(row.target for row in rows)
    has_source = any(row.source for row in rows)
    return [Row(_taken(sources, n) if has_source else (), _taken(targets, n)) for n in lengths]


def _words(texts: Iterable[tuple[int, ...]]) -> Iterator[int]:
    """All words of the texts without </s>, over and over; nothing where there are none."""
    return cycle([word for text in texts for word in text if word != EOS_ID])


def _taken(words: Iterator[int], length: int) -> tuple[int, ...]:
    """The next words and </s>."""
    taken = tuple(islice(words, length - 1))
    return (*taken, EOS_ID)
