"""Coded bytes against the textbook's entropy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from litecompress.encoding import Affine, Bands, Dense, Palette, Sparse, symmetric_int8
from litecompress.scan.size import coded_bytes


def entropy_bytes(symbols):
    _, counts = np.unique(symbols, return_counts=True)
    share = counts / counts.sum()
    return float((-share * np.log2(share)).sum() * counts.sum() / 8)


@given(st.lists(st.integers(0, 15), min_size=1, max_size=300), st.integers(0, 300))
def test_zero_is_one_more_symbol(values, zeros):
    indices, codebook = np.array(values, np.uint8), np.arange(16, dtype=np.float16)
    mask = np.arange(len(values) + zeros) < len(values)
    sparse = Sparse(mask, Palette(indices, codebook, 4))
    expected = entropy_bytes([*values, *[-1] * zeros]) + 32
    assert expected - 0.01 <= coded_bytes(sparse) <= expected + 1
    assert coded_bytes(Palette(indices, codebook, 4)) == pytest.approx(
        entropy_bytes(values) + 32, abs=1
    )


def test_scales_bands_and_floats_are_counted():
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(40, 30)).astype(np.float32)
    grid = symmetric_int8(weight)
    expected = entropy_bytes(grid.values) + grid.scale.nbytes + grid.zero_point.nbytes
    assert coded_bytes(grid) == pytest.approx(expected, abs=1)
    assert coded_bytes(Dense(weight)) == weight.nbytes
    mask = weight > 0
    assert coded_bytes(Sparse(mask, Dense(weight[mask]))) == 150 + 4 * mask.sum()
    parts = (Dense(weight[:10]), Dense(weight[10:].astype(np.float16)))
    labels = (np.arange(40) >= 10).astype(np.uint8)
    assert coded_bytes(Bands(labels, parts)) == 5 + 10 * 30 * 4 + 30 * 30 * 2


def test_survivors_on_a_grid():
    mask = np.array([True, False, True, True])
    grid = Affine(np.array([1, -1, 1], np.int8), np.ones(1, np.float32), np.zeros(1, np.int8))
    assert coded_bytes(Sparse(mask, grid)) == 1 + 5  # 6 bits: 2 of 4, 1 of 4, 1 of 4
