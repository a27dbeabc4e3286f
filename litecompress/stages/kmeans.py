"""One-dimensional k-means of weights, within a percent of the best there is."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litecompress.errors import StageError
from litecompress.stages.kmeans_bins import bins_of
from litecompress.stages.kmeans_search import means, split

CELLS = 1 << 14  # of the table of `nearest`
STEPS = 8  # from the table to the index; where more are needed, a binary search is as fast
CHUNK = 1 << 16  # values at a time, so that what is computed from them stays in the cache

Weights = NDArray[np.floating]


def kmeans(values: Weights, clusters: int, weights: Weights | None = None) -> NDArray[np.float64]:
    """Ascending centroids of all values: `clusters`, or each distinct value where they are fewer.

    Finite values are taken in float32. `weights` say how much each value counts, from 0, which is
    not at all; where all are 0, all count the same. No randomness: equal input gives equal output.
    """
    flat = np.asarray(values, np.float32).reshape(-1)
    if not flat.size or clusters < 1:
        raise StageError(
            f"kmeans: expected a value and a cluster at least, got {flat.size} values and "
            f"{clusters} clusters; skip what is empty"
        )
    bins = bins_of(flat, clusters, None if weights is None else _importance(weights, flat.size))
    if len(bins.centers) <= clusters:
        return bins.centers
    return means(bins, split(bins, clusters))


def row_groups(rows: int, groups: int) -> list[slice]:
    """Neighbouring rows, as evenly as can be, the larger groups first."""
    if not 1 <= groups <= rows:
        raise StageError(
            f"kmeans: expected 1 to {rows} groups for {rows} rows, got {groups}; ask for fewer"
        )
    sizes = [rows // groups + (i < rows % groups) for i in range(groups)]
    return [slice(*ends) for ends in pairwise(np.cumsum([0, *sizes]).tolist())]


def nearest(values: Weights, centroids: Weights) -> NDArray[np.unsignedinteger[Any]]:
    """Index of the nearest of the ascending centroids, for each value; the lower one of a tie.

    The same as a binary search among the midpoints; in the smallest unsigned type that can hold it.
    """
    kind = np.dtype(np.float64 if values.dtype == np.float64 else np.float32)
    centroids = centroids.astype(np.float64)
    search = _search(_rounded_down((centroids[1:] + centroids[:-1]) / 2, kind))
    flat = values.reshape(-1)
    found = np.empty(len(flat), np.min_scalar_type(len(centroids) - 1))
    for begin in range(0, len(flat), CHUNK):
        part = slice(begin, begin + CHUNK)
        found[part] = search(flat[part].astype(kind, copy=False))
    return found.reshape(values.shape)


def _rounded_down(limits: NDArray[np.float64], kind: np.dtype[Any]) -> Weights:
    """The limits in the values' type; a value is above one of them just if it was before."""
    rounded: Weights = limits.astype(kind)
    return np.where(rounded > limits, np.nextafter(rounded, kind.type(-np.inf)), rounded)


def _search(limits: Weights) -> Callable[[Weights], NDArray[np.intp]]:
    """How many of the ascending limits are below each value.

    A table of equal cells tells how many are below the cell; the others are counted one by one.
    """
    if not len(limits):
        return lambda values: np.zeros(len(values), np.intp)
    with np.errstate(all="ignore"):
        rate = limits.dtype.type(CELLS) / (limits[-1] - limits[0])
    if not 0 < rate < np.inf:
        return lambda values: np.searchsorted(limits, values)

    def cells(values: Weights) -> NDArray[np.intp]:  # rises with the value, however it is rounded
        with np.errstate(over="ignore"):
            cell: Weights = ((values - limits[0]) * rate).clip(0, CELLS)
        return cell.astype(np.intp)

    occupied = cells(limits)
    steps = int(np.bincount(occupied).max())
    below = np.searchsorted(occupied, np.arange(CELLS + 1))
    ended = np.append(limits, limits.dtype.type(np.inf))

    def search(values: Weights) -> NDArray[np.intp]:
        found: NDArray[np.intp] = below.take(cells(values))
        for _ in range(steps):
            found += values > ended.take(found)
        return found

    return search if steps <= STEPS else lambda values: np.searchsorted(limits, values)


def _importance(weights: Weights, count: int) -> NDArray[np.float32] | None:
    """The weights in float32; None where all of them are zero."""
    flat = np.asarray(weights, np.float32).reshape(-1)
    if len(flat) != count or not (flat.min() >= 0 and np.isfinite(flat.max())):
        raise StageError(
            f"kmeans: expected {count} finite weights from 0, got {len(flat)} "
            f"between {flat.min()} and {flat.max()}"
        )
    return flat if flat.max() > 0 else None
