"""Rounding by rate and distortion that puts the error of each column right in those after it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from litecompress.stages.rdo import Floats, Rounded, cheapest, code_lengths, rounded

DAMPING = 1.0  # of the mean square of the inputs, added to each: what the moments do not know
PASSES = 2  # frequencies and choices follow each other
BLOCK = 32  # columns after which all later ones are put right at once


def compensated(weight: Floats, fisher: Floats, moments: Floats, slope: float) -> Rounded:
    """The matrix (R, C) on the grid that `rounded` gives it, but column after column.

    A row of it has the curvature F M, F its mean Fisher information and M the `moments` (C, C) of
    its inputs with a mean diagonal of 1. A column's error is made good by what later columns can
    do about it (arXiv:2210.17323), and its points are chosen by what then remains. Zeros stay.
    """
    first = rounded(weight, fisher, slope)
    step = np.float32(first.step)
    factor = _factor(moments)
    cost = fisher.mean(axis=1) * np.float32(float(step) ** 2 / (2 * slope))  # bits a squared step
    values = first.values
    for _ in range(PASSES):
        values = _sequential(weight / step, cost, factor, code_lengths(values))
    return Rounded(values, first.step)


def rise(change: Floats, fisher: Floats, moments: Floats) -> float:
    """Second-order rise of the loss, nats a token, by the same curvature."""
    through = change @ (moments / moments.diagonal().mean())
    return float(((change * through).sum(axis=1) * fisher.mean(axis=1)).sum() / 2)


def _factor(moments: Floats) -> Floats:
    """Upper triangular U with U^T U the inverse of the damped moments."""
    scaled = moments.astype(np.float64) / max(float(moments.diagonal().mean()), 1e-30)
    inverse = np.linalg.inv(scaled + DAMPING * np.eye(len(scaled)))
    factor: Floats = np.linalg.cholesky((inverse + inverse.T) / 2).T.astype(np.float32)
    return factor


def _sequential(exact: Floats, cost: Floats, factor: Floats, bits: Floats) -> NDArray[np.int8]:
    """The points of each column, in steps, once those before it have been chosen."""
    rest = np.ascontiguousarray(exact.T)  # (C, R)
    kept = rest != 0
    values = np.empty(rest.shape, np.int8)
    for begin in range(0, len(rest), BLOCK):
        end = min(begin + BLOCK, len(rest))
        errors = np.empty((end - begin, rest.shape[1]), np.float32)
        for j in range(begin, end):
            scale = factor[j, j]
            values[j] = cheapest(rest[j], cost / scale**2, bits) * kept[j]
            errors[j - begin] = (rest[j] - values[j]) / scale
            rest[j + 1 : end] -= np.outer(factor[j, j + 1 : end], errors[j - begin])
        rest[end:] -= factor[begin:end, end:].T @ errors
    return np.ascontiguousarray(values.T)
