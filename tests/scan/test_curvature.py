"""Gradient and Fisher information against differences and against a plain sum over sentences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from litecompress.evaluate.job import Corpus
from litecompress.model.build import from_weights
from litecompress.model.config import EOS_ID
from litecompress.scan.text import read_text
from litecompress.train.curvature import Curvature, curvatures
from tests import models
from tests.evaluate.test_running_text import BANDS, language_model
from tests.scan.conftest import silent

NAMES = ("embedding.weight", "encoder.0.ffn.fc1.weight", "decoder.1.cross_attention.key.weight")


@pytest.fixture(scope="module")
def subject(folder):
    artifact = models.artifact()
    network = from_weights(artifact.config, artifact.decode())
    return network, read_text(Corpus(pairs=folder / "pairs.tsv"), artifact)


def test_squared_gradients_are_summed_over_sentences(subject):
    network, text = subject
    found = curvatures(network, text.examples(), NAMES, silent)
    weights = dict(network.named_parameters())
    squares, tokens = dict.fromkeys(NAMES, 0.0), 0
    for source, target in zip(text.samples.source_ids, text.samples.reference_ids):
        logits = network(torch.tensor([source]), torch.tensor([[EOS_ID, *target[:-1]]]))
        loss = cross_entropy(logits[0], torch.tensor(target), reduction="sum")
        tokens += len(target)
        for name, gradient in zip(NAMES, torch.autograd.grad(loss, [weights[n] for n in NAMES])):
            squares[name] = squares[name] + gradient.numpy() ** 2
    for name in NAMES:
        expected = squares[name] / tokens
        np.testing.assert_allclose(found[name].fisher, expected, rtol=1e-3, atol=1e-9)


def check_slope(network, text, name):
    """The first order against a central difference of the loss, uphill so that it is no noise."""
    found = curvatures(network, text.examples(), [name], silent)[name]
    parameter = dict(network.named_parameters())[name]
    size = 1e-4 * np.random.default_rng(0).random(parameter.shape, np.float32)
    step = size * np.sign(found.gradient)
    losses = []
    for sign in (1, -1):
        with torch.no_grad():
            parameter.add_(torch.from_numpy(sign * step))
            nats, tokens = text.nll(network).sum(axis=0)
            parameter.sub_(torch.from_numpy(sign * step))
        losses.append(nats / tokens)
    first, second = found.orders(step)
    assert first == pytest.approx((losses[0] - losses[1]) / 2, rel=0.01)
    assert second > 0


@pytest.mark.parametrize("name", NAMES)
def test_the_first_order_is_the_slope_of_the_loss(subject, name):
    check_slope(*subject, name)


@pytest.mark.parametrize("changes", [{}, BANDS], ids=["plain", "adaptive"])
def test_a_language_model_has_both_orders(folder, changes):
    """On text shorter than a block and a window, so that both see the same."""
    from litecompress.artifact import Artifact
    from litecompress.checkpoint import Checkpoint

    network = language_model(**changes)
    weights = {name: w.numpy() for name, w in network.state_dict().items()}
    checkpoint = Checkpoint(network.config, weights, models.tokenizer().data)
    (folder / "text").write_text("a man rides a horse\ntwo dogs")
    text = read_text(Corpus(text=folder / "text"), Artifact.from_checkpoint(checkpoint))
    check_slope(network, text, "decoder.0.ffn.fc1.weight")


def test_orders_are_linear_and_quadratic():
    rng = np.random.default_rng(0)
    gradient, fisher, change = (rng.normal(size=(5, 7)).astype(np.float32) for _ in range(3))
    curvature = Curvature(gradient, fisher**2)
    first, second = curvature.orders(change)
    assert first == pytest.approx((gradient * change).sum(), rel=1e-5)
    assert second == pytest.approx((fisher**2 * change**2).sum() / 2, rel=1e-5)
    assert curvature.orders(2 * change) == pytest.approx((2 * first, 4 * second), rel=1e-6)
