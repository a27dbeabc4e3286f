"""`litecompress export -t coreml`: a package of several lengths, and what it refuses."""

from __future__ import annotations

import json

import pytest

from litecompress.artifact_file import save_artifact
from litecompress.runtime.translator import Translator
from tests.command import run_command
from tests.export.coreml_packages import ONE_LAYER, four_bits, mixed


def export(monkeypatch, capsys, model, output, *options):
    words = ("export", "-m", model, "-o", output, "-t", "coreml", *options)
    return run_command(monkeypatch, capsys, *words)


def test_a_package_of_several_lengths_translates(monkeypatch, capsys, tmp_path):
    model, output = tmp_path / "a.litec", tmp_path / "package"
    artifact = four_bits("dynamic", **ONE_LAYER)
    save_artifact(artifact, model)
    options = ("--length", "12,6", "--stateful", "--json")
    code, out, _ = export(monkeypatch, capsys, model, output, *options)
    assert code == 0
    assert json.loads(out)["quantized_byte_share"] > 0.9
    manifest = json.loads((output / "manifest.json").read_text())
    assert manifest["options"]["length"] == [12, 6]
    assert manifest["options"]["stateful"] is True
    translator = Translator.load(output)
    assert (translator.session.max_source, translator.session.max_target) == (12, 12)
    short = translator.translate(["a man ."], beam=2, max_length=4)[0]
    assert short.text == Translator.load(model).translate(["a man ."], beam=2, max_length=4)[0].text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--deployment", "iOS17", "--strict"),
            "expected encodings that iOS17 programs carry, got",
        ),
        (("--deployment", "iOS16"), "export coreml.deployment"),
        (("--deployment", "iOS17", "--length", "8,16"), "expected one length and no states"),
        (("--length", "x"), "expected lengths such as 64 or 16,32,64, got 'x'"),
        (("--length", "8,9999"), "expected a length from 2 to 1024, got 9999"),
    ],
)
def test_what_it_cannot_do_is_one_line(monkeypatch, capsys, tmp_path, options, message):
    model, output = tmp_path / "a.litec", tmp_path / "package"
    save_artifact(mixed("dynamic", **ONE_LAYER), model)
    code, out, err = export(monkeypatch, capsys, model, output, *options)
    assert code == 2
    assert out == ""
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not output.exists()
