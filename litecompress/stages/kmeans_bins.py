"""A vector summed up in bins of neighbouring values, on which k-means works in its stead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GRID = 1 << 16  # bins of a histogram; also quantiles, where the values are no case for one
CHUNK = 1 << 18  # values at a time, so that what is computed from them stays in the cache
CROWD = 1 / 8  # of a cluster may lie within one bin of a histogram
LEAST = 1e-12  # of all weight in any bin, below which sums would lose it
OCTAVES = 32  # of distances from the median, each in GRID / OCTAVES parts

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Values = NDArray[np.float32]


@dataclass(frozen=True)
class Bins:
    """Groups of neighbouring values, ascending; none is empty.

    `mass` and `moment` are the sums of weights, and of weighted distances from `origin`, over all
    bins below; the moment is zero at the origin, so that an outlier costs no precision elsewhere.
    Centroids lie best in proportion to `density`, the cube root of the values' own (Panter and
    Dite, 1951).
    """

    centers: Floats  # (bins,) mean values
    mass: Floats  # (bins + 1,)
    moment: Floats  # (bins + 1,)
    density: Floats  # (bins,)
    origin: float


def bins_of(values: Values, clusters: int, weights: Values | None = None) -> Bins:
    """Bins that are narrow against the best clusters; each distinct value is one where few are.

    They come from a histogram where it resolves the values, else from sorting, which takes ten
    times as long. Values of weight zero are left out.
    """
    bins = _histogram(values, clusters, weights) if len(values) > GRID else None
    if bins is not None:
        return bins
    if weights is None:
        return _sorted(np.sort(values), None, clusters)
    counted = weights > 0
    pairs = np.empty(np.count_nonzero(counted), np.complex64)  # half of what an order would take
    pairs.real = values[counted]
    pairs.imag = weights[counted]
    pairs.sort()  # by the real part first
    return _sorted(pairs.real, pairs.imag, clusters)


def shortened(bins: Bins, inertia: float) -> Bins:
    """Bins without the length of gaps that no cluster bridges where `inertia` can be had.

    What is between two clusters does not matter to them, but is lost precision in every sum.
    """
    single = 1 / np.diff(bins.mass)
    gaps = np.diff(bins.centers)
    most = 2 * np.sqrt(inertia * (single[1:] + single[:-1]))
    if (gaps <= most).all():
        return bins
    centers = np.concatenate([[0.0], np.cumsum(np.minimum(gaps, most))])
    return _bins(centers, 1 / single, bins.density)


def _histogram(values: Values, clusters: int, weights: Values | None) -> Bins | None:
    """Bins of equal width; None where they are too wide for the densest values."""
    low, high = float(values.min()), float(values.max())
    width = (high - low) / GRID
    limits = np.finfo(np.float32)
    if not float(limits.tiny) < width < float(limits.max) / GRID / 2:
        return None
    mass, moment = np.zeros(GRID + 2), np.zeros(GRID + 2)  # by rounding, some go beyond the last
    for begin in range(0, len(values), CHUNK):
        part = values[begin : begin + CHUNK]
        cells = ((part - np.float32(low)) * np.float32(1 / width)).astype(np.intp)
        weight = None if weights is None else weights[begin : begin + CHUNK].astype(np.float64)
        mass += np.bincount(cells, weight, len(mass))
        moment += np.bincount(cells, part if weight is None else weight * part, len(mass))
    mass, moment = mass[mass > 0], moment[mass > 0]
    if len(mass) < 16 * clusters:
        return None
    centers = moment / mass
    bins = _bins(centers, mass, _density(centers, mass, clusters))
    crowd = clusters * np.cbrt(mass.max() * width**2) / bins.density.sum()
    return bins if crowd <= CROWD else None


def _sorted(ordered: Values, weights: Values | None, clusters: int) -> Bins:
    """A bin for each distinct value, or where they are too many, for each cell of a fine grid."""
    first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    few = np.count_nonzero(first) <= 2 * GRID
    begins = np.flatnonzero(first) if few else _grid(ordered)
    counts = np.diff(begins, append=len(ordered)).astype(np.float64)
    mass = counts if weights is None else _sums(weights, begins)
    centers = ordered[begins].astype(np.float64)
    if not few:
        centers = _sums(ordered, begins, weights) / mass
    return _bins(centers, mass, _density(centers, mass, clusters))


def _grid(ordered: Values) -> Indices:
    """Where bins begin that are narrow by rank, and against their distance from the median."""
    middle, reach = float(ordered[len(ordered) // 2]), float(ordered[-1]) - float(ordered[0])
    away = reach * np.exp2(-np.arange(GRID) / (GRID / OCTAVES))
    largest = float(np.finfo(np.float32).max)
    around = np.concatenate([middle - away, middle + away]).clip(-largest, largest)
    quantiles = ordered[np.linspace(0, len(ordered), GRID, endpoint=False).astype(np.intp)]
    often = np.unique(quantiles[1:][quantiles[1:] == quantiles[:-1]])
    begins = [
        np.searchsorted(ordered, np.concatenate([around.astype(np.float32), quantiles])),
        np.searchsorted(ordered, often, side="right"),  # a frequent value is alone in its bin
    ]
    starts = np.unique(np.concatenate(begins))
    return starts[starts < len(ordered)]


def _sums(values: Values, begins: Indices, weights: Values | None = None) -> Floats:
    """Weighted sum from each beginning to the next, some of them at a time to save memory."""
    ends, sums = np.append(begins[1:], len(values)), np.empty(len(begins))
    for some in np.array_split(np.arange(len(begins)), min(len(begins), 64)):
        part = slice(begins[some[0]], ends[some[-1]])
        terms = values[part].astype(np.float64)
        if weights is not None:
            terms *= weights[part]
        sums[some] = np.add.reduceat(terms, begins[some] - begins[some[0]])
    return sums


def _bins(centers: Floats, mass: Floats, density: Floats) -> Bins:
    mass = np.maximum(mass, LEAST * mass.sum())
    middle = np.searchsorted(np.cumsum(mass), mass.sum() / 2)
    origin = float(centers[middle])
    moment = mass * (centers - origin)
    below, above = np.cumsum(moment[:middle][::-1])[::-1], np.cumsum(moment[middle:])
    return Bins(
        centers,
        np.concatenate([[0.0], np.cumsum(mass)]),
        np.concatenate([-below, [0.0], above]),
        density,
        origin,
    )


def _density(centers: Floats, mass: Floats, clusters: int) -> Floats:
    """The measure in which centroids lie evenly; no bin claims more than one of them."""
    gaps = np.diff(centers, prepend=centers[0], append=centers[-1])
    density: Floats = np.cbrt(mass) * np.cbrt((gaps[1:] + gaps[:-1]) / 2) ** 2
    for _ in range(64):  # each cap lowers the next one, in ever smaller steps
        most = density.sum() / clusters
        if density.max() <= 1.02 * most:
            break
        density = np.minimum(density, most)
    return density
