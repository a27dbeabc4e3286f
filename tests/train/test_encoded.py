"""Trainable encodings: what they decode to, what trains, what stays, and what comes back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from litecompress.encoding import Affine, Bands, Dense, Palette, Sparse, symmetric_int8
from litecompress.entropy import encode
from litecompress.stages.quantize import palettized
from litecompress.stages.rdo import rounded
from litecompress.train.encoded import TrainablePalette, trainable

RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(size=(12, 10)).astype(np.float32)
MASK = np.abs(WEIGHT) > 0.5
GROUPS = Affine(
    np.clip(np.rint(WEIGHT / 0.3), -8, 7).astype(np.int8),
    np.full((12, 4), 0.3, np.float16),
    np.zeros((12, 4), np.int8),
    num_bits=4,
    group_size=3,
)
KINDS = {
    "dense": Dense(WEIGHT),
    "half": Dense(WEIGHT.astype(np.float16)),
    "sparse": Sparse(MASK, Dense(WEIGHT[MASK])),
    "palette": palettized(WEIGHT, 8, 3),
    "sparse palette": Sparse(MASK, palettized(WEIGHT[MASK], 7, 3)),
    "affine": symmetric_int8(WEIGHT),
    "grouped affine": GROUPS,
    "bands": Bands(
        (np.arange(12) % 2).astype(np.uint8),
        (
            palettized(WEIGHT[::2], 4, 2),
            Sparse(MASK[1::2], palettized(WEIGHT[1::2][MASK[1::2]], 7, 3)),
        ),
    ),
}


def assert_encodes_the_same(one, other):
    assert type(one) is type(other)
    np.testing.assert_array_equal(one.decode(), other.decode())
    assert one.nbytes == other.nbytes


@pytest.mark.parametrize("assignment", ["fixed", "nearest", "entropy"])
@pytest.mark.parametrize("kind", KINDS)
def test_untrained_it_is_what_was_stored(kind, assignment):
    encoding = KINDS[kind]
    module = trainable(encoding, assignment)
    weight = module().detach().numpy()
    np.testing.assert_allclose(weight, encoding.decode(), atol=1e-6)
    assert_encodes_the_same(module.encoding(), encoding)


@pytest.mark.parametrize("assignment", ["fixed", "nearest", "entropy"])
@pytest.mark.parametrize("kind", KINDS)
def test_training_reaches_for_a_target_and_zeros_stay(kind, assignment):
    encoding = KINDS[kind]
    module = trainable(encoding, assignment, WEIGHT)
    target = torch.from_numpy(WEIGHT + 0.2)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)

    def loss():
        return (module() - target).square().sum()

    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        losses.append(loss())
        losses[-1].backward()
        optimizer.step()
    assert min(losses[1:]) < losses[0]
    after = module.encoding()
    np.testing.assert_allclose(after.decode(), module().detach().numpy(), rtol=2e-3, atol=2e-3)
    if isinstance(encoding, Sparse):
        np.testing.assert_array_equal(after.mask, encoding.mask)
    if isinstance(encoding, Palette):
        assert len(after.codebook) <= len(encoding.codebook)
        moved = not np.array_equal(after.indices, encoding.indices)
        assert moved == (assignment != "fixed")


def test_a_centroids_gradient_is_the_sum_over_its_weights():
    palette = palettized(WEIGHT, 8, 3)
    module = TrainablePalette(palette, None, "fixed")
    gradient = torch.from_numpy(RNG.normal(size=WEIGHT.shape).astype(np.float32))
    module().backward(gradient)
    expected = [gradient[torch.from_numpy(palette.indices == i)].sum() for i in range(8)]
    torch.testing.assert_close(module.centroids.grad, torch.stack(expected))


def test_nearest_follows_values_that_cross_between_centroids():
    palette = Palette(np.array([[0, 1]], np.uint8), np.array([-1, 1], np.float16), 1)
    module = TrainablePalette(palette, None, "nearest", np.array([[-0.2, 0.3]], np.float32))
    with torch.no_grad():
        module.latent += 0.25
    assert module().tolist() == [[1.0, 1.0]]
    assert module.encoding().indices.tolist() == [[1, 1]]


def test_with_entropy_a_grid_stays_as_coarse_and_its_points_as_rare():
    """The loss alone would shrink the scale, and with it the file's advantage."""
    values = RNG.laplace(size=(40, 50)).astype(np.float32)
    found = rounded(values, np.ones_like(values), 1e-2)
    affine = Affine(found.values, np.array([found.step]), np.zeros(1, np.int8))
    target = torch.from_numpy(values)
    bits = {}
    for assignment in ("nearest", "entropy"):
        module = trainable(affine, assignment, values)
        optimizer = torch.optim.Adam(module.parameters(), 0.02)
        for _ in range(200):
            optimizer.zero_grad()
            ((module() - target) ** 2).sum().backward()
            optimizer.step()
        trained = module.encoding()
        bits[assignment] = len(encode(trained.values.astype(np.int16).astype(np.uint8)))
        if assignment == "entropy":
            np.testing.assert_array_equal(trained.scale, affine.scale)
    before = len(encode(affine.values.astype(np.int16).astype(np.uint8)))
    assert bits["nearest"] > 1.5 * before
    assert bits["entropy"] < 1.1 * before
