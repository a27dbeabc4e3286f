"""Magnitude pruning: exact sparsity, the smallest go, everything else stays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from litecompress.encoding import Dense, Sparse
from litecompress.errors import StageError
from litecompress.stages import Context, Prune, Quantize, apply
from litecompress.stages.prune import magnitude_pruned
from tests import models


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.floats(-100, 100, width=32),
    ),
    st.floats(0, 1, exclude_max=True),
)
def test_exact_sparsity_and_the_smallest_go(weight, sparsity):
    pruned = magnitude_pruned(weight, sparsity)
    assert np.count_nonzero(~pruned.mask) == int(sparsity * weight.size)
    gone, kept = np.abs(weight[~pruned.mask]), np.abs(weight[pruned.mask])
    assert gone.max(initial=0) <= kept.min(initial=np.inf)
    np.testing.assert_array_equal(pruned.decode()[pruned.mask], weight[pruned.mask])


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
