"""One-dimensional k-means by Lloyd's algorithm on sorted values: exact, and fast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ITERATIONS = 300


def kmeans(values: NDArray[np.float32], clusters: int) -> NDArray[np.float64]:
    """At most `clusters` ascending centroids of a vector.

    They begin evenly from its least to its greatest value (arXiv:1510.00149 sec. 3.2); clusters
    that lose all their members are dropped.
    """
    ordered = np.sort(values.astype(np.float64))
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    centroids = np.linspace(ordered[0], ordered[-1], clusters)
    for _ in range(ITERATIONS):
        edges = np.searchsorted(ordered, (centroids[1:] + centroids[:-1]) / 2)
        edges = np.concatenate([[0], edges, [len(ordered)]])
        counts = np.diff(edges)
        kept = counts > 0
        means = np.diff(sums[edges])[kept] / counts[kept]
        if len(means) == len(centroids) and np.array_equal(means, centroids):
            break
        centroids = means
    return centroids


def nearest(values: NDArray[np.float32], centroids: NDArray[np.floating]) -> NDArray[np.intp]:
    """Index of the nearest of the ascending centroids, for each value."""
    return np.searchsorted((centroids[1:] + centroids[:-1]) / 2, values)
