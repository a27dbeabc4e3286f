"""`litecompress sizes` and `diff`: tables, JSON, picture, exit codes, errors in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from litecompress.artifact_file import save_artifact
from litecompress.checkpoint import save_checkpoint
from tests import models
from tests.command import run_command
from tests.sizes.packages import onnx_package


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the command line in this process: exit code, stdout, stderr."""

    def run(*arguments):
        monkeypatch.setenv("COLUMNS", "80")
        return run_command(monkeypatch, capsys, *arguments)

    return run


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """A checkpoint, two artifacts of it and two packages."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "checkpoint").mkdir()
    save_checkpoint(models.checkpoint(embed_dim=64, ffn_dim=64), folder / "checkpoint")
    (folder / "checkpoint" / "notes[1].txt").write_text("of mine")
    for name, sparsity in (("small", 0.9), ("large", 0.2)):
        model = models.compressed(sparsity=sparsity, embed_dim=64, ffn_dim=64)
        save_artifact(model, folder / f"{name}.litec")
    onnx_package(folder / "package")
    onnx_package(folder / "larger", rows=90)
    return folder


def test_the_tables_of_an_artifact_fit_80_columns(call, paths):
    code, out, err = call("sizes", paths / "small.litec")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines()[1:])) <= 80  # the first line has the path
    for word in ("artifact_bytes", "prune", "quantize", "entropy-coded", "codebook", "symbols"):
        assert word in out
    assert f"{(paths / 'small.litec').stat().st_size:,} bytes" in out


def test_json_is_alone_on_stdout(call, paths):
    for name in ("small.litec", "checkpoint", "package"):
        code, out, err = call("sizes", paths / name, "--json")
        values = json.loads(out)
        assert (code, err) == (0, "")
        assert sum(part["stored_bytes"] for part in values["parts"]) == values["total_bytes"]
    assert "zstd level 19" in values["codec"]
    assert values["scopes"]["package_download"] == sum(
        file["download_bytes"] for file in values["files"].values()
    )


def test_a_checkpoint_says_what_it_did_not_count(call, paths):
    code, out, _ = call("sizes", paths / "checkpoint")
    assert code == 0
    assert "Not counted: 1 other files, 7 bytes: notes[1].txt" in out


def test_a_package_is_shown_by_file(call, paths):
    code, out, _ = call("sizes", paths / "package")
    assert code == 0
    for name in ("weights.bin", "encoder.onnx", "package_download", "download"):
        assert name in out


def test_the_picture_is_written_once(call, paths, tmp_path):
    where = tmp_path / "p.svg"
    assert call("sizes", paths / "small.litec", "--picture", where)[0] == 0
    assert ElementTree.parse(where).getroot().tag.endswith("svg")
    code, out, err = call("sizes", paths / "small.litec", "--picture", where)
    assert (code, out) == (2, "")
    assert "use --force to replace it" in err
    assert call("sizes", paths / "package", "--picture", where, "--force", "--json")[0] == 0


def test_growth_fails_only_above_the_limit(call, paths):
    small, large = paths / "small.litec", paths / "large.litec"
    growth = large.stat().st_size - small.stat().st_size
    assert growth > 0
    assert call("diff", small, large)[0] == 0
    assert call("diff", small, large, "--fail-above-bytes", growth)[0] == 0
    code, out, _ = call("diff", small, large, "--fail-above-bytes", growth - 1)
    assert code == 1
    assert "FAILED" in out
    assert call("diff", small, large, "--fail-above", 0)[0] == 1
    assert call("diff", large, small, "--fail-above", 0)[0] == 0
    code, out, err = call("diff", small, large, "--fail-above", 0.5, "--json")
    assert (code, err) == (1, "")
    assert json.loads(out)["gate"]["passed"] is False


def test_the_tensors_that_grew_are_named(call, paths):
    for before, after, name in (
        ("small.litec", "large.litec", "encoder.0.ffn.fc1"),
        ("package", "larger", "embedding"),
        ("checkpoint", "small.litec", "header"),
    ):
        code, out, _ = call("diff", paths / before, paths / after)
        assert code == 0
        assert max(map(len, out.splitlines()[:-2])) <= 80
        assert name in out
        assert "total" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sizes", "{0}/none"], "no such file"),
        (["sizes", "{0}"], "none of config.json"),
        (["sizes", "{0}/small.litec", "--picture", "p.png"], "a picture named .svg"),
        (["sizes", "{0}/package/weights.bin"], "expected a .litec file"),
        (["diff", "{0}/package", "{0}/small.litec"], "expected packages of one target"),
        (["diff", "{0}/small.litec", "{0}/none"], "no such file"),
        (["diff", "{0}/small.litec", "{0}/large.litec", "--fail-above", "nan"], "finite"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(call, paths, arguments, message):
    code, out, err = call(*(a.format(paths) for a in arguments))
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_no_torch_is_needed(paths):
    script = (
        "import sys\nfrom litecompress.cli import main\n"
        f"sys.argv = ['litecompress', 'sizes', {str(paths / 'package')!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'onnx', 'coremltools', 'ai_edge_litert'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
