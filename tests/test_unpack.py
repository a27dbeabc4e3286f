"""`unpack`: the package that `export` writes, on an install without torch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from litecompress.artifact_file import save_artifact
from litecompress.checkpoint import save_checkpoint
from litecompress.export.onnx import OnnxExport
from litecompress.export.package import write_package
from litecompress.runtime.open import open_model
from litecompress.runtime.torch_session import TorchSession
from litecompress.stages import Context, Quantize, apply
from litecompress.verify import Reference, parity
from tests import models
from tests.command import run_command
from tests.small_install import blocked, run_commands

SENTENCE = "a man rides a horse ."
OPTIONS = {
    "default": {},
    "native": {"storage": "native"},
    "int4-custom": {"storage": "int4", "conv_branch": "custom"},
    "by block": {"storage": "int8", "activations": "per_block"},
}


@pytest.fixture(scope="module")
def model():
    return models.compressed("dynamic", embed_dim=64, ffn_dim=64)


@pytest.fixture(scope="module")
def artifact(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("artifact") / "small.litec"
    save_artifact(model, path)
    return path


@pytest.fixture
def call(monkeypatch, capsys):
    return lambda *words: run_command(monkeypatch, capsys, *words)


def words(options):
    return [w for k, v in options.items() for w in (f"--{k.replace('_', '-')}", v)]


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_it_writes_what_export_writes(call, artifact, model, tmp_path, options):
    code, out, err = call("unpack", artifact, "-o", tmp_path / "a", "--json", *words(options))
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["artifact_bytes"] == artifact.stat().st_size
    assert told["package_raw_bytes"] == sum(map(len, files(tmp_path / "a").values()))
    assert 0 < told["seconds"] < 60
    assert 10e6 < told["peak_rss_bytes"] < 10e9
    export = ["export", "-m", artifact, "-o", tmp_path / "b", "--target", "onnx"]
    assert call(*export, *words(options))[0] == 0
    write_package(OnnxExport(**options), model, tmp_path / "c")
    assert files(tmp_path / "a") == files(tmp_path / "b") == files(tmp_path / "c")


def test_a_native_package_is_the_model(call, artifact, model, tmp_path):
    assert call("unpack", artifact, "-o", tmp_path / "p", "--storage", "native")[0] == 0
    session, _ = open_model(tmp_path / "p")
    reference = Reference.of(TorchSession.of(model), [(5, 9, 2), (*range(4, 30), 2)], 16)
    row = parity(reference, session, "onnx", "executed", "", greedy=True)
    assert row.max_abs_err < 1e-4


def test_a_checkpoint_is_unpacked_too(call, tmp_path):
    save_checkpoint(models.checkpoint(), tmp_path)
    assert call("unpack", tmp_path, "-o", tmp_path.parent / "package", "--json")[0] == 0


def test_it_tells_in_words_too(call, artifact, tmp_path):
    code, out, _ = call("unpack", artifact, "-o", tmp_path / "p")
    assert code == 0
    assert {"seconds:", "peak rss bytes:"} <= {
        f"{line.split(':')[0]}:" for line in out.splitlines()
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{gone}", "-o", "{out}"], "no such file"),
        (["{truncated}", "-o", "{out}"], "truncated"),
        (["{artifact}", "-o", "{full}"], "use --force"),
        (["{artifact}", "-o", "{full}", "--force"], "an earlier output"),
        (["{artifact}", "-o", "{artifact}", "--force"], "apart from the input"),
        (["{artifact}", "-o", "{out}", "--storage", "int5"], "'native', 'int8', 'int4'"),
        (["{artifact}", "-o", "{out}", "--conv-branch", "x"], "'builtin' or 'custom'"),
        (["{artifact}", "-o", "{out}", "--activations", "x"], "'per_tensor' or 'per_block'"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_left(
    call, artifact, tmp_path, arguments, message
):
    places = {name: tmp_path / name for name in ("gone", "out", "full", "truncated")}
    places["truncated"].write_bytes(artifact.read_bytes()[:-50])
    places["full"].mkdir()
    (places["full"] / "mine.txt").write_text("keep")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    given = [a.format(artifact=artifact, **places) for a in arguments]
    code, out, err = call("unpack", *given)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert artifact.read_bytes()[:5] == b"LITEC"


def test_a_failure_half_way_leaves_nothing(call, artifact, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "no space left")

    monkeypatch.setattr("litecompress.export.onnx.onnx.save", fail)
    code, _, err = call("unpack", artifact, "-o", tmp_path / "package")
    assert code == 2
    assert "no space left" in err
    assert list(tmp_path.iterdir()) == []


def test_force_replaces_an_earlier_package(call, artifact, tmp_path):
    for storage in ("float32", "int8"):
        arguments = ["unpack", artifact, "-o", tmp_path / "p", "--storage", storage, "--force"]
        assert call(*arguments)[0] == 0
    assert (
        json.loads((tmp_path / "p" / "manifest.json").read_text())["options"]["storage"] == "int8"
    )


def test_a_missing_package_is_exit_code_3(call, artifact, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "litecompress.export.onnx", raising=False)
    monkeypatch.setitem(sys.modules, "onnx", None)
    code, _, err = call("unpack", artifact, "-o", tmp_path / "p")
    assert code == 3
    assert "pip install 'litecompress[onnx]'" in err


def test_the_small_install_unpacks_exports_and_translates(call, artifact, tmp_path):
    assert {"torch", "transformers", "onnx_ir", "onnxscript"} & blocked("unpack")
    done = run_commands(
        "unpack",
        ["unpack", artifact, "-o", tmp_path / "a", "--json"],
        ["export", "-m", artifact, "-o", tmp_path / "b", "--target", "onnx", "--json"],
        ["translate", tmp_path / "a", SENTENCE],
    )
    assert (done.returncode, done.stderr) == (0, "")
    call("unpack", artifact, "-o", tmp_path / "c")
    assert files(tmp_path / "a") == files(tmp_path / "b") == files(tmp_path / "c")
    code, out, _ = call("translate", tmp_path / "c", SENTENCE)
    assert code == 0
    assert done.stdout.splitlines()[-1] == out.rstrip("\n")


def test_the_runtime_alone_translates(call, artifact, tmp_path):
    assert "onnx" in blocked("runtime")
    call("unpack", artifact, "-o", tmp_path / "p")
    done = run_commands("runtime", ["translate", tmp_path / "p", SENTENCE])
    assert (done.returncode, done.stderr) == (0, "")
    assert call("translate", tmp_path / "p", SENTENCE)[1] == done.stdout
    done = run_commands("runtime", ["unpack", artifact, "-o", tmp_path / "q"])
    assert done.returncode == 3
    assert "pip install 'litecompress[onnx]'" in done.stderr


def test_language_models_are_unpacked_without_torch(tmp_path):
    from tests.export.test_onnx_language_model import ADAPTIVE, language_model

    made = apply(Quantize(num_bits=5), language_model(ADAPTIVE), Context())
    save_artifact(made, tmp_path / "lm.litec")
    done = run_commands(
        "unpack",
        ["unpack", tmp_path / "lm.litec", "-o", tmp_path / "p", "--storage", "native"],
        ["generate", tmp_path / "p", "a man", "--max-length", 5],
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_importing_the_exporter_imports_no_torch():
    script = "import sys, litecompress.export.onnx; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
