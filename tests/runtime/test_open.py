"""Packages that are damaged, foreign or tampered with: one clear error, no crash."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys

import onnx
import pytest

from litecompress import Generator, Translator
from litecompress.errors import InputError, LiteCompressError, MissingBackendError
from litecompress.runtime.open import open_model, open_package
from tests.runtime import trace


@pytest.fixture
def package(tmp_path):
    shutil.copytree(trace.FOLDER / "onnx", tmp_path / "package")
    return tmp_path / "package"


def vouch(package):
    """Make the manifest fit the files again, as someone who tampers would."""
    manifest = json.loads((package / "manifest.json").read_text())
    for name, entry in manifest["files"].items():
        content = (package / name).read_bytes()
        entry.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    (package / "manifest.json").write_text(json.dumps(manifest))


def damage_node(package, **changes):
    model = onnx.load(package / "decoder.onnx", load_external_data=False)
    node = next(n for n in model.graph.node if n.op_type == "MatMul")
    for name, value in changes.items():
        setattr(node, name, value)
    if "domain" in changes:
        model.opset_import.append(onnx.helper.make_opsetid(changes["domain"], 1))
    onnx.save(model, package / "decoder.onnx")


@pytest.mark.parametrize("name", ["weights.bin", "decoder.onnx", "tokenizer.json"])
def test_a_file_that_does_not_match_the_manifest_is_named(package, name):
    content = bytearray((package / name).read_bytes())
    content[len(content) // 2] ^= 1
    (package / name).write_bytes(content)
    with pytest.raises(InputError, match=f"files missing or changed: {name}; export again"):
        Translator.load(package)
    (package / name).unlink()
    with pytest.raises(InputError, match=f"files missing or changed: {name}"):
        Translator.load(package)


@pytest.mark.parametrize("name", ["weights.bin", "decoder.onnx", "encoder.onnx"])
def test_a_truncated_model_is_refused_even_if_the_manifest_fits(package, name):
    content = (package / name).read_bytes()
    (package / name).write_bytes(content[: len(content) // 2])
    vouch(package)
    with pytest.raises(InputError, match="expected a package that its runtime loads"):
        Translator.load(package)


def test_a_truncated_tokenizer_is_refused(package):
    path = package / "tokenizer.json"
    path.write_bytes(path.read_bytes()[:-40])
    vouch(package)
    with pytest.raises(LiteCompressError, match="tokenizer: expected the JSON"):
        Translator.load(package)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"domain": "litecompress"}, r"that its runtime loads, got .*; export it again"),
        ({"domain": "elsewhere", "op_type": "DynamicConv"}, "got the domain 'elsewhere'"),
    ],
)
def test_an_operator_of_a_foreign_or_empty_domain_is_refused(package, changes, message):
    damage_node(package, **changes)
    with pytest.raises(InputError, match=r"files missing or changed: decoder\.onnx"):
        Translator.load(package)
    vouch(package)
    with pytest.raises(InputError, match=message):
        Translator.load(package)


def test_weights_from_outside_the_package_are_refused(package, tmp_path):
    (tmp_path / "outside.bin").write_bytes((package / "weights.bin").read_bytes())
    model = onnx.load(package / "encoder.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../outside.bin"
    onnx.save(model, package / "encoder.onnx")
    vouch(package)
    with pytest.raises(InputError, match="that its runtime loads, got"):
        Translator.load(package)


def test_a_manifest_of_another_target_is_refused(package):
    manifest = json.loads((package / "manifest.json").read_text())
    (package / "manifest.json").write_text(json.dumps({**manifest, "target": "tensorrt"}))
    with pytest.raises(InputError, match=r"expected a package for onnx, tflite, coreml, got .*rt'"):
        Translator.load(package)
    with pytest.raises(InputError, match="expected a package for"):
        open_package(package, "tensorrt")


@pytest.mark.parametrize(
    ("target", "module", "command"),
    [
        ("onnx", "onnxruntime", r"pip install 'litecompress\[runtime\]'"),
        ("tflite", "ai_edge_litert", r"pip install 'litecompress\[litert\]'"),
        ("coreml", "coremltools", r"pip install 'litecompress\[coreml\]'"),
    ],
)
def test_a_runtime_that_is_not_installed_is_named(package, monkeypatch, target, module, command):
    manifest = json.loads((package / "manifest.json").read_text())
    (package / "manifest.json").write_text(json.dumps({**manifest, "target": target}))
    (package / "model.tflite").write_bytes(b"")
    for name in [n for n in sys.modules if n.startswith("litecompress.runtime.")]:
        if name.rsplit(".", 1)[-1].startswith(("ort", "litert", "mil")):
            monkeypatch.delitem(sys.modules, name)
    for name in [n for n in sys.modules if n.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingBackendError, match=command):
        Translator.load(package)


def test_torch_that_is_not_installed_is_named(monkeypatch):
    for name in ("torch_session", "torch_language"):
        monkeypatch.delitem(sys.modules, f"litecompress.runtime.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingBackendError, match=r"'torch'.*litecompress\[train\]"):
        Translator.load(trace.FOLDER / "model")


def test_a_language_model_without_its_file_is_refused(package):
    manifest = json.loads((package / "manifest.json").read_text())
    roles = {"step": "decoder.onnx", "weights": "weights.bin"}
    (package / "manifest.json").write_text(
        json.dumps({**manifest, "target": "tflite", "roles": roles})
    )
    with pytest.raises(InputError, match=r"expected a package with model\.tflite, got none"):
        Generator.load(package)


def test_threads_reach_the_runtime(package):
    session, _ = open_model(package, threads=2)
    assert session.encoder.get_session_options().intra_op_num_threads == 2
    session, _ = open_model(package)
    assert session.decoder.get_session_options().intra_op_num_threads == 1


def test_nothing_at_the_path_is_said_so(tmp_path):
    with pytest.raises(LiteCompressError, match="got no such file; check the path"):
        Translator.load(tmp_path / "nothing")
