"""TFLite and Core ML packages: verified, explained, a wrong weight found as far as they show."""

from __future__ import annotations

import numpy as np
import pytest

from litecompress.arm import guest
from litecompress.artifact_file import save_artifact
from litecompress.encoding import Dense
from litecompress.explain.run import explain
from litecompress.export.coreml import CoreMLExport
from litecompress.export.package import write_package
from litecompress.export.tflite import TfliteExport
from litecompress.runtime.open import open_package
from litecompress.verify.difference import Row, steps
from litecompress.verify.emulated import _cases
from litecompress.verify_job import Job
from tests import models
from tests.verify.packages import SENTENCES

EXPORTS = {"tflite": TfliteExport(storage="int8", length=16), "coreml": CoreMLExport(length=16)}


def made(folder, target, written=None):
    """A model beside the package of it, or of the artifact that is `written` in its place."""
    artifact = models.artifact(embed_dim=64, ffn_dim=64)
    save_artifact(artifact, folder / "model.litec")
    write_package(EXPORTS[target], written or artifact, folder / "package")
    (folder / "samples.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in SENTENCES), "utf-8")
    return folder


def verified(folder):
    job = Job(folder / "package", folder / "model.litec", count=2, beam=2)
    return job.run(lambda message: None)


@pytest.fixture(scope="module", params=EXPORTS)
def target(request):
    return request.param


@pytest.fixture(scope="module")
def folder(target, tmp_path_factory):
    return made(tmp_path_factory.mktemp(target), target)


def test_a_sound_package_passes_at_its_level(folder, target):
    found = verified(folder)
    assert found.passed
    levels = {check.level for check in found.checks} - {"structural"}
    assert levels == {"executed" if target == "tflite" else "emulated"}
    lengths = {check.case for check in found.checks if check.check == "logits"}
    assert {"length 1", "length 2", "length 15", "length 16"} <= lengths


@pytest.mark.parametrize("target", ["tflite", pytest.param("coreml", marks=pytest.mark.slow)])
def test_a_wrong_layer_is_found_by_the_states(target, tmp_path):
    artifact = models.artifact(embed_dim=64, ffn_dim=64)
    weights = dict(artifact.weights)
    name = "decoder.0.ffn.fc2.weight"
    weights[name] = Dense(-artifact.weights[name].decode())
    wrong = type(artifact)(artifact.config, weights, artifact.tokenizer)
    found = verified(made(tmp_path, target, wrong))
    assert not found.passed
    assert found.located.layer == "decoder.1, or decoder.0 before it"


def test_operators_are_counted_without_times(folder, target):
    found = explain(folder / "package")
    assert (found.level, found.timed) == ("structural", False)
    multiplied = {op.arithmetic for op in found.operators} - {"other", "look-up", "quantizing"}
    assert multiplied == {"int8" if target == "tflite" else "float16"}
    matrices = [op for op in found.operators if op.arithmetic in multiplied]
    assert len(matrices) >= 40
    assert all(row["share"] is None for row in found.shares("kind"))


def test_the_guests_logits_are_the_sessions(folder, target, tmp_path):
    if target != "tflite":
        pytest.skip("Core ML does not run in the emulated system")
    rows = [Row((5, 9, 2), (7, 8, 2)), Row((6, 2), (4, 9, 11, 30, 2))]
    np.savez(tmp_path / "cases.npz", **_cases(rows))
    words = (str(folder / "package"), target, str(tmp_path / "cases.npz"))
    guest.main(*words, str(tmp_path / "answer.npz"))
    session = open_package(folder / "package", target)
    with np.load(tmp_path / "answer.npz") as answer:
        for i, row in enumerate(rows):
            ours = np.concatenate(list(steps(session, [row])))
            np.testing.assert_allclose(answer[f"logits_{i}"], ours, rtol=0, atol=1e-4)
