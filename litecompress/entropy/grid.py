"""A matrix cut into cells: where a class of rows and a class of columns meet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from litecompress.entropy.blocks import Symbols


def line_counts(labels: Symbols) -> list[int]:
    """Number of lines of each class."""
    return [int(size) for size in np.bincount(labels)]


def split(matrix: Symbols, rows: Symbols, columns: Symbols) -> Iterator[Symbols]:
    """The cells of a matrix, column classes inside."""
    cuts = np.cumsum(line_counts(columns))[:-1]
    ordered = matrix[:, np.argsort(columns, kind="stable")]
    for label in range(int(rows.max()) + 1):
        yield from np.split(ordered[rows == label], cuts, axis=1)


def join(cells: Sequence[Symbols], rows: Symbols, columns: Symbols) -> Symbols:
    """The matrix of cells that `split` gave."""
    place = np.argsort(np.argsort(columns, kind="stable"))
    widths = line_counts(columns)
    matrix = np.empty((len(rows), len(columns)), np.uint8)
    for label in range(int(rows.max()) + 1):
        part = cells[label * len(widths) : (label + 1) * len(widths)]
        lines = [cell.reshape(-1, width) for cell, width in zip(part, widths, strict=True)]
        matrix[rows == label] = np.concatenate(lines, axis=1)[:, place]
    return matrix
