"""`litecompress inspect`: its tables, its JSON, its errors, and that it is quick."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from litecompress.artifact_file import load_artifact, save_artifact
from litecompress.checkpoint import save_checkpoint
from litecompress.cost import COMPONENTS
from litecompress.model.presets import PRESETS
from tests import models
from tests.command import least_seconds, run_command

ROW = {"table", "model", "column", "paper", "ours", "deviation", "recalled", "note"}


@pytest.fixture
def call(monkeypatch, capsys):
    """Run `inspect` in this process: exit code, stdout, stderr."""

    def run(*arguments):
        return run_command(monkeypatch, capsys, "inspect", *arguments)

    return run


@pytest.fixture
def values(call):
    """What `inspect --json` says."""

    def run(*arguments):
        code, out, err = call(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return run


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save_checkpoint(models.checkpoint("dynamic", embed_dim=64, ffn_dim=64), folder)
    return folder


@pytest.fixture(scope="module")
def artifact(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("artifact") / "small.litec"
    save_artifact(models.compressed("dynamic", embed_dim=64, ffn_dim=64), path)
    return path


def test_components_add_up(values):
    got = values("wmt14-en-fr-embed496")
    assert list(got["components"]) == list(COMPONENTS)
    for measure, total in got["total"].items():
        assert total == sum(row[measure] for row in got["components"].values())
    assert got["total"]["float32_bytes"] == 4 * got["total"]["parameters"]
    embedding = got["components"]["embedding"]["parameters"]
    assert got["paper"]["parameters"] == got["total"]["parameters"] - embedding
    assert (got["source_length"], got["target_length"]) == (30, 30)
    assert got["kind"] == "preset"


def test_lengths_are_followed(values):
    default = values("wmt14-en-fr-embed200")
    assert values("wmt14-en-fr-embed200", "--source-length", 30) == default
    longer = values("wmt14-en-fr-embed200", "--source-length", 60, "--target-length", 15)
    assert longer["total"]["parameters"] == default["total"]["parameters"]
    output = longer["components"]["output"]["all_macs"]
    assert 2 * output == default["components"]["output"]["all_macs"]


def test_a_language_model_has_a_text_only(values):
    got = values("wikitext103-embed896", "--target-length", 100)
    assert (got["source_length"], got["target_length"]) == (None, 100)
    assert got["components"]["cross_attention"] == dict.fromkeys(got["total"], 0)
    assert got["family"] == "Lite Transformer language model"


def test_a_checkpoint_and_its_artifact_cost_the_same_but_for_what_is_stored(
    values, checkpoint, artifact
):
    trained, stored = values(checkpoint), values(artifact)
    assert (trained["kind"], stored["kind"]) == ("checkpoint", "artifact")
    for name, row in stored["components"].items():
        assert {k: v for k, v in row.items() if k != "stored_bytes"} == trained["components"][name]
        assert row["stored_bytes"] <= row["float32_bytes"]
    model = load_artifact(artifact)
    assert stored["total"]["stored_bytes"] == model.nbytes(embeddings=True)
    assert stored["paper"]["stored_bytes"] == model.nbytes(embeddings=False)


def test_a_path_goes_before_a_preset_of_the_same_name(values, checkpoint, tmp_path, monkeypatch):
    (tmp_path / "cnndm-embed496").symlink_to(checkpoint)
    monkeypatch.chdir(tmp_path)
    assert values("cnndm-embed496")["kind"] == "checkpoint"
    assert values("cnndm-embed496")["embed_dim"] == 64


def test_without_a_model_every_preset_is_listed(call, values):
    listed = values()
    assert values("--list") == listed
    assert [row["preset"] for row in listed] == list(PRESETS)
    for row in listed:
        assert row["nonembed_parameters"] < row["parameters"]
    text = call()[1]
    assert all(name in text for name in PRESETS)


def test_the_paper_beside_ours(call, values):
    rows = values("--paper")
    assert all(set(row) >= ROW for row in rows)
    code, text, _ = call("--paper")
    assert code == 0
    misses = [row for row in rows if row["within_reach"] is False]
    marked = [line for line in text.splitlines() if " ! " in line]
    assert [line.split()[0] for line in marked] == [row["model"] for row in misses]
    assert f"{len(misses)} out of reach" in text


def test_the_table_shows_what_the_json_says(call, values, artifact):
    text = call(artifact)[1]
    for row in values(artifact)["components"].values():
        assert f"{row['parameters']:,}" in text
        assert f"{row['stored_bytes'] / 1e6:.3f}" in text
    assert "stored" not in call("cnndm-embed496")[1]


def test_no_table_is_cut_off_at_80_columns(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for arguments in ((), ("--paper",), ("transformer-cnndm-embed512", "--source-length", 1000)):
        assert "…" not in call(*arguments)[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["wmt14-en-fr-embed497"], "preset, such as wmt14-en-fr-embed496, "),
        (["{folder}/none"], "no such file"),
        (["none.litec"], "no such file"),
        (["{folder}"], "none of config.json"),
        (["{foreign}"], "expected a .litec file"),
        (["cnndm-embed496", "--source-length", "0"], "at least 1 token, got --source-length 0"),
        (
            ["cnndm-embed496", "--source-length", "-1", "--target-length", "0"],
            "got --source-length -1, --target-length 0",
        ),
        (["wikitext103-embed896", "--source-length", "9"], "is a language model, got 9"),
        (["cnndm-embed496", "--paper"], "got a model and --paper"),
        (["cnndm-embed496", "--paper", "--list"], "got a model and --list and --paper"),
        (["--list", "--target-length", "9"], "expected a model for the lengths, got none"),
        (["--list", "--paper", "--target-length", "9"], "got --list and --paper; expected a model"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(call, tmp_path, arguments, message):
    foreign = tmp_path / "foreign"
    foreign.write_bytes(b"\x89PNG")
    code, out, err = call(*(a.format(folder=tmp_path, foreign=foreign) for a in arguments))
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_checkpoint_of_other_shapes_is_refused(call, tmp_path):
    small = models.checkpoint("dynamic", embed_dim=64, ffn_dim=64)
    save_checkpoint(replace(small, config=models.config("dynamic", embed_dim=32)), tmp_path)
    code, _, err = call(tmp_path)
    assert code == 2
    assert "do not fit the config" in err


@pytest.mark.parametrize("arguments", [["--paper"], ["wmt14-en-fr-embed496", "--json"], []])
def test_inspect_is_quick_and_imports_neither_torch_nor_numpy(arguments):
    script = (
        "import sys\nfrom litecompress.cli import main\n"
        f"sys.argv = ['litecompress', 'inspect', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'numpy', 'tokenizers'} & set(sys.modules)))"
    )
    printed, seconds = least_seconds(script)
    assert printed.splitlines()[-1] == "[]"
    assert seconds < 0.8


def test_a_checkpoint_needs_no_torch(checkpoint):
    script = (
        "import sys\nfrom litecompress.cli import main\n"
        f"sys.argv = ['litecompress', 'inspect', {str(checkpoint)!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"
