"""Training: the loss against torch's own, batches, and a run that resumes exactly."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from litecompress.checkpoint import load_checkpoint
from litecompress.errors import CheckpointError, InputError, RecipeError, TrainingError
from litecompress.model.config import EOS_ID, PAD_ID
from litecompress.train.config import Architecture, ParallelText, TrainRecipe
from litecompress.train.data import batches
from litecompress.train.loop import Trainer, load_train_recipe
from litecompress.train.loss import smoothed_cross_entropy
from tests import models


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_gradient_equal_those_of_torch(smoothing):
    torch.manual_seed(0)
    target = torch.randint(0, 11, (7,))
    ours = torch.randn(7, 11, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    loss = smoothed_cross_entropy(ours, target, smoothing)
    expected = torch.nn.functional.cross_entropy(
        theirs, target, reduction="sum", label_smoothing=smoothing
    )
    (3 * loss).backward()
    (3 * expected).backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_batches_hold_every_pair_once_within_the_limit():
    rng = np.random.default_rng(0)
    pairs = [
        ([*rng.integers(4, 90, rng.integers(1, 30)).tolist(), EOS_ID], [i + 4, EOS_ID])
        for i in range(200)
    ]
    seen = []
    for batch in batches(pairs, 100, np.random.default_rng(1)):
        assert batch.source.numel() <= 100
        assert (batch.previous[:, 0] == EOS_ID).all()
        assert torch.equal(batch.previous[:, 1:], batch.target[:, :-1])
        assert ((batch.source != PAD_ID).sum(dim=1) > 0).all()
        seen += batch.target[:, 0].tolist()
    assert sorted(seen) == list(range(4, 204))


@pytest.fixture
def recipe(tmp_path):
    text = tmp_path / "text"
    text.mkdir()
    for split in ("train", "val"):
        (text / f"{split}.en").write_text("\n".join(models.LINES * 3))
        (text / f"{split}.de").write_text("\n".join(models.LINES[::-1] * 3))
    return TrainRecipe(
        data=ParallelText(str(text), "en", "de"),
        model=Architecture(32, (3, 7), (3, 7), dropout=0.1, weight_dropout=0.1),
        vocab_size=models.VOCABULARY,
        epochs=4,
        max_tokens=128,
        warmup_updates=4,
        average_epochs=2,
    )


def test_a_run_learns_and_an_interrupted_one_ends_the_same(recipe, tmp_path):
    Trainer(recipe, tmp_path / "whole", quiet=True).run()
    Trainer(replace(recipe, epochs=2), tmp_path / "parts", quiet=True).run()
    Trainer(recipe, tmp_path / "parts", quiet=True).run()
    whole, parts = (load_file(tmp_path / d / "model.safetensors") for d in ("whole", "parts"))
    for name, weight in whole.items():
        np.testing.assert_array_equal(weight, parts[name])
    rows = (tmp_path / "whole" / "train-log.jsonl").read_text().splitlines()
    losses = [json.loads(row)["valid_nll"] for row in rows]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    assert load_checkpoint(tmp_path / "whole").config.conv_padding == "masked"


def test_the_rate_warms_up_and_decays(recipe):
    assert recipe.rate(2) == pytest.approx(recipe.learning_rate / 2)
    assert recipe.rate(4) == pytest.approx(recipe.learning_rate)
    assert recipe.rate(16) == pytest.approx(recipe.learning_rate / 2)


def test_text_that_does_not_fit(recipe, tmp_path):
    (tmp_path / "text" / "val.de").write_text("one line")
    with pytest.raises(InputError, match=r"as many lines.*got 12 and 1"):
        Trainer(recipe, tmp_path / "run", quiet=True)
    gone = replace(recipe, data=replace(recipe.data, folder=str(tmp_path / "gone")))
    with pytest.raises(InputError, match="expected a text file"):
        Trainer(gone, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_nothing_is_left_of_a_run_that_cannot_begin(recipe, tmp_path):
    narrow = replace(recipe, model=replace(recipe.model, embed_dim=30))
    with pytest.raises(CheckpointError, match="multiple of 4 heads"):
        Trainer(narrow, tmp_path / "run", quiet=True)
    with pytest.raises(InputError, match=r"train\.en: sentence 1: expected at most 2 tokens"):
        Trainer(replace(recipe, max_length=2), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_run_goes_on_with_its_own_recipe_only(recipe, tmp_path):
    run = tmp_path / "run"
    Trainer(replace(recipe, epochs=2), run, quiet=True).run()
    with pytest.raises(TrainingError, match="got another vocab_size, label_smoothing"):
        Trainer(replace(recipe, vocab_size=90, label_smoothing=0.2), run, quiet=True)
    with pytest.raises(TrainingError, match="at least the 2 epochs"):
        Trainer(replace(recipe, epochs=1), run, quiet=True)
    Trainer(replace(recipe, epochs=1, vocab_size=90), run, quiet=True, fresh=True).run()
    assert load_checkpoint(run).config.source_vocab_size == 90
    assert len((run / "train-log.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"device": "tpu"}, "auto, cpu or cuda, got 'tpu'"),
        ({"learning_rate": float("nan")}, "learning_rate: nan"),
        ({"label_smoothing": 2.0}, "label_smoothing: 2.0"),
        ({"epochs": 0}, "epochs: 0"),
    ],
)
def test_senseless_values_are_refused(recipe, change, message):
    with pytest.raises(TrainingError, match=message):
        replace(recipe, **change)


def test_a_diverging_loss_stops_the_run(recipe, tmp_path):
    with pytest.raises(TrainingError, match="loss is nan at update"):
        Trainer(replace(recipe, learning_rate=1e30), tmp_path / "run", quiet=True).run()


def test_the_shipped_recipe_reads_and_unknown_keys_do_not(tmp_path):
    path = models.ROOT / "recipes" / "train-multi30k-en-de.yaml"
    assert load_train_recipe(path, epochs=3).epochs == 3
    bad = tmp_path / "bad.yaml"
    bad.write_text(path.read_text() + "\nmomentum: 0.9\n")
    with pytest.raises(RecipeError, match="got 'momentum'"):
        load_train_recipe(bad)
