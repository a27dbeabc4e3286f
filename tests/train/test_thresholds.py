"""Where a grid's choice turns, against the plain minimum of distance and code length."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from litecompress.entropy.code_length import SQUARED_STEPS_PER_BIT
from litecompress.train.thresholds import Thresholds

LOW, HIGH = -7, 7


@given(seed=st.integers(0, 2**32 - 1), spread=st.floats(0.5, 4))
def test_choices_are_the_cheaper_of_two_neighbours(seed, spread):
    rng = np.random.default_rng(seed)
    taken = np.rint(spread * rng.normal(size=500)).clip(LOW, HIGH)
    bits = -np.log2(np.bincount((taken - LOW).astype(int), minlength=HIGH - LOW + 1) + 0.5)
    x = rng.uniform(LOW, HIGH, 300)
    below = np.floor(x).astype(int)
    costs = [
        (x - q) ** 2 + SQUARED_STEPS_PER_BIT * bits[(q - LOW).clip(0, HIGH - LOW)]
        for q in (below, below + 1)
    ]
    expected = np.where(costs[1] < costs[0], below + 1, below)
    sure = np.abs(costs[1] - costs[0]) > 1e-4
    found = Thresholds(torch.from_numpy(taken), LOW, HIGH)(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(found[sure], expected[sure])


def test_points_of_the_grid_stay_what_they_are():
    taken = torch.cat([torch.zeros(10_000), torch.arange(LOW, HIGH + 1)])
    thresholds = Thresholds(taken, LOW, HIGH)
    points = torch.arange(LOW, HIGH + 1).float()
    torch.testing.assert_close(thresholds(points), points)


def test_common_points_draw_more():
    thresholds = Thresholds(torch.cat([torch.zeros(900), torch.ones(100)]), LOW, HIGH)
    assert thresholds(torch.tensor([0.55, 0.9])).tolist() == [0.0, 1.0]
