"""Classes of rows and columns that are worth tables of their own.

Weights differ in scale and in zeros from one channel or token to the next; lines alike share a
class. Everything is in whole numbers: the choice is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from litecompress.entropy.blocks import Symbols
from litecompress.entropy.code_length import UNIT, Ints, entropy, log2

CLASSES = 4
ROUNDS = 6
LEAST_SYMBOLS, LEAST_LINES, MOST_LINES = 1 << 13, 16, 1 << 20
LEAST_GAIN = 512  # one part in so many
_BINS = 32  # symbols told apart when lines are compared
_CHUNK = 1 << 20  # symbols at a time
_CELL_BITS = 400  # of a cell beside its table and symbols: 100 in the file, the rest for time


def choose(symbols: Symbols, counts: Ints, table_bits: int) -> tuple[Symbols, Symbols] | None:
    """The class of each row and column of a matrix, or None where one table serves as well.

    `counts` are those of its symbols, `table_bits` what one table takes.
    """
    least, most = sorted(symbols.shape)
    if symbols.size < LEAST_SYMBOLS or least < LEAST_LINES or most > MOST_LINES:
        return None
    by_row, by_column = _histograms(symbols, _bins(counts))
    labels = [_classes(by_row), _classes(by_column)]
    cells = _cells(symbols, labels, len(counts))
    whole = int(entropy(counts)) + (table_bits + _CELL_BITS) * UNIT
    cost, (rows, columns) = _merge(cells, labels, table_bits + _CELL_BITS)
    return (rows, columns) if cost + whole // LEAST_GAIN < whole else None


def _bins(counts: Ints) -> Symbols:
    """Symbols to at most 32 bins of about equal weight, in order."""
    middle = 2 * np.cumsum(counts) - counts
    return (middle * _BINS // (2 * int(counts.sum()) + 1)).astype(np.uint8)


def _chunks(symbols: Symbols) -> Iterator[tuple[int, Symbols]]:
    step = max(1, _CHUNK // symbols.shape[1])
    return ((begin, symbols[begin : begin + step]) for begin in range(0, len(symbols), step))


def _histograms(symbols: Symbols, bins: Symbols) -> tuple[Ints, Ints]:
    """How often each row, and each column, has each bin."""
    rows, columns = symbols.shape
    by_row = np.empty((rows, _BINS), np.int64)
    by_column = np.zeros(columns * _BINS, np.int64)
    for begin, chunk in _chunks(symbols):
        binned = bins[chunk]
        line = np.arange(len(chunk))[:, None] * _BINS + binned
        part = np.bincount(line.reshape(-1), minlength=len(chunk) * _BINS)
        by_row[begin : begin + len(chunk)] = part.reshape(len(chunk), _BINS)
        line = np.arange(columns) * _BINS + binned
        by_column += np.bincount(line.reshape(-1), minlength=columns * _BINS)
    return by_row, by_column.reshape(columns, _BINS)


def _classes(histograms: Ints) -> Symbols:
    """Cluster lines by how many bits the tables of the clusters would take for them."""
    lines = len(histograms)
    order = np.argsort(_lengths(histograms.sum(0, keepdims=True), histograms)[:, 0], kind="stable")
    labels = np.empty(lines, np.int64)
    labels[order] = np.arange(lines) * CLASSES // lines
    for _ in range(ROUNDS):
        counts = np.stack([histograms[labels == c].sum(0) for c in range(CLASSES)])
        labels = np.argmin(_lengths(counts, histograms), axis=1)
    return np.unique(labels, return_inverse=True)[1].astype(np.uint8)


def _lengths(counts: Ints, histograms: Ints) -> Ints:
    """Bits of each histogram by the frequencies `counts` + 1 of each class; by line, class."""
    lengths = log2((counts + 1).sum(1, keepdims=True)) - log2(counts + 1)
    # Whole numbers below 2^53, so the sum is exact in any order.
    return np.asarray(histograms.astype(np.float64) @ lengths.T.astype(np.float64), np.int64)


def _cells(symbols: Symbols, labels: list[Symbols], alphabet: int) -> Ints:
    """How often each symbol is in the cell of each two classes."""
    shape = (int(labels[0].max()) + 1, int(labels[1].max()) + 1, alphabet)
    counts = np.zeros(int(np.prod(shape)), np.int64)
    for begin, chunk in _chunks(symbols):
        row = labels[0][begin : begin + len(chunk), None].astype(np.int64) * shape[1]
        cell = (row + labels[1]) * alphabet + chunk
        counts += np.bincount(cell.reshape(-1), minlength=len(counts))
    return counts.reshape(shape)


def _merge(cells: Ints, labels: list[Symbols], cell_bits: int) -> tuple[int, list[Symbols]]:
    """Merge classes two by two while any are left; the cheapest labels on the way, and the cost."""
    best = _cost(cells, labels, cell_bits), labels
    while cells.shape[0] * cells.shape[1] > 1:
        options = [_cheapest_pair(cells, axis) for axis in (0, 1) if cells.shape[axis] > 1]
        _, axis, kept, gone = min(options)
        cells = np.moveaxis(cells, axis, 0).copy()
        cells[kept] += cells[gone]
        cells = np.moveaxis(np.delete(cells, gone, 0), 0, axis)
        labels = [_renamed(x, kept, gone) if a == axis else x for a, x in enumerate(labels)]
        best = min(best, (_cost(cells, labels, cell_bits), labels), key=lambda option: option[0])
    return best


def _cheapest_pair(cells: Ints, axis: int) -> tuple[int, int, int, int]:
    """Bits that merging two classes costs, the axis, and the classes."""
    lines = np.moveaxis(cells, axis, 0)
    kept, gone = np.triu_indices(len(lines), 1)
    alone = entropy(lines).sum(1)
    rise = entropy(lines[kept] + lines[gone]).sum(1) - alone[kept] - alone[gone]
    best = int(np.argmin(rise))
    return int(rise[best]), axis, int(kept[best]), int(gone[best])


def _renamed(labels: Symbols, kept: int, gone: int) -> Symbols:
    merged = np.where(labels == gone, np.uint8(kept), labels)
    return (merged - (merged > gone)).astype(np.uint8)


def _cost(cells: Ints, labels: list[Symbols], cell_bits: int) -> int:
    """Bits of all cells with their tables and classes, in units of 1/65536."""
    rows, columns = cells.shape[:2]
    in_labels = sum(int(x.max()).bit_length() * len(x) for x in labels)
    fixed = int(rows * columns * cell_bits) + in_labels
    return int(entropy(cells).sum()) + fixed * UNIT
