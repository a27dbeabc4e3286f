"""Every byte of an artifact and of a checkpoint is accounted for, once."""

from __future__ import annotations

import json
import struct
import zlib
from math import prod

import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from safetensors import safe_open
from safetensors.numpy import save_file

from litecompress.artifact_file import MAGIC, dump_artifact, save_artifact, stream_table
from litecompress.checkpoint import save_checkpoint
from litecompress.cost import component
from litecompress.encoding import Affine, Dense, Palette, Sparse
from litecompress.errors import ArtifactError, CheckpointError, InputError
from litecompress.sizes.account import account
from litecompress.sizes.sheet import Part, Sheet, stored_bytes
from litecompress.sizes.values import sheet_values
from tests import models
from tests.sizes.encodings import artifacts

RELAXED = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


def frame_sizes(content: bytes) -> list[int]:
    """Bytes of every zstd frame behind the prefix, found without the header."""
    rest, sizes = content[len(MAGIC) + 8 :], []
    while rest:
        reader = zstandard.ZstdDecompressor().decompressobj()
        reader.decompress(rest)
        sizes.append(len(rest) - len(reader.unused_data))
        rest = reader.unused_data
    return sizes


@RELAXED
@given(model=artifacts())
def test_the_parts_of_an_artifact_are_its_frames_and_its_prefix(model, tmp_path):
    path = tmp_path / "a.litec"
    save_artifact(model, path)
    sheet = account(path).sheet
    assert sheet.total_bytes == path.stat().st_size == stored_bytes(sheet.parts)
    framing = [part.stored_bytes for part in sheet.parts if part.role == "framing"]
    coded = [part.stored_bytes for part in sheet.parts if part.role != "framing"]
    assert framing == [len(MAGIC) + 8]
    assert sorted(coded) == sorted(frame_sizes(path.read_bytes()))


@RELAXED
@given(model=artifacts())
def test_each_tensor_has_its_streams(model, tmp_path):
    path = tmp_path / "a.litec"
    save_artifact(model, path)
    parts = account(path).sheet.parts
    for name, encoding in model.weights.items():
        of_tensor = {part.role: part for part in parts if part.name == name}
        assert {part.group for part in of_tensor.values()} == {component(name)}
        assert {role: part.raw_bytes for role, part in of_tensor.items()} == raw_sizes(encoding)
    texts = [part.raw_bytes for part in parts if part.role == "tokenizer"]
    assert texts == [len(t) for t in (model.tokenizer, model.target_tokenizer) if t is not None]


