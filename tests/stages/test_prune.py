"""Magnitude pruning: exact sparsity, the smallest go, everything else stays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from litecompress.encoding import Dense, Sparse
from litecompress.encoding import sparsity as sparsity_of
from litecompress.errors import StageError
from litecompress.masks import largest_of_neighbours, magnitude_mask
from litecompress.stages import Context, Prune, Quantize, apply
from tests import models

WEIGHTS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.floats(-100, 100, width=32),
)


@given(WEIGHTS, st.floats(0, 1, exclude_max=True))
def test_exact_sparsity_and_the_smallest_go(weight, sparsity):
    mask = magnitude_mask(weight, np.ones(weight.shape, bool), sparsity)
    assert np.count_nonzero(~mask) == int(sparsity * weight.size)
    gone, kept = np.abs(weight[~mask]), np.abs(weight[mask])
    assert gone.max(initial=0) <= kept.min(initial=np.inf)
    again = magnitude_mask(np.where(mask, weight, 0), mask, sparsity / 2)
    np.testing.assert_array_equal(again, mask)


@given(WEIGHTS, st.integers(1, 4), st.integers(1, 4))
def test_of_neighbours_the_largest_stay(weight, kept, more):
    group = kept + more
    mask = largest_of_neighbours(weight, kept, group)
    for row, keeps in zip(np.abs(weight), mask, strict=True):
        for start in range(0, len(row), group):
            values, stay = row[start : start + group], keeps[start : start + group]
            assert stay.sum() == min(kept, len(values))
            assert values[~stay].max(initial=0) <= values[stay].min(initial=np.inf)


def test_a_global_threshold_takes_more_of_small_tensors():
    before = models.artifact()
    after = apply(Prune(0.5, scope="global"), before, Context())
    pruned = {n: e for n, e in after.weights.items() if isinstance(e, Sparse)}
    gone = max(np.abs(before.weights[n].decode()[~e.mask]).max() for n, e in pruned.items())
    kept = min(np.abs(e.values.decode()).min() for e in pruned.values())
    assert gone <= kept
    shares = [sparsity_of(e) for e in pruned.values()]
    assert max(shares) - min(shares) > 0.05
    assert after.history[-1].summary["sparsity"] == pytest.approx(0.5, abs=1e-4)


def test_sensitivity_is_a_threshold_in_standard_deviations():
    before = models.artifact()
    after = apply(Prune(sensitivity=0.6), before, Context())
    for name, encoding in after.weights.items():
        weight = before.weights[name].decode()
        if isinstance(encoding, Sparse):
            expected = np.abs(weight) >= np.float32(0.6) * weight.std()
            np.testing.assert_array_equal(encoding.mask, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "one of sparsity, sensitivity and pattern, got None, None, None"),
        ({"sparsity": 0.5, "pattern": "2:4"}, "one of sparsity"),
        ({"sensitivity": -1.0}, r"sensitivity in \[0, 10\)"),
        ({"pattern": "4:2"}, "fewer than all, got 4:2"),
        ({"pattern": "half"}, "N:M such as 2:4, got 'half'"),
        ({"sensitivity": 1.0, "scope": "global"}, "a sparsity with scope global"),
    ],
)
def test_contradictory_options(options, message):
    with pytest.raises(StageError, match=message):
        Prune(**options)


def test_only_matching_matrices_change_and_history_tells():
    before = models.artifact()
    after = apply(
        Prune(0.25, targets=("encoder.*.weight",), exclude=("*.ffn.*",)), before, Context()
    )
    for name, encoding in after.weights.items():
        pruned = name.startswith("encoder") and name.endswith(".weight") and ".ffn." not in name
        assert isinstance(encoding, Sparse) == (pruned and len(encoding.shape) == 2)
    step = after.history[-1]
    assert step.stage == "prune"
    assert step.options["sparsity"] == 0.25
    assert set(step.summary["skipped"].values()) == {"vector"}


def test_the_given_artifact_is_untouched():
    before = models.artifact()
    apply(Prune(0.5), before, Context())
    assert all(isinstance(w, Dense) for w in before.weights.values())
    assert before.history == ()


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, float("nan")])
def test_sparsity_outside_its_range(sparsity):
    with pytest.raises(StageError, match=r"sparsity in \[0, 1\)"):
        Prune(sparsity)


def test_pattern_without_a_match():
    with pytest.raises(StageError, match=r"got none for 'nothing\.\*'"):
        apply(Prune(0.5, targets=("*.weight", "nothing.*")), models.artifact(), Context())


def test_pattern_that_matches_vectors_only():
    with pytest.raises(StageError, match="only vectors"):
        apply(Prune(0.5, targets=("*.bias",)), models.artifact(), Context())


def test_quantized_weights_cannot_be_pruned():
    quantized = apply(Quantize(), models.artifact(embed_dim=64, ffn_dim=64), Context())
    with pytest.raises(StageError, match="prune before quantize"):
        apply(Prune(0.5), quantized, Context())


def test_pruning_again_keeps_the_zeros_of_before():
    once = apply(Prune(0.5), models.artifact(), Context())
    twice = apply(Prune(0.2), once, Context())
    assert twice.nbytes(embeddings=True) == once.nbytes(embeddings=True)
    thrice = apply(Prune(0.75), once, Context())
    for name, encoding in once.weights.items():
        if isinstance(encoding, Sparse):
            assert not (thrice.weights[name].mask & ~encoding.mask).any()
