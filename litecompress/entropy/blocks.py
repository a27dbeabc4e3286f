"""Blocks of symbols, many side by side: a step of the coder is one symbol of every block.

The loop in Python is then as long as a block, not as long as the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from litecompress.entropy.code_length import Ints
from litecompress.entropy.frequencies import Frequencies

LOW = 1 << 16  # a state is in [2^16, 2^32) between symbols
LANES = 5000  # blocks worked on together: their states stay in the cache
TABLE_ENTRIES = 1 << 22  # of all tables of the blocks worked on together, a byte each
TILE_BYTES = 1 << 22
Symbols = NDArray[np.uint8]


@dataclass(frozen=True)
class Blocks:
    """Which leaf each block belongs to, where it begins there, and how many symbols it has."""

    leaf: Ints
    first: Ints
    length: Ints

    @classmethod
    def of(cls, counts: Sequence[int], parts: Sequence[int]) -> Blocks:
        """Cut leaves of `counts` symbols into `parts` blocks each; the first ones may be longer."""
        lengths = [block_lengths(c, n) for c, n in zip(counts, parts, strict=True)]
        firsts = [np.cumsum(length) - length for length in lengths]
        leaf = np.repeat(np.arange(len(counts)), parts)
        none = [np.zeros(0, np.int64)]
        return cls(leaf, np.concatenate(none + firsts), np.concatenate(none + lengths))

    def groups(self, tables: Sequence[Frequencies]) -> Iterator[Ints]:
        """Indices of blocks to work on together, longest first."""
        order = np.argsort(-self.length, kind="stable")
        most = -(-len(order) // max(1, -(-len(order) // LANES)))
        begin, entries, seen = 0, 0, set[int]()
        for lane, leaf in enumerate(self.leaf[order].tolist()):
            size = 1 << tables[leaf].log2_total
            if lane - begin == most or (leaf not in seen and entries + size > TABLE_ENTRIES):
                yield order[begin:lane]
                begin, entries, seen = lane, 0, set[int]()
            entries += 0 if leaf in seen else size
            seen.add(leaf)
        if begin < len(order):
            yield order[begin:]


def block_lengths(count: int, parts: int) -> Ints:
    """`count` symbols in `parts` blocks as even as can be, longer ones first."""
    return count // parts + (np.arange(parts) < count % parts)


class Lanes:
    """A group of blocks side by side, longest first; their symbols become rows of tiles."""

    def __init__(
        self,
        leaves: Sequence[Symbols],
        tables: Sequence[Frequencies],
        blocks: Blocks,
        group: Ints,
    ) -> None:
        used, number = np.unique(blocks.leaf[group], return_inverse=True)
        self.tables = [tables[leaf] for leaf in used]
        self.number: Ints = number.astype(np.int64)  # of the lane's table in `tables`
        self.log2_total = np.array([t.log2_total for t in self.tables], np.uint32)[number]
        self.length = blocks.length[group]
        self.state = np.full(len(group), LOW, np.uint32)
        self.word = np.zeros(len(group), np.int64)  # index of the lane's next word
        self.runs = list(_runs(leaves, blocks, group))

    def entries(self) -> NDArray[np.uint32]:
        """For each symbol, 256 a table: frequency << 16 | start."""
        entries = np.zeros((len(self.tables), 256), np.uint32)
        for row, table in zip(entries, self.tables, strict=True):
            row[: len(table.codes)] = np.diff(table.starts) << 16 | table.starts[:-1]
        return entries.reshape(-1)

    def tiles(self) -> list[tuple[int, int]]:
        """First step and last of each tile, which is about TILE_BYTES large."""
        rows, most = max(1, TILE_BYTES // len(self.length)), int(self.length[0])
        return [(begin, min(begin + rows, most)) for begin in range(0, most, rows)]

    def spans(self, begin: int, end: int) -> list[tuple[slice, int]]:
        """Rows of a tile from one lane's end to the next, with the number of lanes at work."""
        inside = self.length[(self.length > begin) & (self.length < end)]
        cuts = [begin, *np.unique(inside).tolist(), end]
        return [
            (slice(a - begin, b - begin), int((self.length > a).sum())) for a, b in pairwise(cuts)
        ]


def _runs(
    leaves: Sequence[Symbols], blocks: Blocks, group: Ints
) -> Iterator[tuple[int, int, Symbols]]:
    """Adjoining blocks of equal length: first lane, last, and a matrix of their symbols."""
    leaf, first, length = blocks.leaf[group], blocks.first[group], blocks.length[group]
    apart = (np.diff(first) != length[:-1]) | (np.diff(length) != 0) | (np.diff(leaf) != 0)
    for a, b in pairwise([0, *(np.flatnonzero(apart) + 1).tolist(), len(group)]):
        size, begin = int(length[a]), int(first[a])
        yield a, b, leaves[leaf[a]][begin : begin + (b - a) * size].reshape(b - a, size)
