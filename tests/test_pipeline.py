"""The main job on a small model, through every target, and its report."""

from __future__ import annotations

import json

import pytest
import yaml

from litecompress.artifact_file import load_artifact
from litecompress.checkpoint import save_checkpoint
from litecompress.errors import InputError
from litecompress.pipeline import run
from litecompress.recipe import dump_recipe, load_recipe, parse_recipe
from tests import models

KEYS = [
    "schema_version",
    "model",
    "recipe",
    "sizes",
    "ratios",
    "ledger",
    "history",
    "quality",
    "parity",
    "latency",
    "encodings",
    "versions",
    "gate",
]


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A recipe over a small checkpoint, as plain values."""
    folder = tmp_path_factory.mktemp("job")
    save_checkpoint(models.checkpoint(embed_dim=64, ffn_dim=64), folder)
    (folder / "samples.tsv").write_text("".join(f"{line}\t{line}\n" for line in models.LINES))
    return {
        "model": str(folder),
        "stages": [{"stage": "prune", "sparsity": 0.5}, {"stage": "quantize"}],
        "exports": [
            {"target": "onnx", "conv_branch": "custom"},
            {"target": "coreml", "length": 32},
            {"target": "tflite", "length": 32},
        ],
        "checks": {"samples": str(folder / "samples.tsv"), "sentences": 2},
        "gate": {"min_parity_db": 30, "min_quantized_byte_share": 0.9},
    }


@pytest.fixture(scope="module")
def done(job, tmp_path_factory):
    output = tmp_path_factory.mktemp("run") / "out"
    report = run(parse_recipe(job), output, lambda _: None)
    return output, report


def test_everything_is_where_it_should_be(done):
    output, _ = done
    names = {p.relative_to(output).as_posix() for p in output.rglob("*") if p.is_file()}
    assert {"artifact.litec", "recipe.yaml", "report.json", "report.md"} <= names
    for target in ("onnx", "coreml", "tflite"):
        assert f"packages/{target}/manifest.json" in names
        assert f"packages/{target}/tokenizer.json" in names
    assert load_artifact(output / "artifact.litec").history[0].stage == "prune"


def test_the_report_has_its_schema(done):
    output, report = done
    values = json.loads((output / "report.json").read_text())
    assert list(values) == KEYS
    assert values["schema_version"] == 1
    assert values == json.loads(report.to_json())
    assert load_recipe(output / "recipe.yaml") == parse_recipe(values["recipe"])
    for size in values["sizes"].values():
        assert size.keys() == {"baseline", "compressed"}
        assert all(isinstance(v, int) for v in size.values())
    for ratio in values["ratios"]:
        assert ratio.keys() == {"numerator", "denominator", "scope", "value"}
    assert {"metric", "signature", "baseline", "compressed", "delta"} <= values["quality"].keys()
    assert values["quality"]["bleu"]["signature"].startswith("nrefs:1|")
    row = {"target", "level", "psnr_db", "max_abs_err", "token_agreement"}
    assert all(row <= r.keys() for r in values["parity"])
    row = {"target", "native", "re_encoded", "decoded", "fallbacks"}
    assert all(row <= r.keys() for r in values["encodings"])


def test_every_target_agrees_with_the_decoded_artifact(done):
    _, report = done
    rows = {(r["target"], r["precision"]): r for r in report.parity}
    assert rows.keys() == {
        ("onnx", "int8"),
        ("coreml", "float16"),
        ("coreml", "float32"),
        ("tflite", "int8"),
    }
    assert rows["coreml", "float32"]["level"] == "emulated"
    assert rows["coreml", "float32"]["max_abs_err"] < 1e-4
    assert rows["coreml", "float16"]["psnr_db"] > 40
    assert rows["onnx", "int8"]["psnr_db"] > 40
    assert rows["tflite", "int8"]["psnr_db"] > 30


def test_sizes_are_those_of_the_files(done):
    output, report = done
    assert (
        report.sizes["artifact_bytes"]["compressed"] == (output / "artifact.litec").stat().st_size
    )
    raw = sum(p.stat().st_size for p in (output / "packages" / "onnx").rglob("*") if p.is_file())
    assert report.sizes["package_raw.onnx"]["compressed"] == raw
    assert (
        report.sizes["weights_all"]["compressed"] > report.sizes["weights_nonembed"]["compressed"]
    )


def test_latencies_say_where_they_come_from(done):
    _, report = done
    for row in report.latency:
        if row["provenance"] == "measured":
            assert (row["profile"], row["target"] != "coreml") == ("host", True)
            assert 0 < row["p50_ms"] <= row["p90_ms"]
            assert row["valid"] == (row["wall_over_cpu"] <= 1.2)
        else:
            assert (row["provenance"], row["tier"], row["p50_ms"]) == ("predicted", 0, None)
            assert row["band_ms"][0] < row["band_ms"][1]
            assert 1 <= row["rank"] <= row["of"]
    assert {r["profile"] for r in report.latency} == {"host", "raspberry-pi-4", "raspberry-pi-5"}


def test_a_shortlist_that_is_none_is_refused_before_the_work(job, tmp_path):
    exports = [{"target": "onnx", "shortlist": str(tmp_path / "none")}]
    recipe = parse_recipe({**job, "exports": exports})
    assert parse_recipe(yaml.safe_load(dump_recipe(recipe))) == recipe
    with pytest.raises(InputError, match=r"expected a shortlist at .*none, got none"):
        run(recipe, tmp_path / "out", pytest.fail)
    assert not (tmp_path / "out").exists()


def test_the_gate_decides_the_exit_code(job, tmp_path, monkeypatch, capsys):
    from litecompress import cli

    strict = {**job, "exports": [], "gate": {"min_ratio": 1000}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(strict))
    for recipe, expected in ((strict, 1), ({**strict, "gate": {"min_ratio": 1}}, 0)):
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        out = tmp_path / "out"
        argv = ["litecompress", "run", str(tmp_path / "recipe.yaml"), "-o", str(out), "-q", "-f"]
        monkeypatch.setattr("sys.argv", argv)
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        assert code == expected
        assert json.loads((out / "report.json").read_text())["gate"]["passed"] == (expected == 0)
        assert ("FAILED" in capsys.readouterr().out) == (expected == 1)


def test_a_run_that_fails_leaves_nothing(job, tmp_path, monkeypatch):
    from litecompress import cli

    (tmp_path / "samples.tsv").write_text("no tab here\n")
    broken = {**job, "checks": {"samples": str(tmp_path / "samples.tsv")}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(broken))
    out = tmp_path / "out"
    argv = ["litecompress", "run", str(tmp_path / "recipe.yaml"), "-o", str(out)]
    monkeypatch.setattr("sys.argv", argv)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["recipe.yaml", "samples.tsv"]
