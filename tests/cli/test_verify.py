"""`verify` and `explain` as a user holds them."""

from __future__ import annotations

import json
import shutil
import sys

import pytest

from tests.command import run_command
from tests.verify import packages


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return packages.made(tmp_path_factory.mktemp("made"), storage="int8")


@pytest.fixture
def call(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", None)
    return lambda *words: run_command(monkeypatch, capsys, *words)


def verify(folder, *options):
    return ("verify", folder / "package", "--longest", 16, "--count", 5, "--beam", 2, *options)


def test_every_kind_of_check_is_there_with_its_level(call, folder):
    code, out, err = call(*verify(folder, "--against", folder / "model.litec", "--json"))
    assert code == 0
    values = json.loads(out)
    assert values["schema_version"] == 1
    assert (values["target"], values["precision"], values["passed"]) == ("onnx", "int8", True)
    levels = {check["check"]: check["level"] for check in values["checks"]}
    executed = ("logits", "forced", "decode", "bleu", "padding", "batch")
    assert levels == {"structure": "structural", **dict.fromkeys(executed, "executed")}
    lengths = [c["case"] for c in values["checks"] if c["check"] == "logits"]
    assert lengths == [f"length {n}" for n in (1, 2, 4, 8, 15, 16)]
    assert "- decode" in err


def test_a_table_without_progress(call, folder):
    code, out, err = call(*verify(folder, "--against", folder / "model.litec", "-q"))
    assert (code, err) == (0, "")
    assert "length 16" in out
    assert "BLEU is judged from 200 on" in out


def test_without_a_model_the_package_is_held_against_itself(call, folder):
    code, out, _ = call(*verify(folder, "--sentences", folder / "samples.tsv", "--json"))
    assert code == 0
    assert {c["check"] for c in json.loads(out)["checks"]} == {"structure", "padding", "batch"}


def test_files_alone_need_no_runtime(call, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "litecompress.runtime.ort", raising=False)
    code, out, _ = call(*verify(folder, "-m", folder / "model.litec", "--structural", "--json"))
    assert code == 0
    (check,) = json.loads(out)["checks"]
    assert (check["level"], check["weights_missing"], check["passed"]) == ("structural", 0, True)


def test_a_runtime_that_is_not_installed_is_exit_code_3(call, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for module in ("ort", "ort_buffers"):
        monkeypatch.delitem(sys.modules, f"litecompress.runtime.{module}", raising=False)
    code, out, err = call(*verify(folder, "-m", folder / "model.litec", "-q"))
    assert (code, out) == (3, "")
    assert "got none installed; run: pip install 'litecompress[" in err


def test_a_wrong_weight_is_exit_code_1_and_named(call, folder, tmp_path):
    def change(values):
        values[:200] = 255 - values[:200]

    packages.corrupted(folder / "package", tmp_path / "package", "decoder.1.ffn.fc2.weight", change)
    code, out, err = call(*verify(tmp_path, "-m", folder / "model.litec", "--json"))
    assert code == 1
    values = json.loads(out)
    assert values["located"]["layer"] == "decoder.1"
    assert values["located"]["place"] == "decoder.1.ffn.fc2"
    assert "departs at decoder.1: the output of decoder.1.ffn.fc2 is the first" in err
    assert "parity FAILED" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-m", "{folder}/model.litec", "--count", 999], "expected 999 sentences"),
        (["-m", "{folder}/model.litec", "--longest", 5000], "--longest of at most"),
        (["-m", "{alone}/model.litec"], "no samples.tsv beside"),
        ([], "give a file by --sentences"),
        (["--isa", "riscv64"], "expected --isa aarch64"),
        (["--cpu", "cortex-a53"], "expected --isa aarch64 beside"),
        (["--isa", "aarch64", "--cpu", "m4"], "expected a core of cortex-a53"),
        (["-m", "{folder}/package"], "expected"),
    ],
)
def test_bad_input_is_one_line(call, folder, tmp_path, options, message):
    shutil.copy(folder / "model.litec", tmp_path)
    options = [str(o).format(folder=folder, alone=tmp_path) for o in options]
    code, out, err = call("verify", folder / "package", "-q", *options)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_emulation_without_a_system_is_exit_code_3(call, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("LITECOMPRESS_ARM_ROOT", str(tmp_path / "none"))
    code, _, err = call(*verify(folder, "--isa", "aarch64", "-q"))
    assert code == 3
    assert "run: make setup-arm" in err


@pytest.mark.parametrize("verb", ["verify", "explain"])
def test_a_package_that_is_not_its_manifests_is_refused(call, folder, tmp_path, verb):
    shutil.copytree(folder / "package", tmp_path / "package")
    (tmp_path / "package" / "weights.bin").write_bytes(b"changed")
    code, _, err = call(verb, tmp_path / "package")
    assert code == 2
    assert "missing or changed: weights.bin" in err


def test_a_truncated_graph_is_refused(call, folder, tmp_path):
    shutil.copytree(folder / "package", tmp_path / "package")
    graph = tmp_path / "package" / "decoder.onnx"
    graph.write_bytes(graph.read_bytes()[:5000])
    packages.sign(tmp_path / "package")
    code, out, err = call(*verify(tmp_path, "-m", folder / "model.litec", "-q"))
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    code, out, err = call("explain", tmp_path / "package")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1


def test_explain_in_json_and_as_tables(call, folder):
    words = ("explain", folder / "package", "--tokens", 6, "--repeats", 2)
    code, out, _ = call(*words, "--json")
    assert code == 0
    values = json.loads(out)
    assert (values["schema_version"], values["level"]) == (1, "executed")
    assert sum(op["share"] for op in values["operators"]) == pytest.approx(1)
    code, out, _ = call(*words)
    assert code == 0
    for heading in ("kind", "component", "layer"):
        assert heading in out
