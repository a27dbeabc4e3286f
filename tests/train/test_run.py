"""Runs: they learn, resume to the same weights whatever stopped them, and refuse bad input."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from accelerate.state import AcceleratorState
from safetensors.numpy import load_file

from litecompress.checkpoint import load_checkpoint, save_checkpoint
from litecompress.cli import app
from litecompress.corpus import PairTable, PlainText
from litecompress.errors import CheckpointError, InputError, RecipeError, TrainingError
from litecompress.model.build import from_weights
from litecompress.train.loop import Trainer
from litecompress.train.recipe import load_train_recipe, recipe_values
from litecompress.train.schedule import InverseSqrt
from litecompress.train.state import RunFolder
from tests import models


def train(recipe, folder, **options):
    result = Trainer(recipe, folder, quiet=True, **options).run()
    save_checkpoint(result, folder)
    return result


def log(folder):
    return [json.loads(row) for row in (folder / "train-log.jsonl").read_text().splitlines()]


def assert_same(one, other):
    one, other = (load_file(folder / "model.safetensors") for folder in (one, other))
    for name, weight in one.items():
        np.testing.assert_array_equal(weight, other[name], err_msg=name)


def test_a_run_learns_and_an_interrupted_one_ends_the_same(recipe, tmp_path):
    recipe = replace(recipe, merge_dropout=0.2)
    train(recipe, tmp_path / "whole")
    train(replace(recipe, updates=6), tmp_path / "parts")
    train(recipe, tmp_path / "parts")
    assert_same(tmp_path / "whole", tmp_path / "parts")
    rows = log(tmp_path / "whole")
    assert [row["update"] for row in rows] == [3, 6, 9, 12]
    assert rows[-1]["valid_nll"] < rows[0]["valid_nll"]
    assert [r["valid_nll"] for r in log(tmp_path / "parts")] == [r["valid_nll"] for r in rows]
    assert load_checkpoint(tmp_path / "whole").config.conv_padding == "masked"


def test_a_run_that_is_killed_at_any_moment_ends_the_same(recipe, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe_values(replace(recipe, updates=40, interval=5))))
    command = [sys.executable, "-m", "litecompress", "train", str(path), "-q", "-o"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole, killed = str(tmp_path / "whole"), str(tmp_path / "killed")
    subprocess.run([*command, whole], env=environment, check=True, capture_output=True)
    for updates in (5, 15):
        mark = tmp_path / "killed" / f"update-{updates:07d}.safetensors"
        with subprocess.Popen([*command, killed], env=environment) as process:
            while not mark.exists():
                assert process.poll() is None
                time.sleep(0.001)
            process.kill()
    subprocess.run([*command, killed], env=environment, check=True, capture_output=True)
    assert_same(tmp_path / "whole", tmp_path / "killed")


def test_the_result_is_the_mean_of_the_last_saved_weights(recipe, tmp_path):
    seen = {}
    keep = RunFolder.save

    def spy(self, progress, weights, *rest):
        seen[progress.update] = {name: w.clone() for name, w in weights.items()}
        keep(self, progress, weights, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "save", spy)
        result = train(recipe, tmp_path / "run")
    for name, weight in result.weights.items():
        np.testing.assert_allclose(weight, (seen[9][name] + seen[12][name]) / 2, atol=1e-7)
    assert len(list((tmp_path / "run").glob("update-*.safetensors"))) == 2


@pytest.mark.parametrize("optimizer", [{}, {"kind": "nag", "momentum": 0.9}])
def test_a_language_model_learns(recipe, tmp_path, optimizer):
    text = PlainText("text", recipe.data.folder, ("train.en", "train.de"), ("val.en",))
    model = {
        "embed_dim": 32,
        "encoder_kernel_sizes": (),
        "decoder_kernel_sizes": (3, 7),
        "normalize_before": True,
        "adaptive_cutoffs": (40, 80),
    }
    values = recipe_values(replace(recipe, data=text, model=model, max_length=16))
    path = tmp_path / "lm.yaml"
    path.write_text(yaml.safe_dump({**values, "optimizer": optimizer or values["optimizer"]}))
    result = train(load_train_recipe(path), tmp_path / "lm")
    rows = log(tmp_path / "lm")
    assert rows[-1]["valid_nll"] < rows[0]["valid_nll"]
    from_weights(result.config, result.weights)


def test_pairs_of_a_table_longer_than_the_limit(recipe, tmp_path):
    lines = [f"x\t{a}\t{b}" for a, b in zip(models.LINES, models.LINES[::-1], strict=True)]
    (tmp_path / "text" / "t.tsv").write_text("\n".join([*lines * 3, "x\t \tblank"]))
    table = PairTable("table", str(tmp_path / "text"), "t.tsv", "t.tsv", 2, 3)
    refusing = replace(recipe, data=table, max_length=10)
    with pytest.raises(InputError, match=r"column 2: .*sentence 13: .* an empty line|sentence 1: "):
        Trainer(refusing, tmp_path / "run", quiet=True)
    cutting = Trainer(replace(refusing, overlong="truncate"), tmp_path / "run", quiet=True)
    assert cutting.train.truncated > 0
    assert max(map(len, cutting.train.plain())) == 10
    dropping = Trainer(replace(refusing, overlong="drop"), tmp_path / "run", quiet=True)
    assert dropping.train.dropped == cutting.train.truncated
    assert len(dropping.train.plain()) == 12 - dropping.train.dropped
    with pytest.raises(InputError, match="columns 2 and 4 in every line, got 13 without"):
        replace(table, target_column=4).read("train")


def test_early_stopping_waits_for_a_better_metric(recipe, tmp_path):
    scores = iter([1.0, 3.0, 2.0, 2.5, 9.0])
    patient = replace(recipe, updates=15, patience=2, metric="bleu")
    trainer = Trainer(patient, tmp_path / "run", quiet=True, score=lambda _: next(scores))
    trainer.run()
    assert trainer.progress.update == 12
    assert [row["bleu"] for row in log(tmp_path / "run")] == [1.0, 3.0, 2.0, 2.5]


def test_a_diverging_loss_stops_the_run_and_leaves_what_was_saved(recipe, tmp_path, monkeypatch):
    train(replace(recipe, updates=6), tmp_path / "run")
    before = load_file(tmp_path / "run" / "update-0000006.safetensors")
    monkeypatch.setattr(InverseSqrt, "rate", lambda *_: 1e38)
    with pytest.raises(TrainingError, match=r"loss is (nan|inf) at update \d+"):
        train(recipe, tmp_path / "run")
    _, after, _ = RunFolder(tmp_path / "run").load()
    for name, weight in before.items():
        np.testing.assert_array_equal(weight, after[name])


def test_a_full_disk_leaves_what_was_saved(recipe, tmp_path, monkeypatch):
    train(replace(recipe, updates=6), tmp_path / "run")

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(TrainingError, match=r"cannot be written \(No space left on device\)"):
            train(recipe, tmp_path / "run")
    assert not list((tmp_path / "run").glob("*.partial"))
    train(recipe, tmp_path / "whole")
    train(recipe, tmp_path / "run")
    assert_same(tmp_path / "run", tmp_path / "whole")


def test_nothing_is_left_of_a_run_that_cannot_begin(recipe, tmp_path):
    gone = replace(recipe, data=replace(recipe.data, folder=str(tmp_path / "gone")))
    narrow = replace(recipe, model={**recipe.model, "embed_dim": 30})
    for wrong, error, message in (
        (gone, InputError, "expected a text file"),
        (narrow, CheckpointError, "attention_heads must divide its 15 channels"),
        (replace(recipe, max_length=2), InputError, r"train\.en: sentence 1: expected at most 2"),
    ):
        with pytest.raises(error, match=message):
            Trainer(wrong, tmp_path / "run", quiet=True)
    (tmp_path / "text" / "val.de").write_text("one line")
    with pytest.raises(InputError, match=r"as many lines.*got 24 and 1"):
        Trainer(recipe, tmp_path / "run", quiet=True)
    (tmp_path / "text" / "val.de").write_bytes(b"good\nb\xe4d\n")
    with pytest.raises(InputError, match=r"expected UTF-8 text, got .* line 2"):
        Trainer(recipe, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_mixed_precision_trains_as_well(recipe, tmp_path):
    train(recipe, tmp_path / "float32")
    AcceleratorState._reset_state(reset_partial_state=True)
    train(replace(recipe, mixed_precision="bf16"), tmp_path / "bf16")
    last = [log(tmp_path / d)[-1]["valid_nll"] for d in ("float32", "bf16")]
    assert last[0] != last[1]
    assert last[0] == pytest.approx(last[1], abs=0.05)


def test_curves_for_tensorboard(recipe, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(recipe, tmp_path / "run", tensorboard=True)
    curves = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    curves.Reload()
    points = [(e.step, e.value) for e in curves.Scalars("valid_nll")]
    expected = [(row["update"], row["valid_nll"]) for row in log(tmp_path / "run")]
    assert points == [(step, pytest.approx(value, rel=1e-6)) for step, value in expected]


def test_the_command_stops_early_on_bleu(recipe, tmp_path, capsys):
    path = tmp_path / "recipe.yaml"
    patient = replace(recipe, metric="bleu", metric_sentences=4, patience=1, interval=2)
    path.write_text(yaml.safe_dump(recipe_values(patient)))
    app(["train", str(path), "-o", str(tmp_path / "run")], standalone_mode=False)
    rows = log(tmp_path / "run")
    best = max(row["bleu"] for row in rows[:-1])
    assert len(rows) < 6
    assert rows[-1]["bleu"] <= best
    shown = capsys.readouterr()
    assert f"{rows[-1]['update']} updates" in shown.out
    assert "24 pairs of" in shown.err


def test_only_a_folder_of_a_run_is_begun_in(recipe, tmp_path):
    run = tmp_path / "run"
    assert RunFolder(run).may_begin
    trainer = Trainer(recipe, run, quiet=True)
    trainer.folder.begin(recipe, trainer.subject.tokenizers.source.data)
    assert RunFolder(run).may_begin
    (run / "notes.txt").write_text("mine")
    assert not RunFolder(run).may_begin
    (run / "notes.txt").unlink()
    train(recipe, run)
    (run / "state.pt").unlink()
    assert not RunFolder(run).may_begin


def test_a_run_goes_on_with_its_own_recipe_only(recipe, tmp_path):
    run = tmp_path / "run"
    train(replace(recipe, updates=6), run)
    with pytest.raises(TrainingError, match="got another vocab_size, label_smoothing"):
        Trainer(replace(recipe, vocab_size=90, label_smoothing=0.2), run, quiet=True)
    with pytest.raises(TrainingError, match="at least the 6 updates"):
        Trainer(replace(recipe, updates=3), run, quiet=True)
    train(replace(recipe, updates=3, vocab_size=90), run, fresh=True)
    assert load_checkpoint(run).config.source_vocab_size == 90
    assert len(log(run)) == 1
    (run / "state.pt").write_bytes(b"not a state")
    with pytest.raises(TrainingError, match="expected the state of a run"):
        Trainer(replace(recipe, updates=6, vocab_size=90), run, quiet=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label_smoothing": 2.0}, "label_smoothing: expected at least 0 and below 1, got 2.0"),
        ({"updates": 0, "interval": 0}, "updates: expected at least 1, got 0; interval"),
        ({"clip_norm": float("nan")}, "clip_norm: expected at least 0, got nan"),
        ({"vocab_size": 3}, "vocab_size: expected room for 4 special tokens"),
    ],
)
def test_senseless_values_are_refused(recipe, change, message):
    with pytest.raises(RecipeError, match=message):
        replace(recipe, **change)


@pytest.mark.parametrize("path", sorted(Path(models.ROOT, "recipes").glob("train-*.yaml")))
def test_shipped_recipes_read_and_unknown_keys_do_not(path, tmp_path):
    recipe = load_train_recipe(path, updates=3)
    assert recipe.updates == 3
    if recipe.init is None:  # else the model is that of another recipe
        recipe.model_config(recipe.vocab_size)
    else:
        assert path.with_name(f"train-{Path(recipe.init).name}.yaml").is_file()
    bad = tmp_path / "bad.yaml"
    bad.write_text(path.read_text() + "\nmomentum: 0.9\n")
    with pytest.raises(RecipeError, match="got 'momentum'"):
        load_train_recipe(bad)
