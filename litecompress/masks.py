"""Which weights survive pruning by magnitude (arXiv:1506.02626)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def magnitude_mask(weight: NDArray[np.float32], before: Mask, sparsity: float) -> Mask:
    """Zero floor(sparsity * size) weights, or as many as before; of equals the later stay."""
    count = max(int(sparsity * weight.size), int(weight.size - np.count_nonzero(before)))
    mask = np.ones(weight.size, bool)
    if count:
        magnitude = _magnitude(weight, before)
        magnitude.partition(count - 1)  # in place: a large table is copied once at a time
        threshold = magnitude[count - 1]
        magnitude = _magnitude(weight, before)
        np.greater(magnitude, threshold, out=mask)
        equals = np.flatnonzero(magnitude == threshold)
        mask[equals[count - np.count_nonzero(magnitude < threshold) :]] = True
    return mask.reshape(weight.shape)


def _magnitude(weight: NDArray[np.float32], before: Mask) -> NDArray[np.float32]:
    """Flat, and below 0 what is zero already, so that it comes before all others."""
    magnitude = np.abs(weight)
    magnitude[~before] = -1
    return magnitude.reshape(-1)


def largest_of_neighbours(weight: NDArray[np.float32], kept: int, group: int) -> Mask:
    """The `kept` largest of every `group` neighbours along the last axis; a rest keeps as many."""
    *outer, width = weight.shape
    padded = np.full((*outer, -(-width // group) * group), -1.0, np.float32)
    padded[..., :width] = np.abs(weight)
    groups = padded.reshape(*outer, -1, group)
    order = np.argsort(-groups, axis=-1, kind="stable")
    mask = np.zeros(groups.shape, bool)
    np.put_along_axis(mask, order[..., :kept], True, axis=-1)
    return mask.reshape(padded.shape)[..., :width]
