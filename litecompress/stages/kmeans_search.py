"""The split of ordered bins into clusters of least inertia, to a few parts in a thousand."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from litecompress.stages.kmeans_bins import Bins, Floats, Indices, shortened

REACHES = 2, 1  # clusters, to either side of an edge, in which its best place is looked for
PLACES = 65_000  # products of clusters and the square of the places looked at
GAIN = 2e-3  # of the inertia, below which a search is not repeated
ROUNDS = 8
POLISH, FINISH = 4, 60  # iterations of Lloyd's after each search, and in the end


def split(bins: Bins, clusters: int) -> Indices:
    """Edges (clusters + 1,) in strictly ascending order, from 0 to the number of bins.

    A start by the density, then dynamic programming in a window around each edge, which can carry
    clusters from one mode to another, with Lloyd's iterations in between.
    """
    best = _full(bins, _start(bins, clusters), clusters)
    for reach in REACHES:
        best = _improved(bins, best, reach)
    return _finished(bins, best, clusters)


def _improved(bins: Bins, best: Indices, reach: int) -> Indices:
    """The edges after searches of one reach, until these gain little."""
    least = float(_inertias(bins, best).sum())
    bins, clusters = shortened(bins, least), len(best) - 1
    for _ in range(ROUNDS):
        edges = _full(bins, _lloyd(bins, _searched(bins, best, reach), POLISH), clusters)
        inertia = float(_inertias(bins, edges).sum())
        if inertia >= least * (1 - GAIN):
            return edges if inertia < least else best
        best, least = edges, inertia
    return best


def means(bins: Bins, edges: Indices) -> Floats:
    """Strictly ascending centroids of the bins between each two edges."""
    distance = np.diff(bins.moment[edges]) / np.diff(bins.mass[edges])
    first, last = bins.centers[edges[:-1]], bins.centers[edges[1:] - 1]
    return np.clip(bins.origin + distance, first, last)  # sums are rounded


def _start(bins: Bins, clusters: int) -> Indices:
    """Edges with equal parts of the density in between."""
    measure = np.cumsum(bins.density)
    inner = np.searchsorted(measure, measure[-1] * np.arange(1, clusters) / clusters)
    return np.unique([0, *inner, len(bins.centers)])


def _lloyd(bins: Bins, edges: Indices, iterations: int) -> Indices:
    """Edges amid the centroids, again and again; clusters that lose all their bins are dropped."""
    for _ in range(iterations):
        centroids = means(bins, edges)
        inner = np.searchsorted(bins.centers, (centroids[1:] + centroids[:-1]) / 2, side="right")
        moved = np.concatenate([[0], inner, [len(bins.centers)]])
        if np.array_equal(moved, edges):
            break
        edges = moved if np.diff(moved).all() else np.unique(moved)
    return edges


def _finished(bins: Bins, edges: Indices, clusters: int) -> Indices:
    """Edges amid the centroids; as many clusters as asked for."""
    for _ in range(ROUNDS):
        edges = _lloyd(bins, edges, FINISH)
        if len(edges) > clusters:
            break
        edges = _full(bins, edges, clusters)
    return edges


def _full(bins: Bins, edges: Indices, clusters: int) -> Indices:
    """As many clusters as asked for, by splits at the mean of those with the greatest inertia."""
    while len(edges) <= clusters:
        inertias = np.where(np.diff(edges) > 1, _inertias(bins, edges), -1.0)
        worst = np.argsort(-inertias, kind="stable")[: clusters + 1 - len(edges)]
        worst = worst[np.diff(edges)[worst] > 1]
        at = np.searchsorted(bins.centers, means(bins, edges)[worst], side="right")
        at = at.clip(edges[worst] + 1, edges[worst + 1] - 1)
        edges = np.unique(np.concatenate([edges, at]))
    return edges


def _inertias(bins: Bins, edges: Indices) -> Floats:
    """Of each cluster, that within the bins left out."""
    distance = bins.centers - np.repeat(means(bins, edges), np.diff(edges))
    return np.add.reduceat(np.diff(bins.mass) * distance**2, edges[:-1])


def _searched(bins: Bins, edges: Indices, reach: int) -> Indices:
    """The best edges with each one at most `reach` clusters from where it is."""
    clusters = len(edges) - 1
    steps = max(8, int((PLACES / clusters) ** 0.5 / 2)) // reach
    side = reach * steps
    places = np.pad(_places(bins, edges, steps), side, mode="edge")
    windows = sliding_window_view(places, 2 * side + 1)[::steps]  # (clusters + 1, places)
    gains = _gains(bins, places, 2 * side + 1, steps)
    score = np.where(windows[0] == 0, 0.0, -np.inf)
    came = np.empty((clusters, 2 * side + 1), np.intp)
    for gain, origin in zip(gains, came, strict=True):
        gain += score
        gain.argmax(axis=1, out=origin)
        score = gain.max(axis=1)
    at = int(np.where(windows[-1] == edges[-1], score, -np.inf).argmax())
    found = [edges[-1]]
    for window, origin in zip(windows[-2::-1], came[::-1], strict=True):
        at = origin[at]
        found.append(window[at])
    return np.unique(found)


def _places(bins: Bins, edges: Indices, steps: int) -> Indices:
    """Each cluster cut in `steps`, even in the number of bins and in density together."""
    counts = np.diff(edges)
    density = np.add.reduceat(bins.density, edges[:-1])
    rates = np.repeat(1 / counts, counts) + bins.density / np.repeat(density, counts)
    measure = np.concatenate([[0.0], np.cumsum(rates)])
    cuts = np.arange(len(counts) * steps + 1) / steps
    aims = np.interp(cuts, np.arange(len(edges)), measure[edges])
    places = np.searchsorted(measure, aims - 1e-9)
    places[::steps] = edges
    return np.maximum.accumulate(places)


def _gains(bins: Bins, places: Indices, width: int, steps: int) -> Floats:
    """Inertia about the origin that a cluster saves between two places (clusters, to, from)."""
    mass = sliding_window_view(bins.mass[places], width)[::steps]
    moment = sliding_window_view(bins.moment[places], width)[::steps]
    masses = mass[1:, :, None] - mass[:-1, None, :]
    gains = moment[1:, :, None] - moment[:-1, None, :]
    gains *= gains
    np.divide(gains, masses, out=gains, where=masses > 0)
    gains[masses < 0] = -np.inf
    return gains
