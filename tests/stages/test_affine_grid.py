"""Affine grids: nearest integers, exact zeros, and scales that lose least."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from litecompress.encoding import symmetric_int8
from litecompress.errors import StageError
from litecompress.stages.affine_grid import affine_quantized

matrices = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.floats(-100, 100, width=32) | st.sampled_from([0.0, 1e-3, -2e-6, 1e-40]),
)
forms = st.fixed_dictionaries(
    {
        "symmetric": st.booleans(),
        "clipped": st.booleans(),
        "scale_type": st.sampled_from([np.float16, np.float32]),
    }
)
grains = st.one_of(
    st.just({"granularity": "per_tensor"}),
    st.integers(0, 1).map(lambda axis: {"granularity": "per_channel", "axis": axis}),
    st.integers(1, 7).map(lambda size: {"granularity": "per_group", "group_size": size}),
)


def each_block(weight, granularity="per_channel", axis=0, group_size=None, **_):
    """Where in a matrix each scale is responsible, in the order of the scales."""
    if granularity == "per_tensor":
        return [(slice(None), slice(None))]
    across, along = weight.shape[axis], weight.shape[1 - axis]
    parts = range(0, along, group_size or along)
    places = [(i, slice(j, j + (group_size or along))) for i in range(across) for j in parts]
    return places if axis == 0 else [place[::-1] for place in places]


@given(matrices, st.integers(1, 8), forms, grains)
def test_each_weight_goes_to_its_nearest_on_a_grid_with_zero(weight, bits, form, grain):
    bits = max(bits, 1 + form["symmetric"])
    grid = affine_quantized(weight, bits, **form, **grain)
    decoded = grid.decode()
    assert decoded.shape == grid.values.shape == weight.shape
    assert decoded.dtype == np.float32
    assert grid.scale.dtype == form["scale_type"]
    assert (decoded[weight == 0] == 0).all()
    low, high = (
        (1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1) if form["symmetric"] else (0, 2**bits - 1)
    )
    blocks = each_block(weight, **form, **grain)
    assert grid.scale.size == grid.zero_point.size == len(blocks)
    scales, zeros = grid.scale.reshape(-1), grid.zero_point.reshape(-1)
    for place, scale, zero in zip(
        blocks, scales.astype(np.float64), zeros.astype(int), strict=True
    ):
        assert scale > 0
        assert low <= zero <= high
        points = scale * (np.arange(low, high + 1) - zero)
        exact, ours = weight[place].astype(np.float64), decoded[place].astype(np.float64)
        nearest = np.abs(exact[..., None] - points).min(axis=-1)
        assert np.abs(ours[..., None] - points).min(axis=-1).max() <= 1e-6 * np.abs(points).max()
        assert (np.abs(ours - exact) <= nearest + 1e-5 * scale).all()
        within = (points[0] <= exact) & (exact <= points[-1])
        assert (np.abs(ours - exact)[within] <= scale * (0.5 + 1e-5)).all()


def full_range(values, bits, symmetric, scale_type):
    """Error of a grid over all values, worked out as it is in every textbook."""
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    if low == high:
        return 0.0
    if symmetric:
        most = 2 ** (bits - 1) - 1
        scale = float(scale_type(max(high, -low) / most))
        integers = np.clip(np.round(values / scale), -most, most)
    else:
        scale = float(scale_type((high - low) / (2**bits - 1)))
        zero = np.clip(np.round(-low / scale), 0, 2**bits - 1)
        integers = np.clip(np.round(values / scale) + zero, 0, 2**bits - 1) - zero
    return float(np.square(scale * integers - values).sum())


@given(
    hnp.arrays(np.float32, (3, 10), elements=st.floats(-100, 100, width=16)),
    st.integers(1, 8),
    forms,
    grains,
)
def test_clipping_is_never_worse_than_the_full_range(weight, bits, form, grain):
    bits = max(bits, 1 + form["symmetric"])
    form["clipped"] = True
    decoded = affine_quantized(weight, bits, **form, **grain).decode()
    for place in each_block(weight, **form, **grain):
        exact = weight[place].astype(np.float64)
        error = float(np.square(decoded[place] - exact).sum())
        with np.errstate(divide="ignore"):
            plain = full_range(exact, bits, form["symmetric"], form["scale_type"])
        rounding = 1e-13 * float(np.square(exact).sum())  # of float32
        assert error <= plain * (1 + 1e-4) + rounding


def least_error(values, bits, symmetric):
    """By trial of many scales, and of all zero points that may fit."""
    best = np.inf
    spread = np.abs(values).max() if symmetric else np.ptp(np.append(values, 0))
    steps = 2**bits - (2 if symmetric else 1)
    zeros = [steps // 2] if symmetric else range(steps + 1)
    for part in np.linspace(0.05, 1.1, 60):
        scale = part * (2 if symmetric else 1) * spread / steps
        for zero in zeros:
            integers = np.clip(np.round(values / scale), -zero, steps - zero)
            best = min(best, float(np.square(scale * integers - values).sum()))
    return best


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("kind", ["normal", "heavy tails", "skewed", "few", "positive"])
def test_scales_are_near_the_best(kind, bits, symmetric):
    if symmetric and bits == 1:
        pytest.skip("there is no such grid")
    rng = np.random.default_rng(0)
    weight = {
        "normal": rng.standard_normal((6, 150)),
        "heavy tails": rng.standard_t(3, (6, 150)),
        "skewed": rng.standard_normal((6, 150)) ** 3 + 1,
        "few": rng.standard_normal((6, 40)),
        "positive": rng.random((6, 150)) + 0.5,
    }[kind].astype(np.float32)
    grid = affine_quantized(weight, bits, symmetric=symmetric, scale_type=np.float32)
    errors = np.square(grid.decode() - weight.astype(np.float64)).sum(axis=1)
    best = [least_error(row, bits, symmetric) for row in weight.astype(np.float64)]
    assert errors.sum() <= 1.05 * sum(best)


def test_clipping_gains_much_at_four_bits():
    weight = np.random.default_rng(0).standard_normal((50, 496)).astype(np.float32)
    errors = [
        np.square(affine_quantized(weight, 4, clipped=clipped).decode() - weight).sum()
        for clipped in (True, False)
    ]
    assert errors[0] < 0.75 * errors[1]


def test_the_whole_range_in_eight_bits_is_that_of_the_encoding():
    weight = np.random.default_rng(0).standard_normal((9, 70)).astype(np.float32)
    weight[3], weight[4] = 0, 1e-42
    grid = affine_quantized(weight, 8, clipped=False, scale_type=np.float32)
    reference = symmetric_int8(weight)
    np.testing.assert_array_equal(grid.values, reference.values)
    np.testing.assert_allclose(grid.scale[[0, 1, 2, 3, 5]], reference.scale[[0, 1, 2, 3, 5]], 1e-6)


@pytest.mark.parametrize("scale_type", [np.float16, np.float32])
@pytest.mark.parametrize("symmetric", [True, False])
def test_zeros_and_tiny_rows(symmetric, scale_type):
    weight = np.zeros((4, 8), np.float32)
    weight[1] = 1e-42
    weight[2] = np.linspace(-1e-5, 2e-5, 8)
    weight[3, ::2] = 3.0
    grid = affine_quantized(weight, 8, symmetric=symmetric, scale_type=scale_type)
    decoded = grid.decode()
    assert (decoded[weight == 0] == 0).all()
    assert grid.scale[0] == 1
    assert (np.abs(decoded - weight) <= grid.scale[:, None].astype(np.float64) / 2 + 1e-6).all()
    np.testing.assert_allclose(decoded[3], weight[3], rtol=1e-3)


def test_shapes_of_scales():
    weight = np.random.default_rng(0).standard_normal((6, 10)).astype(np.float32)
    assert affine_quantized(weight, 8, "per_tensor").scale.shape == (1,)
    assert affine_quantized(weight, 8, axis=1).scale.shape == (10,)
    grouped = affine_quantized(weight, 4, "per_group", group_size=4)
    assert grouped.scale.shape == grouped.zero_point.shape == (6, 3)
    with pytest.raises(StageError, match="axis 0 for per_group"):
        affine_quantized(weight, 4, "per_group", group_size=4, axis=1)


def test_a_kernel_of_three_axes():
    weight = np.random.default_rng(0).standard_normal((4, 5, 7)).astype(np.float32)
    grid = affine_quantized(weight, 8, axis=1)
    flat = affine_quantized(weight.transpose(1, 0, 2).reshape(5, -1), 8)
    np.testing.assert_array_equal(grid.scale, flat.scale)
    decoded = flat.decode().reshape(5, 4, 7).transpose(1, 0, 2)
    np.testing.assert_array_equal(grid.decode(), decoded)


def test_parts_of_a_large_tensor_add_up(monkeypatch):
    weight = np.random.default_rng(0).standard_normal((50, 496)).astype(np.float32)
    for granularity in ("per_tensor", "per_channel"):
        whole = affine_quantized(weight, 4, granularity, symmetric=False)
        with monkeypatch.context() as patch:
            patch.setattr("litecompress.stages.affine_search.CHUNK", 100)
            parts = affine_quantized(weight, 4, granularity, symmetric=False)
        np.testing.assert_array_equal(parts.decode(), whole.decode())


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((2, 3), {"num_bits": 9}, "num_bits from 1 to 8, got 9"),
        ((2, 3), {"num_bits": 1}, "2 bits or more for a symmetric grid.*symmetric=False"),
        ((2, 3), {"scale_type": np.float64}, "float16 or float32, got float64"),
        ((2, 3), {"axis": 2}, r"an axis of a weight of shape \(2, 3\) that is not empty, got 2"),
        ((2, 0), {}, r"shape \(2, 0\) that is not empty"),
        ((2, 3), {"granularity": "per_group"}, "group_size from 1 .* got None"),
        ((2, 3), {"group_size": 3}, "none otherwise, got 3"),
        ((2, 3), {"group_size": 0, "granularity": "per_group", "num_bits": 0}, "num_bits.*got 0$"),
    ],
)
def test_what_cannot_be(shape, options, message):
    with pytest.raises(StageError, match=message):
        affine_quantized(np.ones(shape, np.float32), **{"num_bits": 8, **options})


def test_weights_beyond_half_precision_scales():
    weight = np.full((2, 3), 1e9, np.float32)
    with pytest.raises(StageError, match=r"span at most .* got 2e.09; store the scales in float32"):
        affine_quantized(weight, 8)
    np.testing.assert_allclose(affine_quantized(weight, 8, scale_type=np.float32).decode(), weight)
