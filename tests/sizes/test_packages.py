"""Every byte of a package is accounted for, and a damaged one is one error."""

from __future__ import annotations

import shutil
import struct
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from litecompress.backends import load_exporter
from litecompress.encoding import packed_bytes
from litecompress.errors import InputError
from litecompress.export.base import is_matrix
from litecompress.export.package import write_package
from litecompress.ledger import size_sheet
from litecompress.sizes import protobuf
from litecompress.sizes.account import account
from litecompress.sizes.flatbuffer import Flatbuffer
from litecompress.sizes.sheet import stored_bytes
from litecompress.sizes.spans import Span, divide
from litecompress.sizes.values import sheet_values
from tests import models
from tests.sizes import packages
from tests.sizes.packages import MATRIX, TOKENIZER, seal

MADE = {
    "onnx": packages.onnx_package,
    "tflite": packages.tflite_package,
    "coreml": packages.coreml_package,
}
MLMODEL = "encoder.mlpackage/Data/com.apple.CoreML/model.mlmodel"
BLOBS = "encoder.mlpackage/Data/com.apple.CoreML/weights/weight.bin"
PARSED = [
    ("onnx", "encoder.onnx"),
    ("tflite", "model.tflite"),
    ("coreml", MLMODEL),
    ("coreml", BLOBS),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A package of each target, made once."""
    done: dict[str, Path] = {}

    def make(target):
        if target not in done:
            done[target] = MADE[target](tmp_path_factory.mktemp(target) / target)
        return done[target]

    return make


def by_role(sheet, name) -> dict[str, int]:
    sizes: Counter[str] = Counter()
    for part in sheet.parts:
        if part.name == name:
            sizes[part.role] += part.stored_bytes
    return dict(sizes)


@pytest.mark.parametrize("target", MADE)
def test_the_parts_of_a_package_are_its_files(made, target):
    folder = made(target)
    sheet = account(folder).sheet
    sizes = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert (sheet.target, sheet.scope, dict(sheet.files)) == (target, "package_raw", sizes)
    assert stored_bytes(sheet.parts) == sum(sizes.values())
    assert by_role(sheet, "tokenizer.json") == {"tokenizer": len(TOKENIZER)}
    scopes = sheet_values(account(folder))["scopes"]
    reported = size_sheet(models.artifact(), models.artifact(), 1, 1, {target: folder})
    for scope in ("package_raw", "package_download"):
        assert scopes[scope] == reported[f"{scope}.{target}"].compressed


def test_an_onnx_package_by_tensor(made):
    sheet = account(made("onnx")).sheet
    assert by_role(sheet, "embedding.weight") == {"values": 320, "scale": 160}
    assert by_role(sheet, "encoder.0.ffn.fc1.weight") == {"indices": 15, "codebook": 16}
    assert by_role(sheet, "encoder.0.attention.out.bias") == {"values": 24}
    assert by_role(sheet, "val_7") == {"values": 12}
    assert by_role(sheet, "alignment") == {"padding": 64}
    groups = {part.name: part.group for part in sheet.parts}
    assert groups["encoder.0.ffn.fc1.weight"] == "ffn"
    assert groups["val_7"] == "constants"


def test_a_tflite_package_by_constant(made):
    sheet = account(made("tflite")).sheet
    assert by_role(sheet, "5x8 #1") == {"values": 40}
    table = [part for part in sheet.parts if part.name == "40x8 #1"]
    assert {part.role for part in table} == {"values", "scale", "zero_point"}
    assert sum(part.stored_bytes for part in table if part.role == "values") == 320
    assert {part.group for part in table} == {"embedding"}
    groups = {part.name: part.group for part in sheet.parts}
    assert (groups["5x8 #1"], groups["5 #1"], groups["8 #1"]) == ("linear", "linear", "constants")


def test_a_core_ml_package_by_tensor(made):
    sheet = account(made("coreml")).sheet
    count = MATRIX[0] * MATRIX[1]
    assert by_role(sheet, "encoder.0.ffn.fc1.weight") == {"indices": packed_bytes(count, 3)}
    embedding = by_role(sheet, "embedding.weight")
    assert embedding["mask"] == packed_bytes(count, 1)
    assert embedding["codebook"] == 2 * 256
    assert 0.5 * count < embedding["indices"] < 0.7 * count
    assert by_role(sheet, "decoder.3.ffn_norm.bias") == {"values": 2 * count}
    groups = {part.name: part.group for part in sheet.parts}
    assert groups["decoder.3.ffn_norm.bias"] == "norms"


def test_another_target_goes_by_file(tmp_path):
    (tmp_path / "model.bin").write_bytes(bytes(9))
    sheet = account(seal(tmp_path, "other", {"model": "model.bin"})).sheet
    sizes = {part.name: part.stored_bytes for part in sheet.parts}
    assert sizes["model.bin"] == 9
    assert sum(sizes.values()) == sheet.total_bytes


@pytest.mark.parametrize(("target", "file"), PARSED)
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damage_is_one_error_or_still_adds_up(made, tmp_path_factory, target, file, data):
    folder = tmp_path_factory.getbasetemp() / f"damaged-{target}"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(made(target), folder)
    content = bytearray((folder / file).read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    for _ in range(data.draw(st.integers(1, 4)) if content else 0):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
    (folder / file).write_bytes(content)
    seal(folder, target, {})
    with suppress(InputError):
        sheet = account(folder).sheet
        assert stored_bytes(sheet.parts) == sum(sheet.files.values())


def test_a_changed_file_is_refused_by_its_checksum(made, tmp_path):
    shutil.copytree(made("onnx"), tmp_path / "p")
    (tmp_path / "p" / "weights.bin").write_bytes(b"")
    with pytest.raises(InputError, match=r"missing or changed: weights\.bin"):
        account(tmp_path / "p")


def test_a_graph_that_names_another_file_is_refused(made, tmp_path):
    shutil.copytree(made("onnx"), tmp_path / "p")
    (tmp_path / "p" / "weights.bin").unlink()
    with pytest.raises(InputError, match=r"no file weights\.bin, which a graph names"):
        account(seal(tmp_path / "p", "onnx", {}))


@pytest.mark.parametrize(
    "spans",
    [
        [Span(0, 4, "a", "values"), Span(2, 4, "b", "values")],
        [Span(6, 5, "b", "values")],
        [Span(-1, 5, "b", "values")],
        [Span(4, -2, "b", "values")],
    ],
)
def test_tensors_that_overlap_or_leave_the_file_are_refused(spans):
    with pytest.raises(InputError, match=r"expected tensors apart and within 10 bytes, got b at"):
        divide("f", 10, spans, ("rest", "graph", "graph"))


def test_a_place_that_two_tensors_share_counts_once():
    spans = [Span(0, 4, "a", "values"), Span(0, 4, "b", "values"), Span(5, 0, "c", "values")]
    parts = divide("f", 10, spans, ("rest", "graph", "graph"))
    assert [(part.name, part.stored_bytes) for part in parts] == [("a", 4), ("rest", 6)]


def test_readers_stop_at_what_a_file_cannot_hold():
    root, vtable, table = struct.pack("<I", 12), struct.pack("<4H", 8, 8, 0, 4), (8, 4)
    vector = struct.pack("<I", 1 << 30)  # tables that are not there
    content = root + vtable + struct.pack("<2I", *table) + vector
    with pytest.raises(ValueError, match="24 bytes that is read at 24"):
        list(Flatbuffer(content).root().tables(1))
    endless = Flatbuffer(content)
    with pytest.raises(ValueError, match="24 bytes that is read at 0"):
        [endless.number(0) for _ in range(200)]
    for content in (b"\x0a\x05ab", b"\xff" * 12, b"\x0b"):
        with pytest.raises(ValueError, match="protobuf"):
            list(protobuf.Message(content).all(1))


@pytest.mark.slow
@pytest.mark.parametrize("target", MADE)
def test_exported_packages_name_every_weight(target, tmp_path):
    artifact = models.artifact(embed_dim=64, ffn_dim=64)
    write_package(load_exporter(target)(), artifact, tmp_path / target)
    sheet = account(tmp_path / target).sheet
    found = {part.name for part in sheet.parts}
    groups = {group: stored_bytes(parts) for group, parts in sheet.groups().items()}
    matrices = [n for n, w in artifact.weights.items() if is_matrix(n, w)]
    if target != "tflite":  # its tensors have no names
        assert set(matrices) <= found
    weights = sum(w.decode().size for n, w in artifact.weights.items() if n in matrices)
    embedding = artifact.weights["embedding.weight"].decode().size
    assert embedding <= groups["embedding"] <= 4.2 * embedding
    own = {"tokenizer", "graph", "constants", "container"}
    assert weights <= sum(size for group, size in groups.items() if group not in own)
    assert groups["constants"] < 0.05 * sheet.total_bytes
