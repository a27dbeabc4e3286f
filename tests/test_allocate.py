"""Allocation against brute force over every combination, and what convexity promises."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litecompress import allocate as module
from litecompress.allocate import Option, allocate, frontier
from litecompress.errors import InputError

options = st.builds(Option, st.integers(0, 60), st.integers(-5, 40).map(lambda n: n / 8))
parts = st.lists(st.lists(options, min_size=1, max_size=5), min_size=1, max_size=5)


def brute_force(parts, budget):
    """The least loss within the budget; infinite where there is none."""
    sums = (np.sum(chosen, axis=0) for chosen in product(*parts))
    return min((loss for cost, loss in sums if cost <= budget), default=np.inf)


def least(parts):
    return sum(min(o.cost for o in options) for options in parts)


@given(parts, st.integers(0, 200))
@settings(max_examples=300)
def test_no_combination_within_the_budget_loses_less(parts, extra):
    budget = least(parts) + extra
    found = allocate(parts, budget)
    chosen = [options[i] for options, i in zip(parts, found.chosen)]
    assert np.sum(chosen, axis=0) == pytest.approx((found.cost, found.loss))
    assert found.cost <= budget
    assert found.exact
    assert found.loss == pytest.approx(brute_force(parts, budget), abs=1e-9)
    assert found.bound <= found.loss + 1e-9


@given(parts, st.integers(0, 40).map(lambda n: n / 8))
def test_with_the_columns_swapped_the_loss_is_the_budget(parts, extra):
    swapped = [[Option(o.loss, o.cost) for o in options] for options in parts]
    budget = least(swapped) + extra
    found = allocate(swapped, budget)
    assert found.loss == pytest.approx(brute_force(swapped, budget), abs=1e-9)


@given(parts)
def test_the_frontier_is_convex_and_exact_at_its_points(parts):
    points = frontier(parts)
    slopes = np.diff(points[:, 1]) / np.diff(points[:, 0])
    assert (np.diff(points[:, 0]) > 0).all() and (np.diff(slopes) >= -1e-9).all()
    for cost, loss in points:
        assert loss == pytest.approx(brute_force(parts, cost), abs=1e-9)


@given(parts)
def test_less_than_the_least_budget_is_refused(parts):
    with pytest.raises(InputError, match="expected a budget of at least"):
        allocate(parts, least(parts) - 1)


def test_many_parts_come_within_a_hair_of_the_bound(monkeypatch):
    """As many as a model has, with so few states that the search is cut short."""
    rng = np.random.default_rng(0)
    bits = np.arange(1, 9)
    sizes = rng.lognormal(8, 2, 150)
    weight = rng.lognormal(0, 2, 150)
    many = [
        [
            Option(round(n * b), w * 4.0**-b * jitter)
            for b, jitter in zip(bits, rng.uniform(0.8, 1.2, 8))
        ]
        for n, w in zip(sizes, weight)
    ]
    monkeypatch.setattr(module, "STATES", 64)
    found = allocate(many, 3.3 * sizes.sum())
    assert found.bound <= found.loss <= 1.001 * found.bound


def test_the_search_fills_what_the_hull_leaves_over():
    """The steep step does not fit; the option above the hull does."""
    part = [Option(0, 10), Option(6, 8), Option(10, 0)]
    assert allocate([part], 9).chosen == (1,)
