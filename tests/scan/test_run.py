"""A scan against measurements made the long way round; what it keeps, and when it begins anew."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from litecompress.artifact import Artifact
from litecompress.artifact_file import load_model, save_artifact
from litecompress.checkpoint import save_checkpoint
from litecompress.errors import InputError, StageError
from litecompress.evaluate.corpus import Samples
from litecompress.evaluate.job import Corpus
from litecompress.evaluate.likelihood import token_nll
from litecompress.evaluate.text_metrics import bleu
from litecompress.model.build import from_weights
from litecompress.runtime.search import SearchConfig
from litecompress.scan import run as module
from litecompress.scan.probe import LossProbe
from litecompress.scan.result import read_scan
from litecompress.scan.run import scan
from litecompress.scan.settings import Setting
from litecompress.scan.text import read_text
from litecompress.stages import Context, Prune, Quantize, apply
from tests import models
from tests.evaluate.test_command import language_model
from tests.scan.conftest import FEW, GRID, REFERENCES, silent

NAME = "decoder.0.ffn.fc1.weight"


def samples(artifact):
    return Samples.of(models.LINES, REFERENCES, artifact.tokenizers().source, 1024)


def nll(artifact):
    return token_nll(from_weights(artifact.config, artifact.decode()), samples(artifact))


@pytest.mark.parametrize(
    "stage", [Prune(0.9, targets=(NAME,)), Quantize(num_bits=1, targets=(NAME,))]
)
def test_a_loss_is_what_a_model_with_that_one_tensor_changed_has_more(folder, scanned, stage):
    artifact = load_model(folder / "model")
    tensor = next(t for t in scanned[0].tensors if t.name == NAME)
    cost = tensor.cost(Setting(getattr(stage, "sparsity", 0.0), getattr(stage, "num_bits", 0)))
    expected = nll(apply(stage, artifact, Context())) - nll(artifact)
    assert expected != 0
    assert cost.loss == pytest.approx(expected, abs=1e-6)
    assert scanned[0].loss == pytest.approx(nll(artifact))


def test_the_standard_error_is_that_of_sentences_drawn_anew(folder, scanned):
    """Against a bootstrap of the paired differences."""
    artifact = load_model(folder / "model")
    changed = apply(Prune(0.9, targets=(NAME,)), artifact, Context())
    text = read_text(Corpus(pairs=folder / "pairs.tsv"), artifact)
    states = (artifact, changed)
    rows = [text.nll(from_weights(a.config, a.decode())) for a in states]
    rise, tokens = rows[1][:, 0] - rows[0][:, 0], rows[0][:, 1]
    draws = np.random.default_rng(0).integers(0, len(rise), (20000, len(rise)))
    drawn = rise[draws].sum(axis=1) / tokens[draws].sum(axis=1)
    tensor = next(t for t in scanned[0].tensors if t.name == NAME)
    assert tensor.cost(Setting(0.9)).stderr == pytest.approx(drawn.std(), rel=0.15)


def test_every_matrix_has_every_setting_and_the_file_says_the_same(scanned):
    found, output = scanned
    assert read_scan(output) == read_scan(output / "scan.json") == found
    for tensor in found.tensors:
        prunable = tensor.name.endswith(".weight")
        assert {c.setting for c in tensor.costs} == set(GRID.all(prunable=prunable))
        measured = {c.setting for c in tensor.costs if c.loss is not None}
        assert measured == set(GRID.alone(prunable=prunable))
        assert tensor.kept_bytes == 4 * tensor.size
    assert {t.name for t in found.tensors} | set(found.skipped) == set(models.artifact().weights)


def forbid_measuring(monkeypatch):
    def refuse(*arguments):
        raise AssertionError("measured again")

    monkeypatch.setattr(LossProbe, "run", refuse)
    monkeypatch.setattr(module, "curvatures", refuse)


def test_what_was_measured_is_not_measured_again(job, monkeypatch):
    first = scan(job(), silent)
    files = {p.name: p.read_bytes() for p in job().output.iterdir()}
    assert set(files) == {"probes.jsonl", "scan.json", "scan.svg"}
    forbid_measuring(monkeypatch)
    assert scan(job(), silent) == first
    assert {p.name: p.read_bytes() for p in job().output.iterdir()} == files


def test_a_scan_that_was_killed_goes_on_where_it_was(job, monkeypatch):
    measured = []
    run = LossProbe.run

    def counted(probe, prober):
        if len(measured) == 7:
            raise KeyboardInterrupt
        measured.append(probe)
        return run(probe, prober)

    monkeypatch.setattr(LossProbe, "run", counted)
    with pytest.raises(KeyboardInterrupt):
        scan(job(), silent)
    assert not (job().output / "scan.json").exists()
    monkeypatch.setattr(LossProbe, "run", lambda p, q: measured.append(p) or run(p, q))
    found = scan(job(), silent)
    losses = [c.loss for t in found.tensors for c in t.costs if c.loss is not None]
    assert len(measured) == len(set(measured)) == len(losses)
    again = scan(replace(job(), output=job().output.with_name("again")), silent)
    assert again == found


@pytest.mark.parametrize("changes", ["text", "model", "quantize"])
def test_another_text_model_or_method_is_measured_for_itself(folder, job, changes, monkeypatch):
    scan(job(), silent)
    other = {
        "text": {"corpus": Corpus(pairs=folder / "pairs.tsv", limit=3)},
        "model": {"model": folder / "other"},
        "quantize": {"grid": replace(FEW, quantize={"method": "kmeans"})},
    }[changes]
    forbid_measuring(monkeypatch)
    with pytest.raises(AssertionError, match="measured again"):
        scan(job(**other), silent)


def test_the_same_model_elsewhere_is_known(folder, job, tmp_path, monkeypatch):
    scan(job(), silent)
    save_artifact(load_model(folder / "model"), tmp_path / "same.litec")
    forbid_measuring(monkeypatch)
    scan(job(model=tmp_path / "same.litec"), silent)


def test_more_settings_cost_only_what_is_new(job, monkeypatch):
    scan(job(), silent)
    measured = []
    run = LossProbe.run
    monkeypatch.setattr(LossProbe, "run", lambda p, q: measured.append(p) or run(p, q))
    scan(job(grid=replace(FEW, num_bits=(1, 2, 3, 4))), silent)
    assert {p.setting for p in measured} == {Setting(num_bits=3)}


def test_two_processes_find_what_one_does(job):
    alone = scan(job(), silent)
    told = []
    two = job(jobs=2, output=job().output.with_name("two"))
    together = scan(two, lambda *said: told.append(said))
    assert together == alone
    number = sum(c.loss is not None for t in alone.tensors for c in t.costs)
    assert told[-1] == ("losses", number, number)


def test_a_fast_scan_measures_no_setting(job, monkeypatch):
    monkeypatch.setattr(LossProbe, "run", None)
    found = scan(job(fast=True), silent)
    assert not found.measured
    assert all(c.second_order >= 0 for t in found.tensors for c in t.costs)


def test_the_metric_is_that_of_greedy_decoding(folder, job):
    pytest.importorskip("sacrebleu")
    grid = replace(GRID, targets=(NAME,))
    at = Setting(0.9, 2)
    found = scan(job(grid=grid, fast=True, metric="chrf", metric_at=(at,)), silent)
    assert [(s.tensor, s.setting) for s in found.metric.scores] == [(NAME, at)]
    default = scan(job(grid=grid, fast=True, metric="bleu"), silent)
    assert [s.setting for s in default.metric.scores] == [Setting(0.9), Setting(num_bits=1)]
    artifact = load_model(folder / "model")
    changed = apply(Quantize(num_bits=1, targets=(NAME,)), artifact, Context())
    scores = default.metric.score, default.metric.scores[1].score
    for state, score in zip((artifact, changed), scores):
        assert score == pytest.approx(bleu(translated(state), REFERENCES).score)


def translated(artifact: Artifact) -> list[str]:
    from litecompress.evaluate.model import translations

    network = from_weights(artifact.config, artifact.decode())
    tokenizer = artifact.tokenizers().target
    return translations(network, samples(artifact), tokenizer, SearchConfig(beam=1))


def test_a_language_model_is_scanned_on_running_text(job, tmp_path):
    (tmp_path / "lm").mkdir()
    save_checkpoint(language_model(models.tokenizer()), tmp_path / "lm")
    (tmp_path / "text").write_text("\n".join(models.LINES))
    corpus = Corpus(text=tmp_path / "text")
    grid = replace(GRID, targets=("*.ffn.fc1.weight",))
    found = scan(job(model=tmp_path / "lm", corpus=corpus, grid=grid), silent)
    assert found.text.sentences == 4
    assert found.measured
    with pytest.raises(InputError, match="has no metric but its loss"):
        scan(job(model=tmp_path / "lm", corpus=corpus, grid=grid, metric="bleu"), silent)
    with pytest.raises(InputError, match="text of language-model as --text"):
        scan(job(model=tmp_path / "lm", grid=grid), silent)


def test_a_folder_with_other_files_is_left_alone(folder, job, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(InputError, match="use --force to replace it"):
        scan(job(), silent)
    with pytest.raises(InputError, match="apart from the input"):
        scan(job(output=folder), silent)


def test_metrics_that_there_are_not_are_named(job):
    with pytest.raises(InputError, match="a metric of bleu, chrf, rouge1"):
        scan(job(metric="ter"), silent)
    with pytest.raises(InputError, match="--metric with --metric-at"):
        scan(job(metric_at=(Setting(0.5),)), silent)


def test_a_compressed_model_is_refused(job, tmp_path):
    save_artifact(models.compressed(), tmp_path / "small.litec")
    with pytest.raises(StageError, match="scan the uncompressed model"):
        scan(job(model=tmp_path / "small.litec"), silent)


def test_damaged_lines_are_told_of_and_measured_anew(job):
    first = scan(job(), silent)
    path = job().output / "probes.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0][:50], *lines[1:]]))
    told = []
    assert scan(job(), lambda *said: told.append(said)) == first
    assert ("damaged lines, to be measured anew", 1, 1) in told
    assert json.loads(path.read_text().splitlines()[-1])["key"] == json.loads(lines[0])["key"]
