"""A package with a shortlist as a user holds it: by default, on request, and damaged."""

from __future__ import annotations

import json

import numpy as np
import pytest

from litecompress import Translator
from litecompress.artifact import Artifact
from litecompress.artifact_file import load_model
from litecompress.errors import ExportError, InputError
from litecompress.export.onnx import OnnxExport
from litecompress.export.package import write_package
from litecompress.runtime import open as opening
from litecompress.runtime.ort import OnnxSession
from litecompress.runtime.ort_shortlist import OnnxShortlistSession
from litecompress.shortlist import Settings, Shortlist, save_shortlist
from litecompress.shortlist.learning import learn_from_text
from tests import models
from tests.command import run_command
from tests.runtime import trace
from tests.runtime.test_open import vouch

MODEL = trace.FOLDER / "model"
LANGUAGE_MODEL = {"encoder_kernel_sizes": (), "share_embeddings": True}
TEXTS = [source for source, _ in trace.PAIRS[:6]]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    artifact, path = load_model(MODEL), tmp_path_factory.mktemp("table") / "table.safetensors"
    sides = tuple(zip(*trace.PAIRS, strict=True))
    copies = artifact.target_tokenizer is None
    asked = Settings(targets=6, frequent=8)
    learnt = learn_from_text(sides, artifact.tokenizers(), asked, copies=copies)
    save_shortlist(learnt.shortlist, path)
    return path


@pytest.fixture
def package(table, tmp_path):
    write_package(OnnxExport("float32", shortlist=str(table)), load_model(MODEL), tmp_path / "p")
    return tmp_path / "p"


def test_a_package_with_a_shortlist_uses_it_unless_told_not_to(package):
    whole = Translator.load(trace.FOLDER / "onnx").translate(TEXTS, beam=3)
    translator = Translator.load(package)
    assert isinstance(translator.session, OnnxShortlistSession)
    without = translator.translate(TEXTS, beam=3, shortlist=False)
    assert [(t.text, t.tokens) for t in without] == [(t.text, t.tokens) for t in whole]
    assert translator.session.whole() is translator.session.whole()
    restricted = translator.translate(TEXTS, beam=3)
    assert restricted != without  # log-probabilities are of the candidates
    assert sum(a.text == b.text for a, b in zip(restricted, without)) >= 4
    unloaded = Translator.load(package, shortlist=False)
    assert isinstance(unloaded.session, OnnxSession)
    assert unloaded.translate(TEXTS, beam=3) == without


def test_the_whole_vocabulary_is_loaded_only_where_it_is_asked_for(package, monkeypatch):
    monkeypatch.setattr(opening, "open_package", lambda *_: pytest.fail("loaded"))
    assert Translator.load(package).translate(TEXTS)[0].text


def test_the_option_means_nothing_where_there_is_none():
    translator = Translator.load(trace.FOLDER / "onnx")
    assert translator.translate(TEXTS) == translator.translate(TEXTS, shortlist=False)


def test_export_unpack_and_translate_take_the_option(table, tmp_path, monkeypatch, capsys):
    def call(*words):
        return run_command(monkeypatch, capsys, *words)

    options = ("--storage", "int8", "--shortlist", table)
    assert call("export", "-m", MODEL, "-t", "onnx", "-o", tmp_path / "a", *options)[0] == 0
    assert call("unpack", MODEL, "-o", tmp_path / "b", *options)[0] == 0
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert "shortlist.safetensors" in names
    assert names == sorted(p.name for p in (tmp_path / "b").iterdir())
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    scores = [
        json.loads(call("translate", tmp_path / "a", TEXTS[0], "--json", *more)[1])["score"]
        for more in ((), ("--shortlist",), ("--no-shortlist",))
    ]
    assert scores[0] == scores[1] != scores[2]
    assert call("summarize", tmp_path / "a", TEXTS[0], "--no-shortlist")[0] == 0
    code, _, error = call("export", "-m", MODEL, "-t", "tflite", "-o", tmp_path / "c", *options)
    assert code == 2 and "shortlist" in error
    held = tmp_path / "a" / "shortlist.safetensors"
    again = ("-o", tmp_path / "a", "--force", "--shortlist", held)
    for words in (("export", "-m", MODEL, "-t", "onnx"), ("unpack", MODEL)):
        code, _, error = call(*words, *again)
        assert code == 2 and "expected an output apart from the input" in error


def test_what_does_not_fit_the_model_is_refused_before_anything_is_written(tmp_path):
    other = Shortlist(9, np.arange(4), np.zeros(9, int), np.zeros(0, int), copies=True)
    save_shortlist(other, tmp_path / "other")
    artifact = load_model(MODEL)
    cases = {
        tmp_path / "none": "expected a shortlist at .*none, got none",
        tmp_path / "other": "expected a shortlist of version 1 for .* learn one for this model",
        MODEL / "config.json": "cannot be read as a shortlist",
    }
    for path, message in cases.items():
        with pytest.raises(InputError, match=message):
            write_package(OnnxExport(shortlist=str(path)), artifact, tmp_path / "package")
    config = models.config(**LANGUAGE_MODEL)
    language = Artifact(config, {}, models.tokenizer().data)
    with pytest.raises(ExportError, match="got a language model, which has no source"):
        write_package(OnnxExport(shortlist="x"), language, tmp_path / "package")
    assert not (tmp_path / "package").exists()


@pytest.mark.parametrize("name", ["shortlist.safetensors", "shortlist_rows.onnx"])
def test_a_file_that_is_missing_or_changed_is_named(package, name):
    content = bytearray((package / name).read_bytes())
    content[len(content) // 2] ^= 1
    (package / name).write_bytes(content)
    with pytest.raises(InputError, match=f"files missing or changed: {name}; export again"):
        Translator.load(package)
    (package / name).unlink()
    with pytest.raises(InputError, match=f"files missing or changed: {name}"):
        Translator.load(package)


def test_files_that_the_manifest_vouches_for_are_not_trusted_either(package):
    path = package / "shortlist.safetensors"
    whole = path.read_bytes()
    other = Shortlist(9, np.arange(4), np.zeros(9, int), np.zeros(0, int), copies=True)
    save_shortlist(other, path)
    vouch(package)
    with pytest.raises(InputError, match="learn one for this model"):
        Translator.load(package)
    path.write_bytes(whole[:-3])
    vouch(package)
    with pytest.raises(InputError, match="cannot be read as a shortlist"):
        Translator.load(package)
    path.write_bytes(whole)
    decoder = (package / "shortlist_decoder.onnx").read_bytes()
    (package / "shortlist_decoder.onnx").write_bytes(decoder[: len(decoder) // 2])
    vouch(package)
    with pytest.raises(InputError, match="expected a package that its runtime loads"):
        Translator.load(package)
    assert Translator.load(package, shortlist=False).translate(TEXTS[:1])


def test_a_manifest_of_another_target_with_a_shortlist_is_refused(package):
    manifest = json.loads((package / "manifest.json").read_text())
    (package / "manifest.json").write_text(json.dumps({**manifest, "target": "tflite"}))
    with pytest.raises(InputError, match="expected a shortlist in a package for onnx, got one"):
        Translator.load(package)
