"""Recovery: a compressed model gains by training, keeps its form, and resumes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import yaml
from accelerate.state import AcceleratorState

from litecompress.artifact import Artifact
from litecompress.encoding import Dense, Palette, Sparse, sparsity
from litecompress.errors import CheckpointError, StageError, TrainingError
from litecompress.recipe import dump_recipe, parse_recipe
from litecompress.stages import Context, Prune, Quantize, Recover, apply
from litecompress.train.gradual import Gradual
from litecompress.train.loop import Trainer
from litecompress.train.recipe import TrainRecipe, recipe_values
from litecompress.train.schedule import InverseSqrt
from tests.corpora import own_accelerator, parallel_text  # noqa: F401

MODEL = {"embed_dim": 32, "encoder_kernel_sizes": (3,), "decoder_kernel_sizes": (3,)}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return parallel_text(tmp_path_factory.mktemp("text"), 6)


@pytest.fixture(scope="module")
def training(text):
    schedule = InverseSqrt("inverse_sqrt", 3e-3, 5)
    return TrainRecipe(
        text, 30, 10, schedule, vocab_size=120, max_tokens=128, average=1, device="cpu"
    )


@pytest.fixture(scope="module")
def parent(training, tmp_path_factory):
    recipe = replace(training, model=MODEL, updates=150, interval=50)
    trained = Trainer(recipe, tmp_path_factory.mktemp("parent") / "run", quiet=True).run()
    AcceleratorState._reset_state(reset_partial_state=True)
    return Artifact.from_checkpoint(trained)


@pytest.fixture(scope="module")
def compressed(parent):
    pruned = apply(Prune(0.5, targets=("*.ffn.*.weight",)), parent, Context())
    return apply(Quantize(num_bits=2), pruned, Context())


@pytest.mark.parametrize("options", [{"assignment": "fixed"}, {}, {"distillation": 0.7}], ids=str)
def test_training_wins_back_what_compression_lost(parent, compressed, training, options):
    after = apply(Recover(training, **options), compressed, Context(parent=parent))
    summary = after.history[-1].summary
    assert summary["valid_nll"] < summary["valid_nll_at_start"] - 0.05
    for name, encoding in after.weights.items():
        before = compressed.weights[name]
        assert type(encoding) is type(before)
        if isinstance(before, Sparse):
            np.testing.assert_array_equal(encoding.mask, before.mask)
            assert sparsity(encoding) == sparsity(before)
        if isinstance(before, Palette):
            assert len(encoding.codebook) <= 4
    assert after.nbytes(embeddings=True) <= compressed.nbytes(embeddings=True)


def test_gradual_pruning_reaches_its_sparsity_and_loses_less(parent, training, tmp_path):
    rule = Gradual(0.6, 15, every=5, targets=("*.ffn.*.weight",))
    assert [rule.sparsity_at(u) for u in (1, 16, 99)] == [0, 0.6, 0.6]
    at_once = apply(Prune(0.6, targets=rule.targets), parent, Context())
    quick = replace(training, average=2)
    start = apply(Recover(quick), at_once, Context(parent=parent)).history[-1].summary
    whole = apply(Recover(quick, gradual=rule), parent, Context(parent=parent))
    assert whole.history[-1].summary["valid_nll"] < start["valid_nll_at_start"]
    for name, encoding in whole.weights.items():
        if ".ffn." in name and name.endswith(".weight"):
            assert sparsity(encoding) == pytest.approx(0.6, abs=1e-3)
        else:
            assert isinstance(encoding, Dense)
    folder = str(tmp_path / "run")
    for updates in (10, 30):
        job = Recover(replace(quick, updates=updates), gradual=rule, folder=folder)
        parts = apply(job, parent, Context(parent=parent))
    for name, weight in whole.decode().items():
        np.testing.assert_array_equal(weight, parts.decode()[name], err_msg=name)


def test_it_resumes_and_ends_the_same(parent, compressed, training, tmp_path):
    whole = apply(Recover(training), compressed, Context(parent=parent))
    half = replace(training, updates=20)
    folder = str(tmp_path / "run")
    apply(Recover(half, folder=folder), compressed, Context(parent=parent))
    parts = apply(Recover(training, folder=folder), compressed, Context(parent=parent))
    for name, weight in whole.decode().items():
        np.testing.assert_array_equal(weight, parts.decode()[name], err_msg=name)


def test_dropout_is_for_the_recovery_alone(parent, compressed, training):
    quiet = Recover(replace(training, model={"dropout": 0.0}))
    wild = Recover(replace(training, model={"dropout": 0.5}))
    found = [apply(stage, compressed, Context(parent=parent)) for stage in (quiet, wild)]
    assert found[0].config == found[1].config == compressed.config
    losses = [one.history[-1].summary["valid_nll"] for one in found]
    assert losses[0] < losses[1]
    with pytest.raises(CheckpointError, match=r"dropout must be in \[0, 1\), got 2"):
        apply(Recover(replace(training, model={"dropout": 2})), compressed, Context(parent=parent))


def test_what_cannot_recover(parent, compressed, training):
    with pytest.raises(StageError, match="an uncompressed parent to learn from"):
        apply(Recover(training, distillation=0.5), compressed, Context())
    with pytest.raises(StageError, match=r"share in \[0, 1\], got 2"):
        Recover(training, distillation=2)
    with pytest.raises(StageError, match=r"says nothing but dropout.*, got embed_dim"):
        Recover(replace(training, model=MODEL))
    with pytest.raises(StageError, match="got init"):
        Recover(replace(training, init="elsewhere"))
    wild = replace(training, schedule=InverseSqrt("inverse_sqrt", 1e30, 1, 1e30))
    with pytest.raises(TrainingError, match="loss is"):
        apply(Recover(wild), compressed, Context(parent=parent))


def test_a_recipe_holds_it_and_reads_back(training):
    values = {
        "model": "m",
        "checks": {"samples": "s"},
        "exports": [],
        "stages": [{"stage": "recover", "training": recipe_values(training), "distillation": 0.5}],
    }
    recipe = parse_recipe(values)
    assert recipe.stages == (Recover(training, distillation=0.5),)
    assert parse_recipe(yaml.safe_load(dump_recipe(recipe))) == recipe
