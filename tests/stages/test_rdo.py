"""Rounding by rate and distortion: never worse than plain rounding, within what int8 holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from litecompress.entropy.code_length import UNIT, entropy
from litecompress.stages.rdo import MOST, SLOPE_OF_STEP, best_step, code_lengths, rounded

VALUES = arrays(
    np.float32,
    array_shapes(min_dims=1, max_dims=2, max_side=40),
    elements=st.floats(-4, 4, width=32),
)


def cost(weight, fisher, slope, values, step) -> float:
    """Nats lost, and the symbols' entropy in nats by the slope."""
    lost = (fisher.astype(float) * (weight - np.float32(step) * values) ** 2).sum() / 2
    counts = np.unique(values, return_counts=True)[1].astype(np.int64)
    return lost + slope * int(entropy(counts)) / UNIT


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-3, 10), slope=st.floats(1e-9, 1e-5))
def test_it_costs_no_more_than_the_nearest_points(seed, scale, slope):
    rng = np.random.default_rng(seed)
    weight = (scale * rng.laplace(size=(30, 40))).astype(np.float32)
    fisher = rng.gamma(0.5, 1e-3, weight.shape).astype(np.float32)
    found = rounded(weight, fisher, slope)
    nearest = np.rint(weight / np.float32(found.step)).clip(-MOST, MOST).astype(np.int8)
    ours = cost(weight, fisher, slope, found.values, found.step)
    assert ours <= 1.001 * cost(weight, fisher, slope, nearest, found.step)


@given(weight=VALUES, slope=st.floats(1e-10, 1e-4))
def test_any_weight_is_held(weight, slope):
    found = rounded(weight, np.full(weight.shape, 1e-3, np.float32), slope)
    assert found.values.shape == weight.shape
    assert found.values.dtype == np.int8
    assert found.step > 0
    assert np.abs(weight).max() <= (MOST + 0.5) * float(found.step)
    error = np.abs(weight - np.float32(found.step) * found.values)
    assert (error <= np.maximum(np.abs(weight), found.step) * (1 + 1e-6)).all()
    np.testing.assert_array_equal(found.values[weight == 0], 0)


def test_a_fine_grid_is_plain_rounding():
    rng = np.random.default_rng(0)
    weight = rng.uniform(-1, 1, (50, 60)).astype(np.float32)
    found = rounded(weight, np.ones_like(weight), 1e-9)
    np.testing.assert_array_equal(found.values, np.rint(weight / np.float32(found.step)))


def test_what_matters_little_becomes_zero_first():
    rng = np.random.default_rng(1)
    weight = rng.laplace(size=(100, 100)).astype(np.float32)
    fisher = np.where(np.arange(100) < 50, 1.0, 0.01)[:, None] * np.ones_like(weight)
    zeros = rounded(weight, fisher.astype(np.float32), 1e-2).values == 0
    assert zeros[50:].mean() > 2 * zeros[:50].mean()


@pytest.mark.parametrize("fisher", [0.0, 1e-30, 1e-6, 1e6])
@pytest.mark.parametrize("peak", [0.0, 1e-30, 1e-6, 1.0, 6e4])
def test_steps_can_be_stored(fisher, peak):
    step = best_step(fisher, 1e-8, peak)
    assert np.isfinite(step)
    assert step >= np.finfo(np.float16).tiny
    assert peak <= (MOST + 0.5) * float(step)


def test_the_step_of_the_theory():
    assert float(best_step(2.0, 2.0 * SLOPE_OF_STEP * 0.25**2, 1.0)) == pytest.approx(
        0.25, rel=1e-3
    )


def test_code_lengths_are_those_of_the_frequencies():
    values = np.repeat(np.array([0, 1, -3], np.int8), [100, 50, 25])
    bits = code_lengths(values)
    assert bits[128 + 1] - bits[128] == pytest.approx(1, abs=0.02)
    assert bits[128 - 3] - bits[128] == pytest.approx(2, abs=0.03)
    assert bits.argmin() == 128
    assert np.isfinite(bits).all()
