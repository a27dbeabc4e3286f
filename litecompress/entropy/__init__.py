"""Symbols of one byte in nearly as few bits as their frequencies allow.

`encode` and `decode` work on one stream, `encode_all` and `decode_all` on many, much faster: the
coder advances by one symbol in all blocks of all streams at once. The bytes depend on the symbols
and their shape only. Format: docs/entropy-coding.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from litecompress.entropy import classes, grid, layout, rans
from litecompress.entropy.blocks import Blocks, Symbols
from litecompress.entropy.code_length import UNIT, Ints
from litecompress.entropy.frequencies import LOG2_TOTALS, Frequencies, count, fit
from litecompress.errors import ArtifactError

__all__ = ["decode", "decode_all", "encode", "encode_all", "table_bytes"]

MOST_SYMBOLS = 1 << 31
BLOCK_BYTES = 3072  # aimed at: a block costs five bytes of its own
BLOCK_SYMBOLS = 3 << 12  # at most, as many steps as decoding takes


def encode(symbols: NDArray[np.uint8]) -> bytes:
    """The stream of an array; of more dimensions than one, its first is the rows."""
    return encode_all([symbols])[0]


def decode(data: bytes | memoryview, count: int) -> NDArray[np.uint8]:
    """The `count` symbols of a stream; an ArtifactError if it is damaged in any way."""
    return decode_all([(data, count)])[0]


def table_bytes(data: bytes | memoryview, count: int) -> int:
    """Bytes of a stream that describe frequencies and classes, not symbols."""
    stream = _parse(data, count)
    own = stream.table_bytes if isinstance(stream, layout.Grid) else 0
    coded = (leaf for leaf in layout.leaves(stream) if isinstance(leaf, layout.Coded))
    return own + sum(leaf.table_bytes for leaf in coded)


@dataclass(frozen=True, eq=False)
class _Plan:
    """The leaves of one stream to be, with their counts and sums of frequencies to try.

    `labels` are the classes of rows and columns where it is a grid.
    """

    leaves: list[Symbols]
    counts: list[Ints]
    log2_totals: Sequence[int]
    labels: tuple[Symbols, Symbols] | None


def encode_all(arrays: Sequence[NDArray[np.uint8]]) -> list[bytes]:
    """The streams of several arrays, each as `encode` would write it."""
    plans = [_plan(array) for array in arrays]
    coded = iter(_encode_leaves(plans))
    return [_assemble(plan, coded) for plan in plans]


def _plan(array: NDArray[np.uint8]) -> _Plan:
    if array.dtype != np.uint8:
        raise ArtifactError(f"expected symbols in uint8, got {array.dtype}; cast them")
    flat = np.ascontiguousarray(array).reshape(-1)
    counts = count(flat)
    whole = _Plan([flat], [counts], LOG2_TOTALS, None)
    if array.ndim < 2 or np.count_nonzero(counts) < 2:
        return whole
    matrix = flat.reshape(len(array), -1)
    table = fit(counts)
    labels = classes.choose(matrix, counts, table.packed_bits())
    if labels is None:
        return whole
    cells = [cell.reshape(-1) for cell in grid.split(matrix, *labels)]
    return _Plan(cells, [count(cell) for cell in cells], [table.log2_total], labels)


def _encode_leaves(plans: list[_Plan]) -> Iterator[bytes]:
    """Each leaf coded, or packed where that is no longer."""
    leaves = [leaf for plan in plans for leaf in plan.leaves]
    counts = [counts for plan in plans for counts in plan.counts]
    totals = [plan.log2_totals for plan in plans for _ in plan.leaves]
    which = [i for i, number in enumerate(counts) if np.count_nonzero(number) > 1]
    tables = [fit(counts[i], totals[i]) for i in which]
    parts = [_blocks(counts[i], table) for i, table in zip(which, tables, strict=True)]
    blocks = Blocks.of([leaves[i].size for i in which], parts)
    words = iter(rans.encode([leaves[i] for i in which], tables, blocks))
    coded = {
        i: layout.pack_coded(table, [next(words) for _ in range(number)])
        for i, table, number in zip(which, tables, parts, strict=True)
    }
    for i, leaf in enumerate(leaves):
        if i in coded and len(coded[i]) < layout.flat_bytes(counts[i]):
            yield coded[i]
        else:
            yield layout.pack_flat(leaf)


def _blocks(counts: Ints, table: Frequencies) -> int:
    """In how many blocks symbols of these counts are best cut."""
    by_size = table.code_length(counts) // (8 * UNIT * BLOCK_BYTES)
    return max(1, by_size, -(-int(counts.sum()) // BLOCK_SYMBOLS))


def _assemble(plan: _Plan, coded: Iterator[bytes]) -> bytes:
    cells = [next(coded) for _ in plan.leaves]
    return layout.pack_grid(*plan.labels, cells) if plan.labels else cells[0]


def decode_all(streams: Sequence[tuple[bytes | memoryview, int]]) -> list[NDArray[np.uint8]]:
    """The symbols of several streams, each with its number of them; damage is an ArtifactError.

    Beside them there are, at any time, the largest one once more, the streams once more, and some
    tens of megabytes.
    """
    parsed = [_parse(data, count) for data, count in streams]
    coded = [leaf for s in parsed for leaf in layout.leaves(s) if isinstance(leaf, layout.Coded)]
    counts = [leaf.count for leaf in coded]
    blocks = Blocks.of(counts, [len(leaf.words) for leaf in coded])
    words = [part for leaf in coded for part in leaf.words]
    symbols = deque(rans.decode(counts, [leaf.frequencies for leaf in coded], blocks, words))
    return [_symbols(stream, symbols) for stream in parsed]


def _parse(data: bytes | memoryview, count: int) -> layout.Stream:
    if not 0 <= count <= MOST_SYMBOLS:
        raise ArtifactError(f"expected a stream of 0 to {MOST_SYMBOLS} symbols, got {count}")
    return layout.parse(memoryview(data), count)


def _symbols(stream: layout.Stream, decoded: deque[Symbols]) -> Symbols:
    """Take the next decoded leaves where they belong."""
    if isinstance(stream, layout.Packed):
        return stream.symbols
    if isinstance(stream, layout.Coded):
        return decoded.popleft()
    cells = [_symbols(cell, decoded) for cell in stream.cells]
    return grid.join(cells, stream.rows, stream.columns).reshape(-1)
