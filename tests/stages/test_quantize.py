"""Quantization by codebooks and grids: what survives it, what is skipped, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from litecompress.encoding import Affine, Dense, Palette, Sparse, sparsity
from litecompress.errors import StageError
from litecompress.stages import Context, Prune, Quantize, apply
from litecompress.stages.kmeans import kmeans, nearest
from litecompress.stages.quantize import palettized
from tests import models

vectors = hnp.arrays(np.float32, st.integers(1, 200), elements=st.floats(-10, 10, width=32))


@given(vectors, st.integers(1, 40))
def test_centroids_are_few_ascending_and_nearest_wins(values, clusters):
    centroids = kmeans(values, clusters)
    assert 1 <= len(centroids) <= clusters
    assert (np.diff(centroids) >= 0).all()
    distance = np.abs(values[:, None] - centroids)
    chosen = np.take_along_axis(distance, nearest(values, centroids)[:, None], 1)[:, 0]
    np.testing.assert_allclose(chosen, distance.min(axis=1), rtol=1e-6, atol=1e-6)


@given(vectors, st.integers(1, 8))
def test_a_palette_has_at_most_2_to_the_bits_centroids(values, bits):
    palette = palettized(values, 2**bits, bits)
    assert len(palette.codebook) <= 2**bits
    assert palette.codebook.dtype == np.float16


def test_zeros_survive_and_vectors_are_halves():
    before = apply(Prune(0.5), models.artifact(embed_dim=64, ffn_dim=64), Context())
    after = apply(Quantize(), before, Context())
    for name, encoding in after.weights.items():
        old = before.weights[name]
        if isinstance(old, Sparse):
            assert isinstance(encoding, Sparse)
            np.testing.assert_array_equal(encoding.mask, old.mask)
            assert (encoding.decode()[~old.mask] == 0).all()
        else:
            assert isinstance(encoding, Dense)
            assert encoding.values.dtype == np.float16


def test_a_pruned_tensor_leaves_one_code_to_zero():
    after = models.compressed(embed_dim=128, ffn_dim=128)
    palettes = [w.values for w in after.weights.values() if isinstance(w, Sparse)]
    palettes = [p for p in palettes if isinstance(p, Palette)]
    assert palettes
    assert max(len(p.codebook) for p in palettes) <= 255


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(
    "grain", [{}, {"granularity": "per_tensor"}, {"granularity": "per_group", "group_size": 16}]
)
def test_grids_keep_zeros_and_cost_what_they_say(symmetric, grain):
    before = apply(Prune(0.5), models.artifact(embed_dim=64, ffn_dim=64), Context())
    stage = Quantize("affine", num_bits=4, symmetric=symmetric, **grain)
    after = apply(stage, before, Context())
    for name, encoding in after.weights.items():
        old = before.weights[name]
        if name in after.history[-1].summary["skipped"]:
            continue
        assert isinstance(encoding, Affine)
        assert sparsity(encoding) >= sparsity(old)
        assert (encoding.decode()[old.decode() == 0] == 0).all()
        scales = encoding.scale.size
        assert encoding.nbytes == -(-encoding.values.size // 2) + 3 * scales
    error = [np.square(after.decode()[n] - w).mean() for n, w in before.decode().items()]
    assert max(error) < 1e-2


def test_a_codebook_for_every_group_of_rows():
    before = apply(Prune(0.3), models.artifact(embed_dim=64, ffn_dim=64), Context())
    one = apply(Quantize(num_bits=3), before, Context())
    many = apply(Quantize(num_bits=3, granularity="per_group", group_size=24), before, Context())
    name = "encoder.0.ffn.fc1.weight"
    assert [p.shape for p in many.weights[name].parts] == [(22, 64), (21, 64), (21, 64)]
    weight = before.decode()[name]
    errors = [np.square(a.decode()[name] - weight).sum() for a in (one, many)]
    assert errors[1] < errors[0]
    assert sparsity(many.weights[name]) == pytest.approx(sparsity(before.weights[name]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"granularity": "per_group"}, "a group_size with granularity per_group"),
        ({"group_size": 4}, "a group_size with granularity per_group"),
        ({"granularity": "per_group", "group_size": 0}, "group_size of 1 or more"),
        ({"granularity": "per_channel"}, "kmeans per_tensor or per_group"),
        ({"method": "affine", "num_bits": 1}, "2 bits or more for a symmetric"),
    ],
)
def test_contradictory_options(options, message):
    with pytest.raises(StageError, match=message):
        Quantize(**options)


def test_what_is_skipped_is_listed_with_its_reason():
    summary = models.compressed().history[-1].summary
    assert set(summary["skipped"].values()) <= {
        "vector: half precision",
        "a codebook saves nothing: half precision",
    }
    assert summary["skipped"]["encoder.0.lsra_norm.bias"] == "vector: half precision"
    assert 0 < summary["quantized_byte_share"] < 1


@pytest.mark.parametrize("bits", [0, 9])
def test_bits_outside_their_range(bits):
    with pytest.raises(StageError, match="num_bits from 1 to 8"):
        Quantize(num_bits=bits)


def test_quantizing_twice_is_refused():
    with pytest.raises(StageError, match="quantized already"):
        apply(Quantize(), models.compressed(embed_dim=64, ffn_dim=64), Context())


def test_values_beyond_half_precision_are_refused():
    artifact = models.artifact()
    weights = dict(artifact.weights)
    weights["encoder.0.lsra_norm.bias"] = Dense(np.full(32, 1e6, np.float32))
    with pytest.raises(StageError, match="beyond half precision"):
        apply(Quantize(), type(artifact)(artifact.config, weights, b""), Context())
