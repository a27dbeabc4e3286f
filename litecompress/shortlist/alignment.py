"""Which word translates which: IBM model 1 by expectation maximization.

Every target word is drawn from one source word of its sentence, or from none, all as likely; what a
source word yields is learnt (Brown et al. 1993; as a source of candidates arXiv:1610.00072).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.integer]
Pair = tuple[Sequence[int], Sequence[int]]  # ids of source and target
NOTHING = -1  # the source of words that translate none
BLOCK_LINKS = 2**22  # in memory at once beside 4 bytes for every link


@dataclass(frozen=True)
class Lexicon:
    """Every pair of ids that some sentence pair holds, by source and then by target.

    `probabilities` of one source sum to 1; source NOTHING stands for no source word.
    """

    sources: NDArray[np.int64]
    targets: NDArray[np.int64]
    probabilities: NDArray[np.float64]


@dataclass(frozen=True)
class _Links:
    """Links of each target position to all that may have yielded it, one group a position."""

    sources: NDArray[np.int64]  # (L,)
    targets: NDArray[np.int64]  # (L,)
    starts: NDArray[np.int64]  # (groups,), the first link of each


def ibm_model1(pairs: Sequence[Pair], iterations: int) -> Lexicon:
    """Probabilities of targets after so many iterations from uniform ones; both sides have ids.

    Takes time in proportion to the links, of which a pair of S and T ids has (S + 1) T, and 4 bytes
    of memory for each of them, or 8 where there are more than 2^31 pairs of ids.
    """
    width = 1 + max(max(target) for _, target in pairs)
    blocks = [_links(block) for block in _blocks(pairs)]
    keys = [(b.sources + 1) * width + b.targets for b in blocks]
    known = np.unique(np.concatenate([np.unique(k) for k in keys]))  # (P,)
    sources, targets = np.divmod(known, width)
    places: list[Ids] = [_narrow(np.searchsorted(known, k), len(known)) for k in keys]
    starts = [b.starts for b in blocks]
    del blocks, keys
    probabilities = np.ones(len(known))
    for _ in range(iterations):
        expected = _expected(probabilities, places, starts)
        totals = np.bincount(sources, expected)
        probabilities = expected / totals[sources]
    return Lexicon(sources + NOTHING, targets, probabilities)


def _expected(
    probabilities: NDArray[np.float64],
    places: Sequence[Ids],
    starts: Sequence[NDArray[np.int64]],
) -> NDArray[np.float64]:
    """How often each pair of ids is expected to be linked (P,)."""
    found = np.zeros_like(probabilities)
    for place, start in zip(places, starts, strict=True):
        likely = probabilities[place]
        sums = np.add.reduceat(likely, start)
        likely /= np.repeat(sums, np.diff(start, append=len(place)))
        found += np.bincount(place, likely, len(found))
    return found


def _narrow(places: Ids, count: int) -> Ids:
    """The same numbers below `count`, in 4 bytes where they fit."""
    return places.astype(np.int32) if count < 2**31 else places


def _blocks(pairs: Sequence[Pair]) -> Iterator[Sequence[Pair]]:
    """Pairs in groups of bounded size, in order."""
    first = links = 0
    for i, (source, target) in enumerate(pairs):
        more = (len(source) + 1) * len(target)
        if i > first and links + more > BLOCK_LINKS:
            yield pairs[first:i]
            first, links = i, 0
        links += more
    yield pairs[first:]


def _links(pairs: Sequence[Pair]) -> _Links:
    """All links of some sentence pairs."""
    sources = np.concatenate([[NOTHING, *source] for source, _ in pairs])
    targets = np.concatenate([target for _, target in pairs])
    widths = np.array([len(source) + 1 for source, _ in pairs])
    heights = np.array([len(target) for _, target in pairs])
    firsts = np.repeat(np.cumsum(widths) - widths, heights)  # of its sentence, by target position
    sizes = np.repeat(widths, heights)
    starts = np.cumsum(sizes) - sizes
    within = np.arange(sizes.sum()) - np.repeat(starts, sizes)
    linked = sources[np.repeat(firsts, sizes) + within]
    return _Links(linked, np.repeat(targets, sizes), starts)
