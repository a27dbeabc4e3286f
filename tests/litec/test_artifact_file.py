"""The .litec file: the same value comes back, the bytes never vary, damage is one clear error."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from litecompress.artifact import Artifact
from litecompress.artifact_file import (
    MAGIC,
    dump_artifact,
    load_artifact,
    load_model,
    parse_artifact,
    save_artifact,
)
from litecompress.checkpoint import save_checkpoint
from litecompress.encoding import Affine, Dense, Encoding, Palette, Sparse, symmetric_int8
from litecompress.errors import ArtifactError, CheckpointError
from tests import models


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    compressed = models.compressed(embed_dim=64, ffn_dim=64)
    weights = dict(compressed.weights)
    matrix = weights["encoder.0.ffn.fc1.weight"].decode()
    weights["encoder.0.ffn.fc1.weight"] = symmetric_int8(matrix)
    mask = np.abs(matrix) > 0.1
    weights["encoder.0.ffn.fc2.weight"] = Sparse(mask, Dense(matrix[mask]))
    indices = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
    weights["encoder.1.ffn.fc1.weight"] = Palette(indices, np.linspace(0, 1, 256, dtype="f2"))
    codes = np.zeros(int(mask.sum()), np.uint8)
    full = Palette(codes, np.linspace(0, 1, 256, dtype="f2"))
    weights["encoder.1.ffn.fc2.weight"] = Sparse(mask, full)
    return Artifact(compressed.config, weights, compressed.tokenizer, compressed.history)


@pytest.fixture(scope="module")
def content(artifact) -> bytes:
    return dump_artifact(artifact)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged") / "x.litec"


def assert_equal(ours: Encoding, theirs: Encoding) -> None:
    assert type(ours) is type(theirs)
    assert (ours.shape, ours.nbytes) == (theirs.shape, theirs.nbytes)
    np.testing.assert_array_equal(ours.decode(), theirs.decode())


def test_every_kind_of_encoding_comes_back(artifact, tmp_path):
    save_artifact(artifact, tmp_path / "a.litec")
    loaded = load_artifact(tmp_path / "a.litec")
    assert loaded.config == artifact.config
    assert loaded.tokenizer == artifact.tokenizer
    assert loaded.history == artifact.history
    assert loaded.weights.keys() == artifact.weights.keys()
    kinds = set()
    for name, encoding in artifact.weights.items():
        assert_equal(loaded.weights[name], encoding)
        kinds.add(type(encoding))
    assert kinds == {Dense, Affine, Palette, Sparse}


def test_the_bytes_depend_on_nothing_but_the_value(artifact):
    shuffled = dict(reversed(list(artifact.weights.items())))
    again = Artifact(artifact.config, shuffled, artifact.tokenizer, artifact.history)
    assert dump_artifact(again) == dump_artifact(artifact)
    assert dump_artifact(parse_artifact(dump_artifact(artifact))) == dump_artifact(artifact)


def test_a_checkpoint_folder_is_an_uncompressed_artifact(tmp_path):
    checkpoint = models.checkpoint()
    save_checkpoint(checkpoint, tmp_path)
    loaded = load_model(tmp_path)
    for name, weight in checkpoint.weights.items():
        np.testing.assert_array_equal(loaded.weights[name].decode(), weight)
    assert loaded.config == checkpoint.config


def outcome(path, content):
    path.write_bytes(content)
    try:
        return load_artifact(path)
    except ArtifactError:
        return None


@settings(max_examples=100)
@given(cut=st.integers(0, 2**20))
def test_a_truncated_file_is_an_artifact_error(content, scratch, cut):
    assert outcome(scratch, content[: cut % len(content)]) is None


@settings(max_examples=200)
@given(place=st.integers(0, 2**20), bits=st.integers(1, 255))
def test_a_flipped_byte_is_an_artifact_error(content, scratch, place, bits):
    damaged = bytearray(content)
    damaged[place % len(content)] ^= bits
    assert outcome(scratch, bytes(damaged)) is None


def test_bytes_after_the_end_are_refused(content, scratch):
    assert outcome(scratch, content + b"x") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a .litec file"),
        (b"PK\x03\x04 something else", "expected a .litec file"),
        (MAGIC, "at least 16 bytes"),
        (MAGIC + struct.pack("<II", 50, 0) + b"short", "header is damaged"),
    ],
)
def test_foreign_and_short_files(tmp_path, content, message):
    path = tmp_path / "x.litec"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=message):
        load_artifact(path)


def with_header(packed: bytes) -> bytes:
    return MAGIC + struct.pack("<II", len(packed), zlib.crc32(packed)) + packed


def test_a_header_that_promises_too_much_allocates_nothing(tmp_path):
    bomb = zstandard.ZstdCompressor(19).compress(bytes(64 * 2**20))
    path = tmp_path / "bomb.litec"
    path.write_bytes(with_header(bomb))
    with pytest.raises(ArtifactError, match="frame of at most"):
        load_artifact(path)


def test_header_of_another_shape_is_one_artifact_error(tmp_path):
    for text in (b"[]", b'{"tokenizer": 3}', b"not json", b'{"tokenizer":{"dtype":"u1"}}'):
        packed = zstandard.ZstdCompressor().compress(text)
        path = tmp_path / "odd.litec"
        path.write_bytes(with_header(packed))
        with pytest.raises(ArtifactError, match=r"odd\.litec"):
            load_artifact(path)


def test_missing_file_and_empty_folder(tmp_path):
    with pytest.raises(ArtifactError, match="no such file"):
        load_model(tmp_path / "none.litec")
    with pytest.raises(CheckpointError, match=r"config\.json, model\.safetensors"):
        load_model(tmp_path)


def test_no_half_written_file_is_left(artifact, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save_artifact(artifact, tmp_path / "a.litec")
    assert list(tmp_path.iterdir()) == []
