"""R-Drop's loss against the paper's formula by torch's own functions."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div, linear

from litecompress.batches import Batch, pairs
from litecompress.corpus import ParallelText, PlainText
from litecompress.errors import RecipeError, StageError
from litecompress.stages import Recover
from litecompress.train import loss
from litecompress.train.consistency import consistent_cross_entropy
from litecompress.train.loss import table_cross_entropy
from litecompress.train.objective import Objective
from litecompress.train.recipe import TrainRecipe
from litecompress.train.schedule import InverseSqrt
from tests import models

WEIGHT = 5.0


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("slice_logits", [1, 60, 10**6])
def test_loss_and_gradients_are_half_the_papers(smoothing, slice_logits, monkeypatch):
    monkeypatch.setattr(loss, "SLICE_LOGITS", slice_logits)
    torch.manual_seed(0)
    target = torch.randint(0, 11, (7,))
    ours = [torch.randn(14, 5, requires_grad=True), torch.randn(11, 5, requires_grad=True)]
    theirs = [w.detach().clone().requires_grad_() for w in ours]
    found, nll = consistent_cross_entropy(*ours, target, smoothing, WEIGHT)
    logits = linear(*theirs)
    twice = target.repeat(2)
    log = logits.log_softmax(1).chunk(2)
    apart = sum(kl_div(a, b, reduction="sum", log_target=True) for a, b in (log, log[::-1]))
    expected = cross_entropy(logits, twice, reduction="sum", label_smoothing=smoothing)
    expected = (expected + WEIGHT * apart / 2) / 2
    (3 * found).backward()
    (3 * expected).backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(nll, cross_entropy(logits, twice, reduction="sum") / 2)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


def test_equal_passes_have_the_plain_loss():
    torch.manual_seed(0)
    features, table, target = torch.randn(7, 5), torch.randn(11, 5), torch.randint(0, 11, (7,))
    found = consistent_cross_entropy(features.repeat(2, 1), table, target, 0.1, WEIGHT)
    expected = table_cross_entropy(features, table, target, 0.1)
    torch.testing.assert_close(found, expected)


def objective(dropout: float, consistency: float) -> Objective:
    torch.manual_seed(0)
    return Objective(models.config(dropout=dropout), 0.1, consistency)


def test_a_model_sees_every_batch_twice_with_other_dropout():
    ids = [models.tokenizer().encode(line) for line in models.LINES]
    batch = Batch.of(pairs(ids, ids[::-1]))
    plain, _ = objective(0.0, 0.0)(batch)
    torch.testing.assert_close(objective(0.0, WEIGHT)(batch)[0], plain)
    dropped = objective(0.3, 1e-9)(batch)[0]
    assert objective(0.3, WEIGHT)(batch)[0] > dropped + 1e-3
    whole = objective(0.3, WEIGHT).eval()(batch)[0]
    torch.testing.assert_close(whole, plain)


def test_where_it_cannot_be(tmp_path):
    schedule = InverseSqrt("inverse_sqrt", 1e-3, 5)
    text = PlainText("text", str(tmp_path), ("a",), ("b",))
    model = {"embed_dim": 16, "ffn_dim": 16, "encoder_kernel_sizes": (), "adaptive_cutoffs": (20,)}
    recipe = TrainRecipe(
        text, 9, 3, schedule, {**model, "decoder_kernel_sizes": (3,)}, consistency=1.0
    )
    with pytest.raises(RecipeError, match="consistency: expected 0 for a model with adaptive"):
        recipe.model_config(60)
    pairs_of = ParallelText("parallel", str(tmp_path), "en", "de")
    with pytest.raises(StageError, match="training without consistency; use distillation"):
        Recover(TrainRecipe(pairs_of, 9, 3, schedule, consistency=1.0))
    with pytest.raises(RecipeError, match="consistency: expected at least 0, got -1"):
        TrainRecipe(pairs_of, 9, 3, schedule, consistency=-1)
