"""The bytes of a stream: packed, coded, or a grid of those (docs/entropy-coding.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from litecompress.encoding import packed_bytes
from litecompress.entropy import packed
from litecompress.entropy.blocks import Symbols
from litecompress.entropy.code_length import Ints
from litecompress.entropy.frequencies import Frequencies
from litecompress.entropy.frequencies import unpack as unpack_frequencies
from litecompress.entropy.grid import line_counts
from litecompress.entropy.rans import Words
from litecompress.errors import ArtifactError

CODED, GRID = 16, 32  # the first byte; up to 8 it is a width in bits
BLOCK_LIMIT = 1 << 15  # symbols
LINE_LIMIT = 1 << 20  # rows of a grid, and columns
_LITTLE = np.dtype("<u2")


@dataclass(frozen=True, eq=False)
class Packed:
    """Symbols of equal width above the least one; of width 0 where all are the same."""

    symbols: Symbols


@dataclass(frozen=True, eq=False)
class Coded:
    """Symbols by their frequencies, in blocks."""

    count: int
    frequencies: Frequencies
    table_bytes: int
    words: tuple[Words, ...]


@dataclass(frozen=True, eq=False)
class Grid:
    """A matrix whose rows and columns fall into classes; a cell where two classes meet."""

    rows: Symbols  # the class of each
    columns: Symbols
    table_bytes: int
    cells: tuple[Packed | Coded, ...]  # row classes outside


Stream = Packed | Coded | Grid


def leaves(stream: Stream) -> tuple[Packed | Coded, ...]:
    """What a stream consists of."""
    return stream.cells if isinstance(stream, Grid) else (stream,)


def pack_flat(symbols: Symbols) -> bytes:
    """Symbols in equal width."""
    if not symbols.size:
        return b""
    base = symbols.min()
    width = int(symbols.max() - base).bit_length()
    return bytes([width, base]) + packed.pack(symbols - base, width)


def flat_bytes(counts: Ints) -> int:
    """Length of the same, from the number of each symbol."""
    used = np.flatnonzero(counts)
    width = int(used[-1] - used[0]).bit_length() if used.size else 0
    return 2 + packed_bytes(int(counts.sum()), width) if used.size else 0


def pack_coded(frequencies: Frequencies, words: Sequence[Words]) -> bytes:
    """Table, number of blocks, words of each block but the last, then all words."""
    sizes = np.array([len(part) for part in words[:-1]], _LITTLE)
    body = np.concatenate(words).astype(_LITTLE)
    head = bytes([CODED]) + frequencies.pack() + _pack_number(len(words))
    return head + sizes.tobytes() + body.tobytes()


def pack_grid(rows: Symbols, columns: Symbols, cells: Sequence[bytes]) -> bytes:
    """Sizes, the class of each row and column, then the cells, each after its length."""
    parts = [bytes([GRID]), _pack_number(len(rows)), _pack_number(len(columns))]
    parts.append(bytes([int(rows.max()) << 4 | int(columns.max())]))
    parts += [packed.pack(labels, int(labels.max()).bit_length()) for labels in (rows, columns)]
    for cell in cells:
        parts += [_pack_number(len(cell)), cell]
    return b"".join(parts)


def _pack_number(number: int) -> bytes:
    """Seven bits a byte, least ones first, the high bit set on all but the last (LEB128)."""
    low = number & 0x7F
    return bytes([low]) if low == number else bytes([low | 0x80]) + _pack_number(number >> 7)


class _Reader:
    """A position in bytes that never passes their end."""

    def __init__(self, data: memoryview) -> None:
        self.data, self.position = data, 0

    def take(self, size: int) -> memoryview:
        part = self.data[self.position : self.position + size]
        if len(part) != size:
            raise ArtifactError(
                f"expected {size} more bytes of a stream of symbols, got {len(part)}: "
                "damaged or truncated; fetch it again"
            )
        self.position += size
        return part

    def rest(self) -> memoryview:
        return self.take(len(self.data) - self.position)

    def number(self) -> int:
        value = 0
        for shift in range(0, 35, 7):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ArtifactError("expected a number of at most 5 bytes: damaged; fetch it again")


def parse(data: memoryview, count: int) -> Stream:
    """The parts of a stream of `count` symbols; nothing is decoded that is coded."""
    if len(data) and data[0] == GRID:
        return _parse_grid(_Reader(data[1:]), count)
    return _parse_leaf(data, count)


def _parse_leaf(data: memoryview, count: int) -> Packed | Coded:
    if not count:
        return Packed(packed.unpack(data, 0, 0))
    reader = _Reader(data)
    kind = reader.take(1)[0]
    if kind == CODED:
        return _parse_coded(reader, count)
    if kind > 8:
        raise ArtifactError(f"expected a stream of a known kind, got {kind}; update litecompress")
    base = reader.take(1)[0]
    symbols = packed.unpack(reader.rest(), kind, count)
    if int(symbols.max()) + base > 255:
        raise ArtifactError("expected symbols up to 255, got more: damaged; fetch it again")
    symbols += np.uint8(base)
    return Packed(symbols)


def _parse_coded(reader: _Reader, count: int) -> Coded:
    frequencies, table_bytes = unpack_frequencies(bytes(reader.data[reader.position :][:1100]))
    reader.take(table_bytes)
    blocks = reader.number()
    if not -(-count // BLOCK_LIMIT) <= blocks <= count:
        raise ArtifactError(
            f"expected blocks of 1 to {BLOCK_LIMIT} symbols, got {blocks} for {count}: damaged"
        )
    sizes = np.frombuffer(reader.take(2 * (blocks - 1)), _LITTLE).tolist()
    rest = reader.rest()
    sizes.append(len(rest) // 2 - sum(sizes))
    if len(rest) % 2 or min(sizes) < 2:
        raise ArtifactError("expected two words or more a block: damaged or truncated")
    words = np.frombuffer(rest, _LITTLE)
    ends = accumulate(sizes)
    parts = tuple(words[end - size : end] for end, size in zip(ends, sizes, strict=True))
    return Coded(count, frequencies, table_bytes, parts)


def _parse_grid(reader: _Reader, count: int) -> Grid:
    rows, columns, classes = reader.number(), reader.number(), reader.take(1)[0]
    if not count or rows * columns != count or max(rows, columns) > LINE_LIMIT:
        raise ArtifactError(
            f"expected a grid of {count} symbols, up to {LINE_LIMIT} lines, got {rows} x {columns}"
        )
    begin = reader.position
    row_labels = _read_labels(reader, rows, classes >> 4)
    column_labels = _read_labels(reader, columns, classes & 15)
    used = reader.position - begin
    cells = [
        _parse_leaf(reader.take(reader.number()), height * width)
        for height in line_counts(row_labels)
        for width in line_counts(column_labels)
    ]
    if len(reader.rest()):
        raise ArtifactError("expected nothing after the last cell of a grid: damaged")
    return Grid(row_labels, column_labels, used, tuple(cells))


def _read_labels(reader: _Reader, lines: int, most: int) -> Symbols:
    """The class of each line; every class up to `most` has to have one."""
    width = most.bit_length()
    labels = packed.unpack(reader.take(packed_bytes(lines, width)), width, lines)
    if len(np.unique(labels)) != most + 1 or int(labels.max()) != most:
        raise ArtifactError(f"expected lines in all of {most + 1} classes: damaged; fetch it again")
    return labels
