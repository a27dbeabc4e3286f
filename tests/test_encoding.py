"""Encodings: what they promise of error, zeros, bytes and immutability."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from litecompress.encoding import (
    Affine,
    Bands,
    Dense,
    Palette,
    Sparse,
    packed_bytes,
    sparsity,
    symmetric_int8,
)
from litecompress.errors import ArtifactError

matrices = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.floats(-100, 100, width=32),
)


@given(matrices)
def test_int8_error_is_at_most_half_a_step_and_zero_is_exact(weight):
    affine = symmetric_int8(weight)
    error = np.abs(affine.decode() - weight)
    assert (error <= affine.scale[:, None] * 0.5 * (1 + 1e-5)).all()
    assert (affine.decode()[weight == 0] == 0).all()
    assert int(np.abs(affine.values.astype(int)).max(initial=0)) <= 127


@given(matrices)
def test_int8_of_its_own_grid_changes_nothing(weight):
    once = symmetric_int8(weight)
    twice = symmetric_int8(once.decode())
    np.testing.assert_array_equal(once.values, twice.values)


@given(matrices)
def test_sparse_decodes_to_zeros_and_survivors(weight):
    mask = np.abs(weight) > 1
    sparse = Sparse(mask, Dense(weight[mask]))
    np.testing.assert_array_equal(sparse.decode(), np.where(mask, weight, 0))
    assert sparse.nbytes == packed_bytes(weight.size, 1) + 4 * int(mask.sum())


@pytest.mark.parametrize("bits", [1, 3, 4, 8])
def test_nbytes_counts_packed_indices_and_codebook(bits):
    indices = (np.arange(37) % 2**bits).astype(np.uint8)
    palette = Palette(indices, np.zeros(2**bits, np.float16), bits)
    assert palette.nbytes == -(-37 * bits // 8) + 2 * 2**bits


def test_affine_per_tensor_and_other_axis():
    values = np.array([[1, 2], [3, 4]], np.int8)
    one = Affine(values, np.array([0.5], np.float32), np.array([1], np.int8))
    np.testing.assert_array_equal(one.decode(), [[0, 0.5], [1, 1.5]])
    columns = Affine(values, np.array([1, 10], np.float32), np.array([0, 0], np.int8), axis=1)
    np.testing.assert_array_equal(columns.decode(), [[1, 20], [3, 40]])


@given(matrices, st.integers(1, 9))
def test_affine_in_groups_is_affine_on_each_group(weight, size):
    values = np.rint(weight).astype(np.int8)
    rng = np.random.default_rng(0)
    shape = (len(weight), -(-weight.shape[1] // size))
    scale = rng.random(shape).astype(np.float32)
    zero = rng.integers(-3, 4, shape).astype(np.int8)
    grouped = Affine(values, scale, zero, group_size=size).decode()
    for g in range(shape[1]):
        part = slice(g * size, (g + 1) * size)
        rows = Affine(values[:, part], scale[:, g], zero[:, g])
        np.testing.assert_array_equal(grouped[:, part], rows.decode())


@given(matrices, st.integers(0, 2**32 - 1))
def test_bands_hold_each_row_in_its_own_encoding(weight, seed):
    band = np.random.default_rng(seed).integers(0, 3, len(weight)).astype(np.uint8)
    mask = np.abs(weight) > 1
    inner = mask[band == 2]
    parts = (
        Dense(weight[band == 0]),
        symmetric_int8(weight[band == 1]),
        Sparse(inner, Dense(weight[band == 2][inner])),
    )
    bands = Bands(band, parts)
    assert bands.shape == weight.shape
    decoded = bands.decode()
    for i, part in enumerate(parts):
        np.testing.assert_array_equal(decoded[band == i], part.decode())
    assert bands.nbytes == packed_bytes(len(band), 2) + sum(p.nbytes for p in parts)
    zeros = (~inner).sum() + (decoded[band == 1] == 0).sum()
    assert sparsity(bands) == pytest.approx(zeros / weight.size)


def test_arrays_are_copies_and_read_only():
    values = np.ones(3, np.float32)
    dense = Dense(values)
    values[0] = 7
    assert dense.values[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        dense.values[0] = 2


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Palette(np.array([4], np.uint8), np.zeros(3, np.float16)), "indices below 3"),
        (lambda: Palette(np.array([2], np.uint8), np.zeros(9, np.float16), 1), "indices below 2"),
        (lambda: Sparse(np.ones(3, bool), Dense(np.ones(2, np.float32))), "3 values"),
        (lambda: Dense(np.ones(2, np.int8)), "kind 'f'"),
        (lambda: Dense(np.array([1, np.nan], np.float32)), "finite values"),
        (lambda: Palette(np.zeros(2, np.uint8), np.zeros(2, "f2"), 10**30), "num_bits from 1 to 8"),
        (
            lambda: Affine(np.ones((2, 2), np.int8), np.ones(3), np.zeros(3, np.int8)),
            r"shape \(1,\) or \(2,\), got \(3,\)",
        ),
        (
            lambda: Bands(np.array([0, 1], "u1"), (Dense(np.ones((2, 3), "f4")),) * 2),
            r"parts of \[1, 1\] rows",
        ),
        (
            lambda: Affine(np.ones(4, np.int8), np.ones((1, 2)), np.zeros((1, 2), int), 0, 4, 2),
            "in the rows of a matrix",
        ),
    ],
)
def test_inconsistent_encodings_are_refused(build, message):
    with pytest.raises(ArtifactError, match=message):
        build()
