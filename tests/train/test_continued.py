"""Training on from a trained model: it begins where that ended, and resumes as any run does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from litecompress.checkpoint import load_checkpoint, save_checkpoint
from litecompress.errors import CheckpointError, RecipeError
from litecompress.train.loop import Trainer
from litecompress.train.schedule import InverseSqrt
from tests import models


@pytest.fixture
def first(recipe, tmp_path):
    save_checkpoint(Trainer(recipe, tmp_path / "first", quiet=True).run(), tmp_path / "first")
    return tmp_path / "first"


def continued(recipe, first, **changes):
    return replace(recipe, model={}, init=str(first), **changes)


def test_without_a_rate_it_is_the_model_that_it_began_from(recipe, first, tmp_path):
    still = continued(recipe, first, updates=2, schedule=InverseSqrt("inverse_sqrt", 1e-30, 1))
    found = Trainer(still, tmp_path / "still", quiet=True).run()
    before = load_checkpoint(first)
    assert found.tokenizer == before.tokenizer
    assert found.config == before.config
    for name, weight in before.weights.items():
        np.testing.assert_allclose(found.weights[name], weight, rtol=0, atol=1e-6)


def test_it_learns_more_with_other_dropout_and_resumes(recipe, first, tmp_path):
    more = continued(recipe, first, consistency=1.0, vocab_size=50)
    more = replace(more, model={"dropout": 0.3})
    whole = Trainer(more, tmp_path / "whole", quiet=True).run()
    Trainer(replace(more, updates=6), tmp_path / "parts", quiet=True).run()
    parts = Trainer(more, tmp_path / "parts", quiet=True).run()
    assert whole.config == replace(load_checkpoint(first).config, dropout=0.3)
    for name, weight in whole.weights.items():
        np.testing.assert_array_equal(parts.weights[name], weight)
    nlls = []
    for name, begun in (("a", replace(more, updates=3)), ("b", replace(recipe, updates=3))):
        trainer = Trainer(begun, tmp_path / name, quiet=True)
        nlls.append(trainer.engine.nll(trainer.valid))
    assert nlls[0] < nlls[1]


def test_two_tokenizers_go_along(recipe, tmp_path):
    before = models.checkpoint(share_embeddings=False)
    (tmp_path / "two").mkdir()
    save_checkpoint(replace(before, target_tokenizer=before.tokenizer), tmp_path / "two")
    found = Trainer(
        continued(recipe, tmp_path / "two", updates=1), tmp_path / "o", quiet=True
    ).run()
    assert found.target_tokenizer == before.tokenizer


def test_what_does_not_fit(recipe, first, tmp_path):
    wider = replace(continued(recipe, first), model={"embed_dim": 64})
    with pytest.raises(RecipeError, match=r"model: expected the architecture of .*first"):
        Trainer(wider, tmp_path / "o", quiet=True)
    with pytest.raises(CheckpointError, match="nowhere"):
        Trainer(continued(recipe, tmp_path / "nowhere"), tmp_path / "o", quiet=True)
