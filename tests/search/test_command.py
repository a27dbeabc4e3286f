"""`scan` and `search` as a user holds them."""

from __future__ import annotations

import json

import pytest
import yaml

from litecompress.recipe import load_recipe
from tests.command import run_command

FEW = ("--target", "*.ffn.fc1.weight", "--sparsity", 0.5, "--num-bits", 2, "--num-bits", 4)


@pytest.fixture
def call(folder, monkeypatch, capsys):
    """Run the command line in the folder: exit code, stdout, stderr."""

    def run(*arguments):
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLUMNS", "100")
        return run_command(monkeypatch, capsys, *arguments)

    return run


def test_scan_then_search_then_run(call, tmp_path):
    code, out, err = call("scan", "model", "-o", tmp_path / "s", "--samples", "pairs.tsv", *FEW)
    assert (code, "losses: 12 of 12" in err) == (0, True)
    assert "enc.0.ffn.fc1" in out and "4 b" in out
    recipe = tmp_path / "r.yaml"
    search = ("search", "model", "-s", tmp_path / "s", "-o", recipe)
    code, out, _ = call(*search, "--max-loss", 0.5, "--rule", "encoder.*:bits=4")
    assert code == 0
    assert "enc.0.ffn.fc1" in out and "bits=4" in out
    assert load_recipe(recipe).gate.max_nll_increase == 0.5
    values = yaml.safe_load(recipe.read_text())
    values["checks"] |= {"latency": False, "profiles": []}
    recipe.write_text(yaml.safe_dump(values))
    pytest.importorskip("sacrebleu")
    code, out, _ = call("run", recipe, "-o", tmp_path / "out", "--json")
    assert code == 0
    assert json.loads(out)["sizes"]["artifact_bytes"]["compressed"] > 0


def test_json_is_all_of_it(call, scanned, tmp_path):
    code, out, err = call(
        "scan", "model", "-o", tmp_path / "s", "--samples", "pairs.tsv", *FEW, "--json", "--fast"
    )
    assert (code, err) == (0, "")
    assert json.loads(out) == json.loads((tmp_path / "s" / "scan.json").read_text())
    arguments = ("-s", scanned[1], "-o", tmp_path / "r.yaml", "--max-bytes", 30_000)
    code, out, _ = call("search", "model", *arguments, "--stages-only", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["artifact_bytes"] <= 30_000
    assert set(found["settings"]) == {t.name for t in scanned[0].tensors}
    assert set(yaml.safe_load((tmp_path / "r.yaml").read_text())) == {"stages"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scan", "model", "-o", "new"], "as --source and --reference or --pairs, got none"),
        (["scan", "model", "-o", "new", "--samples", "pairs.tsv", "--sparsity", 1], "[0, 1)"),
        (["scan", "model", "-o", "new", "--samples", "gone.tsv"], "got none; check the path"),
        (["scan", "model", "-o", "model", "--samples", "pairs.tsv"], "apart from the input"),
        (["scan", "model", "-o", "new", "--samples", "pairs.tsv", "-t", "no*"], "for 'no*'"),
        (["scan", "model", "-o", "new", "--samples", "pairs.tsv", "--quantize", "x"], "KEY=VALUE"),
        (["search", "model", "-s", "scanned", "-o", "r.yaml"], "one of --max-bytes and --max-loss"),
        (["search", "model", "-s", "gone", "-o", "r", "--max-loss", 1], "expected a scan at gone"),
        (["search", "other", "-s", "scanned", "-o", "r", "--max-loss", 1], "of another model"),
        (["search", "model", "-s", "scanned", "-o", "r", "--max-bytes", 1], "at least"),
        (
            ["search", "model", "-s", "scanned", "-o", "pairs.tsv", "--max-loss", 1],
            "use --force to replace it",
        ),
        (
            ["search", "model", "-s", "scanned", "-o", "r", "--max-loss", 1, "--export", "x"],
            "expected targets of coreml, onnx, tflite",
        ),
    ],
)
def test_wrong_use_is_one_clear_line(call, scanned, folder, arguments, message):
    before = sorted(folder.iterdir())
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and message in err and err.count("\n") == 1
    assert sorted(folder.iterdir()) == before