def raw_sizes(encoding) -> dict[str, int]:
    """Bytes before coding by role, as docs/format.md stores an encoding."""
    count = prod(encoding.shape)
    match encoding:
        case Dense(values):
            return {"values": values.nbytes}
        case Affine():
            scales = {"scale": encoding.scale.nbytes, "zero_point": encoding.zero_point.nbytes}
            return {"values": count} | scales
        case Palette():
            return {"indices": count, "codebook": encoding.codebook.nbytes}
        case Sparse(_, Palette(_, codebook)) if len(codebook) < 256:
            return {"symbols": count, "codebook": codebook.nbytes}
    assert isinstance(encoding, Sparse)
    return {"mask": (count + 7) // 8} | raw_sizes(encoding.values)


def test_descriptions_are_followed_however_they_are_nested():
    frames = [zstandard.ZstdCompressor().compress(bytes(n)) for n in (7, 20, 300, 5)]
    tokenizer, *streams = [
        {"dtype": "u1", "count": n, "bytes": len(f), "crc32": zlib.crc32(bytes(n))}
        for n, f in zip((7, 20, 300, 5), frames, strict=True)
    ]
    first = {"kind": "palette", "shape": [4, 5], "indices": streams[0]}
    second = {"kind": "sparse", "mask": streams[1], "values": {"values": streams[2]}}
    weights = {"w": {"kind": "bands", "parts": [first, second]}}
    text = json.dumps({"tokenizer": tokenizer, "weights": weights}).encode()
    header = zstandard.ZstdCompressor().compress(text)
    prefix = MAGIC + struct.pack("<II", len(header), zlib.crc32(header))
    rows = stream_table(b"".join([prefix, header, *frames]))
    assert rows[:2] == [(None, "framing", 16, 16), (None, "header", len(header), len(text))]
    assert [row[:2] for row in rows[3:]] == [("w", "indices"), ("w", "mask"), ("w", "values")]
    assert [row.raw_bytes for row in rows[2:]] == [7, 20, 300, 5]
    assert [row.stored_bytes for row in rows[2:]] == [len(f) for f in frames]


def test_bytes_that_no_stream_names_are_refused():
    content = dump_artifact(models.artifact())
    for changed in (content + b"x", content[:-1]):
        with pytest.raises(ArtifactError, match=r"expected \d+ bytes by the header"):
            stream_table(changed)


def test_a_damaged_artifact_is_one_error(tmp_path):
    content = dump_artifact(models.compressed())
    path = tmp_path / "a.litec"
    for end in (0, 12, 200, len(content) - 1):
        path.write_bytes(content[:end])
        with pytest.raises(ArtifactError, match=r"a\.litec: "):
            account(path)


def test_the_parts_of_a_checkpoint_are_its_tensors(tmp_path):
    save_checkpoint(models.checkpoint("dynamic", share_embeddings=False), tmp_path)
    (tmp_path / "README.md").write_text("about it")
    sheet = account(tmp_path).sheet
    sizes = {p.name: p.stat().st_size for p in tmp_path.iterdir() if p.name != "README.md"}
    assert dict(sheet.files) == sizes
    assert sheet.left_out == {"README.md": 8}
    with safe_open(tmp_path / "model.safetensors", "np") as file:
        expected = {n: file.get_tensor(n).nbytes for n in file.keys()}  # noqa: SIM118
    found = {p.name: p.stored_bytes for p in sheet.parts if p.role == "values"}
    assert found == expected
    assert {p.group for p in sheet.parts if p.name == "output.weight"} == {"output"}


def test_a_checkpoint_in_half_precision_counts_what_it_stores(tmp_path):
    checkpoint = models.checkpoint()
    save_checkpoint(checkpoint, tmp_path)
    halves = {n: w.astype(np.float16) for n, w in checkpoint.weights.items()}
    save_file(halves, tmp_path / "model.safetensors")
    sheet = account(tmp_path).sheet
    values = [part for part in sheet.parts if part.role == "values"]
    assert stored_bytes(values) == sum(w.nbytes for w in halves.values())


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="no such file"):
        account(tmp_path / "none")
    with pytest.raises(CheckpointError, match=r"none of config\.json"):
        account(tmp_path)
    save_artifact(models.artifact(), tmp_path / "artifact.litec")
    with pytest.raises(InputError, match=r"got a run's output; name .*artifact\.litec"):
        account(tmp_path)


def test_parts_that_do_not_add_up_are_refused():
    part = Part("w", "ffn", "values", 3, 3, "a")
    with pytest.raises(InputError, match="add up to each file, got a: 4 and 3"):
        Sheet("x", "artifact", (part,), {"a": 4})
    with pytest.raises(InputError, match="got b: 1 and 0"):
        Sheet("x", "artifact", (part,), {"a": 3, "b": 1})


@RELAXED
@given(model=artifacts())
def test_every_view_of_the_values_has_the_same_total(model, tmp_path):
    path = tmp_path / "a.litec"
    save_artifact(model, path)
    values = json.loads(json.dumps(sheet_values(account(path)), allow_nan=False))
    total = path.stat().st_size
    assert values["total_bytes"] == values["scopes"]["artifact_bytes"] == total
    assert sum(values["components"].values()) == total
    assert sum(role["stored_bytes"] for role in values["roles"].values()) == total
    assert sum(part["stored_bytes"] for part in values["parts"]) == total
    assert values["scopes"]["weights_all"] == model.nbytes(embeddings=True)
    assert values["scopes"]["weights_nonembed"] == model.nbytes(embeddings=False)
