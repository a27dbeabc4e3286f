"""Schedules: shapes that hold for every setting, and senseless settings."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litecompress.errors import RecipeError
from litecompress.train.schedule import Cosine, InverseSqrt

WARM = st.integers(1, 500)


@given(WARM, st.integers(1, 5000))
def test_inverse_sqrt_rises_to_its_peak_and_falls_with_the_root(warmup, update):
    schedule = InverseSqrt("inverse_sqrt", 1e-3, warmup)
    assert schedule.rate(warmup + 1, 0) == pytest.approx(1e-3)
    assert 0 < schedule.rate(update, 0) <= 1e-3
    if update > warmup:
        assert schedule.rate(4 * (update - 1) + 1, 0) == pytest.approx(schedule.rate(update, 0) / 2)


@given(WARM, st.integers(2, 2000))
def test_cosine_ends_at_its_floor(warmup, rest):
    schedule = Cosine("cosine", 1e-3, warmup, floor=1e-5)
    rates = [schedule.rate(u, warmup + rest) for u in range(warmup + 1, warmup + rest + 1)]
    assert rates[0] == pytest.approx(1e-3)
    assert all(a >= b for a, b in pairwise(rates))
    last = 1e-5 + (1e-3 - 1e-5) * (1 + math.cos(math.pi * (rest - 1) / rest)) / 2
    assert rates[-1] == pytest.approx(last)


def test_a_cosine_starts_again_longer_and_lower():
    schedule = Cosine("cosine", 1.0, 1, floor=0.0, period_updates=4, period_factor=2, shrink=0.5)
    rates = [schedule.rate(update, 0) for update in range(2, 15)]
    assert rates[:5] == pytest.approx([1, 0.853553, 0.5, 0.146447, 0.5], abs=1e-6)
    assert rates[4 + 4] == pytest.approx(0.25)  # halfway through the second period of 8
    assert rates[12] == pytest.approx(0.25)  # the third begins at a quarter


@pytest.mark.parametrize("change", [{"peak": math.nan}, {"peak": -1.0}, {"warmup_updates": 0}])
def test_senseless_schedules_are_refused(change):
    values = {"peak": 1e-3, "warmup_updates": 10, **change}
    for schedule in (InverseSqrt, Cosine):
        with pytest.raises(RecipeError, match="positive peak and at least 1 warmup"):
            schedule(schedule.__name__, **values)
