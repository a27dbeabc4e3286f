"""Range variant of asymmetric numeral systems (arXiv:1311.2540) over thousands of blocks at once.

Normative text: docs/entropy-coding.md, "Blocks".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from litecompress.entropy.blocks import LOW, Blocks, Lanes, Symbols
from litecompress.entropy.code_length import Ints
from litecompress.entropy.frequencies import Frequencies
from litecompress.errors import ArtifactError

Words = NDArray[np.uint16]


def encode(leaves: Sequence[Symbols], tables: Sequence[Frequencies], blocks: Blocks) -> list[Words]:
    """The words of each block, its final state's two in front."""
    coded: list[Words] = [np.zeros(0, np.uint16)] * len(blocks.leaf)
    for group in blocks.groups(tables):
        lanes = Lanes(leaves, tables, blocks, group)
        for index, words in zip(group.tolist(), _encode_group(lanes), strict=True):
            coded[index] = words
    return coded


def _encode_group(lanes: Lanes) -> Iterator[Words]:
    room = lanes.length * lanes.log2_total.astype(np.int64) // 16 + 5  # k bits a symbol at most
    end = np.cumsum(room)
    words = np.empty(int(end[-1]), np.uint16)
    lanes.word[:] = end
    entries = lanes.entries()
    for first, last in reversed(lanes.tiles()):
        tile = np.empty((last - first, len(end)), np.uint8)
        for a, b, matrix in lanes.runs:
            tile[: max(matrix.shape[1] - first, 0), a:b] = matrix[:, first:last].T
        for rows, active in reversed(lanes.spans(first, last)):
            _push(lanes, tile[rows, :active], entries, words)
    for state, begin, stop in zip(lanes.state.tolist(), lanes.word.tolist(), end, strict=True):
        words[begin - 2 : begin] = state >> 16, state & 0xFFFF
        yield words[begin - 2 : stop].copy()


def _push(lanes: Lanes, rows: Symbols, entries: NDArray[np.uint32], words: Words) -> None:
    """Encode the rows, last one first, into as many lanes as they have columns."""
    n = rows.shape[1]
    state, word, log2_total = lanes.state[:n], lanes.word[:n], lanes.log2_total[:n]
    total, room, base = np.uint32(1) << log2_total, 32 - log2_total, lanes.number[:n] << 8
    for row in rows[::-1]:
        entry = entries.take(row + base)
        frequency = entry >> 16
        full = ((state >> room) >= frequency).nonzero()[0]
        if full.size:
            at, value = word.take(full) - 1, state.take(full)
            words[at] = value.astype(np.uint16)  # the low half
            word[full] = at
            state[full] = value >> 16
        quotient = state // frequency
        quotient *= total - frequency
        state += quotient
        entry &= 0xFFFF
        state += entry


def decode(
    counts: Sequence[int],
    tables: Sequence[Frequencies],
    blocks: Blocks,
    words: Sequence[Words],
) -> list[Symbols]:
    """The leaves, of `counts` symbols, from each block's words.

    An ArtifactError where a block does not end in the first state with all its words used.
    """
    leaves = [np.empty(count, np.uint8) for count in counts]
    for group in blocks.groups(tables):
        lanes = Lanes(leaves, tables, blocks, group)
        _decode_group(lanes, [words[block] for block in group.tolist()])
    return leaves


def _decode_group(lanes: Lanes, parts: list[Words]) -> None:
    words = np.concatenate(parts).astype(np.uint16)
    end = np.cumsum([len(part) for part in parts])
    begin = np.concatenate([[0], end[:-1]])
    lanes.state[:] = words[begin].astype(np.uint32) << 16 | words[begin + 1]
    lanes.word[:] = begin + 2
    astray = lanes.state < LOW
    tables = _Tables.of(lanes)
    for first, last in lanes.tiles():
        tile = np.empty((last - first, len(end)), np.uint8)
        for rows, active in lanes.spans(first, last):
            _pop(lanes, tile[rows, :active], tables, words)
        for a, b, matrix in lanes.runs:
            matrix[:, first:last] = tile[: max(matrix.shape[1] - first, 0), a:b].T
    astray |= (lanes.word != end) | (lanes.state != LOW)
    if astray.any():
        raise ArtifactError(
            f"expected each block of symbols to end in state {LOW} with all its words used, got "
            f"{int(astray.sum())} of {len(end)} that do not: the content is damaged; fetch it again"
        )


@dataclass(frozen=True)
class _Tables:
    """The symbol of each value of a state's low bits, then each symbol's entry; by lane, where."""

    symbols: Symbols
    entries: NDArray[np.uint32]
    first_symbol: Ints
    first_entry: Ints

    @classmethod
    def of(cls, lanes: Lanes) -> _Tables:
        symbols = [
            np.repeat(np.arange(len(table.codes), dtype=np.uint8), np.diff(table.starts))
            for table in lanes.tables
        ]
        sizes = np.array([len(part) for part in symbols], np.int64)
        begin = (np.cumsum(sizes) - sizes)[lanes.number]
        return cls(np.concatenate(symbols), lanes.entries(), begin, lanes.number << 8)


def _pop(lanes: Lanes, rows: Symbols, tables: _Tables, words: Words) -> None:
    """Decode the rows, first one first, from as many lanes as they have columns."""
    n = rows.shape[1]
    state, word, log2_total = lanes.state[:n], lanes.word[:n], lanes.log2_total[:n]
    mask = (np.uint32(1) << log2_total) - np.uint32(1)
    first_symbol, first_entry = tables.first_symbol[:n], tables.first_entry[:n]
    for row in rows:
        bits = state & mask
        symbol = tables.symbols.take(bits + first_symbol, mode="clip")
        row[:] = symbol
        entry = tables.entries.take(symbol + first_entry, mode="clip")
        state >>= log2_total
        state *= entry >> 16
        entry &= 0xFFFF
        bits -= entry
        state += bits
        low = (state < LOW).nonzero()[0]
        if low.size:
            at = word.take(low)
            # A damaged block may ask for another's words or none's; that shows at its end.
            state[low] = state.take(low) << 16 | words.take(at, mode="clip")
            at += 1
            word[low] = at
