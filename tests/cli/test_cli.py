"""The command line as a user holds it: exit codes, one clear line, nothing half-written."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from litecompress.checkpoint import FILES, load_checkpoint, save_checkpoint
from tests import models
from tests.command import least_seconds, run_command

SENTENCE = "a man rides a horse ."


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save_checkpoint(models.checkpoint(embed_dim=64, ffn_dim=64), folder)
    return folder


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the command line in this process: exit code, stdout, stderr."""

    def run(*arguments, stdin=None):
        if stdin is not None:
            import io

            monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        return run_command(monkeypatch, capsys, *arguments)

    return run


@pytest.fixture(scope="module")
def artifact(model, tmp_path_factory) -> Path:
    from litecompress.artifact_file import save_artifact

    path = tmp_path_factory.mktemp("artifact") / "small.litec"
    save_artifact(models.compressed(embed_dim=64, ffn_dim=64), path)
    return path


def test_prune_quantize_translate_in_a_row(call, model, tmp_path):
    pruned, quantized = tmp_path / "p.litec", tmp_path / "q.litec"
    code, out, _ = call("prune", "-m", model, "-o", pruned, "--sparsity", 0.5, "--json")
    assert code == 0
    assert json.loads(out)["sparsity"] == pytest.approx(0.5, abs=0.01)
    code, out, _ = call("quantize", "-m", pruned, "-o", quantized)
    assert code == 0
    assert "quantized byte share" in out
    assert quantized.stat().st_size < pruned.stat().st_size
    code, out, _ = call("translate", "-m", quantized, "--beam", 2, SENTENCE, SENTENCE)
    assert code == 0
    first, second = out.splitlines()
    assert first == second


def test_export_verify_and_translate_a_package(call, artifact, tmp_path):
    package, samples = tmp_path / "package", tmp_path / "samples.txt"
    samples.write_text("\n".join(models.LINES))
    options = ["--target", "onnx", "--storage", "native", "--conv-branch", "custom", "--json"]
    code, out, _ = call("export", "-m", artifact, "-o", package, *options)
    assert code == 0
    assert json.loads(out)["fallbacks"] == ["litecompress::LightweightConv"]
    verify = ["verify", package, "-m", artifact, "--samples", samples, "--longest", 16]
    code, out, _ = call(*verify, "--json")
    assert code == 0
    assert json.loads(out)["passed"]
    code, _, err = call(*verify, "--min-psnr-db", 1000)
    assert code == 1
    assert "parity FAILED" in err
    ours = call("translate", "-m", package, SENTENCE)
    assert ours == call("translate", "-m", artifact, SENTENCE)
    (package / "weights.bin").write_bytes(b"changed")
    code, _, err = call("translate", "-m", package, SENTENCE)
    assert code == 2
    assert "missing or changed: weights.bin" in err


def test_translate_reads_stdin(call, model):
    code, out, _ = call("translate", "-m", model, stdin=f"{SENTENCE}\n{SENTENCE}\n")
    assert (code, len(out.splitlines())) == (0, 2)


