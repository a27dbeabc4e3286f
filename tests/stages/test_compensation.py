"""Errors of a column that later ones make good, against elimination by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litecompress.stages.compensation import DAMPING, compensated, rise
from litecompress.stages.rdo import code_lengths, rounded


def inputs(rng, columns, rank):
    """Second moments of inputs that are few directions and a little noise."""
    x = rng.normal(size=(400, rank)) @ rng.normal(size=(rank, columns))
    x += 0.1 * rng.normal(size=x.shape)
    return (x.T @ x / len(x)).astype(np.float32)


def case(seed, rows=12, columns=40, rank=5):
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(rows, columns)).astype(np.float32)
    fisher = rng.uniform(0.5, 2, weight.shape).astype(np.float32)
    return weight, fisher, inputs(rng, columns, rank)


def by_elimination(weight, fisher, moments, slope, passes=2):
    """The same by the inverse of what remains, one column at a time (arXiv:2208.11580)."""
    first = rounded(weight, fisher, slope)
    step = float(first.step)
    hessian = moments / moments.diagonal().mean() + DAMPING * np.eye(len(moments))
    of_row = fisher.mean(axis=1)
    values = first.values
    for _ in range(passes):
        bits = code_lengths(values)
        rest = weight.astype(np.float64) / step
        values = np.zeros_like(values)
        for j in range(weight.shape[1]):
            inverse = np.linalg.inv(hessian[j:, j:])
            for i in range(len(weight)):
                x = rest[i, j]
                curvature = of_row[i] * step**2 / inverse[0, 0]
                costs = {
                    q: curvature / 2 * (x - q) ** 2 + slope * float(bits[q + 128])
                    for q in {0, int(np.floor(x)), int(np.ceil(x))}
                }
                values[i, j] = min(costs, key=costs.__getitem__)
                error = (x - values[i, j]) / inverse[0, 0]
                rest[i, j + 1 :] -= error * inverse[0, 1:]
    return values


@pytest.mark.parametrize("seed", range(3))
def test_the_same_as_by_elimination(seed):
    weight, fisher, moments = case(seed)
    found = compensated(weight, fisher, moments, 1e-2)
    np.testing.assert_array_equal(found.values, by_elimination(weight, fisher, moments, 1e-2))


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), slope=st.sampled_from([1e-3, 1e-2, 1e-1]))
def test_correlated_inputs_see_less_of_the_error(seed, slope):
    weight, fisher, moments = case(seed)
    plain, better = rounded(weight, fisher, slope), compensated(weight, fisher, moments, slope)
    losses = [
        rise(weight - found.values * np.float32(found.step), fisher, moments)
        for found in (plain, better)
    ]
    assert losses[1] < 0.9 * losses[0]
    assert better.step == plain.step


def test_inputs_without_correlation_are_rounded_as_ever():
    weight, fisher, _ = case(1)
    fisher[:] = fisher.mean(axis=1, keepdims=True)
    found = compensated(weight, fisher, np.eye(weight.shape[1], dtype=np.float32), 1e-2)
    same = found.values == rounded(weight, fisher * (1 + DAMPING), 1e-2, found.step).values
    assert same.mean() > 0.97  # frequencies settle elsewhere


def test_zeros_stay():
    weight, fisher, moments = case(2)
    weight[::2, ::3] = 0
    assert not compensated(weight, fisher, moments, 1e-2).values[weight == 0].any()


def test_inputs_that_are_never_there():
    weight, fisher, moments = case(3)
    found = compensated(weight, fisher, np.zeros_like(moments), 1e-2)
    assert np.isfinite(found.values.astype(float)).all()
    assert found.values.any()


def test_the_rise_is_that_of_the_quadratic_form():
    weight, fisher, moments = case(4)
    scaled = moments / moments.diagonal().mean()
    expected = sum(f.mean() * w @ scaled @ w / 2 for f, w in zip(fisher, weight, strict=True))
    assert rise(weight, fisher, moments) == pytest.approx(expected, rel=1e-4)