LONG = "horse " * 2000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prune", "-m", "{model}", "-o", "{out}", "--sparsity", "1"], r"in [0, 1), got 1.0"),
        (
            ["prune", "-m", "{model}", "-o", "{out}", "--sparsity", ".5", "-t", "no*"],
            "got none for 'no*'",
        ),
        (["prune", "-m", "{gone}", "-o", "{out}", "--sparsity", ".5"], "no such file"),
        (["prune", "-m", "{model}", "-o", "{model}", "--sparsity", ".5", "-f"], "apart from"),
        (["quantize", "-m", "{model}", "-o", "{model}/..", "-f"], "apart from the input"),
        (["export", "-m", "{model}", "-o", "/", "-t", "onnx", "-f"], "apart from the input"),
        (["quantize", "-m", "{model}", "-o", "{foreign}/x.litec"], "choose another output"),
        (["quantize", "-m", "{model}", "-o", "{out}", "--exclude", "*"], "all of them excluded"),
        (["translate", "-m", "{model}", "caf\udce9"], "expected UTF-8 text"),
        (["quantize", "-m", "{model}", "-o", "{out}", "--num-bits", "9"], "from 1 to 8, got 9"),
        (["quantize", "-m", "{model}", "-o", "{out}", "--method", "x"], "quantize.method"),
        (["quantize", "-m", "{foreign}", "-o", "{out}"], "expected a .litec file"),
        (["quantize", "-m", "{truncated}", "-o", "{out}"], "truncated"),
        (["quantize", "-m", "{model}", "-o", "{exists}"], "use --force"),
        (["export", "-m", "{model}", "-o", "{out}", "-t", "tensorrt"], "coreml, onnx, tflite"),
        (["export", "-m", "{model}", "-o", "{out}", "-t", "onnx", "--length", "3"], "'length'"),
        (["run", "{bad_recipe}", "-o", "{out}"], "got 'stagse'"),
        (["run", "{out}", "-o", "{out}"], "no such file"),
        (["translate", "-m", "{model}", " "], "sentence 1: expected a sentence"),
        (["translate", "-m", "{model}", "fine", LONG], "sentence 2: expected at most 1024 tokens"),
        (["evaluate", "-m", "{model}", "--source", "{latin}", "--reference", "{latin}"], "UTF-8"),
        (["evaluate", "-m", "{model}", "--source", "{empty}", "--reference", "{empty}"], "empty"),
        (["verify", "{model}", "-m", "{model}", "--samples", "{foreign}"], "manifest.json"),
        (["train", "{bad_recipe}", "-o", "{out}"], "got 'stagse'"),
        (["evaluate", "-m", "{model}", "--source", "{out}", "--reference", "{out}"], "text file"),
    ],
)
def test_bad_input_is_one_line_exit_code_2_and_leaves_nothing(
    call, model, artifact, tmp_path, arguments, message
):
    files = {
        "foreign": b"\x89PNG",
        "truncated": artifact.read_bytes()[:-40],
        "exists": b"mine",
        "bad_recipe": b"model: x\nstagse: []\n",
        "latin": "Stra\u00dfe\n".encode("latin-1"),
        "empty": b"",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    places = {name: tmp_path / name for name in files}
    given = [
        a.format(model=model, out=tmp_path / "out", gone=tmp_path / "gone", **places)
        for a in arguments
    ]
    code, out, err = call(*given)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1
    assert out == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(files)
    assert (tmp_path / "exists").read_bytes() == b"mine"
    assert {p.name for p in model.iterdir()} == set(FILES)


def test_wrong_options_are_exit_code_2(call):
    assert call("prune", "--sparsty", "0.5")[0] == 2
    assert call("flatten")[0] == 2


def test_debug_shows_the_traceback(call, tmp_path):
    from litecompress.errors import ArtifactError

    with pytest.raises(ArtifactError, match="no such file"):
        call("--debug", "translate", "-m", tmp_path / "none", "x")


def test_force_replaces(call, model, tmp_path):
    out = tmp_path / "p.litec"
    out.write_text("old")
    assert call("prune", "-m", model, "-o", out, "--sparsity", 0.5, "--force")[0] == 0
    assert out.read_bytes()[:5] == b"LITEC"


@pytest.mark.parametrize(
    ("target", "module", "extra"),
    [
        ("coreml", "coremltools", "coreml"),
        ("onnx", "onnx", "onnx"),
        ("tflite", "ai_edge_litert.schema_py_generated", "litert"),
    ],
)
def test_a_missing_extra_is_exit_code_3(call, model, tmp_path, monkeypatch, target, module, extra):
    for name in [n for n in sys.modules if n.startswith(f"litecompress.export.{target}")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    code, _, err = call("export", "-m", model, "-o", tmp_path / "out", "-t", target)
    assert code == 3
    assert f"pip install 'litecompress[{extra}]'" in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_dry_run_prints_the_resolved_recipe_and_does_nothing(call, tmp_path):
    recipe = models.ROOT / "recipes" / "demo.yaml"
    code, out, _ = call("run", recipe, "-o", tmp_path / "out", "--dry-run")
    assert code == 0
    assert "exclude: []" in out
    assert list(tmp_path.iterdir()) == []


def test_help_is_quick_and_imports_neither_torch_nor_numpy():
    script = (
        "import sys\nfrom litecompress.cli import main\nsys.argv = ['litecompress', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'numpy', 'pydantic', 'tokenizers'} & set(sys.modules)))"
    )
    printed, seconds = least_seconds(script)
    assert printed.splitlines()[-1] == "[]"
    assert seconds < 0.5


def test_force_never_removes_a_folder_of_other_files(call, model, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    for verb in (["export", "-t", "onnx"], ["quantize"]):
        code, _, err = call(*verb, "-m", model, "-o", tmp_path / "home", "--force")
        assert code == 2
        assert "a folder with other files" in err
    assert (tmp_path / "home" / "thesis.txt").read_text() == "years of work"


def test_weights_that_are_not_finite_or_do_not_fit_are_refused(call, model, tmp_path):
    checkpoint = load_checkpoint(model)
    weights = {n: w.copy() for n, w in checkpoint.weights.items()}
    weights["encoder.0.ffn.fc1.weight"][0, 0] = float("nan")
    for name, changed in (
        ("nan", weights),
        ("missing", {n: w for n, w in weights.items() if n != "encoder.0.ffn.fc1.weight"}),
    ):
        (tmp_path / name).mkdir()
        save_checkpoint(
            type(checkpoint)(checkpoint.config, changed, checkpoint.tokenizer), tmp_path / name
        )
        code, _, err = call("quantize", "-m", tmp_path / name, "-o", tmp_path / "out.litec")
        assert code == 2
        assert "encoder.0.ffn.fc1.weight" in err
        assert not (tmp_path / "out.litec").exists()


def test_config_of_wrong_types_is_one_line(call, model, tmp_path):
    save_checkpoint(load_checkpoint(model), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"embed_dim": "wide", "conv_type": "sideways"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    code, _, err = call("translate", "-m", tmp_path, SENTENCE)
    assert code == 2
    assert "embed_dim" in err
    assert "conv_type" in err
