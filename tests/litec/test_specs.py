"""Every encoding through the file; and whatever a header says, an answer or one error."""

from __future__ import annotations

import contextlib
import json
import struct
import zlib

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from litecompress.artifact_file import MAGIC, dump_artifact, load_artifact
from litecompress.encoding import Affine, Bands, Dense, Palette, Sparse
from litecompress.errors import ArtifactError
from litecompress.litec.specs import describe, restore
from litecompress.litec.streams import pack, unpack
from tests.sizes.encodings import ALL, BASE, encoding


def through_the_file(value):
    header, frames = pack(describe(value))
    return restore(unpack(json.loads(json.dumps(header)), memoryview(b"".join(frames))))


def assert_same(ours, theirs):
    assert type(ours) is type(theirs)
    assert (ours.shape, ours.nbytes) == (theirs.shape, theirs.nbytes)
    for field in ("values", "scale", "zero_point", "indices", "codebook", "mask", "band"):
        if isinstance(getattr(theirs, field, None), np.ndarray):
            np.testing.assert_array_equal(getattr(ours, field), getattr(theirs, field))
            assert getattr(ours, field).dtype == getattr(theirs, field).dtype
    for field in ("axis", "num_bits", "group_size"):
        assert getattr(ours, field, None) == getattr(theirs, field, None)
    for one, other in zip(getattr(ours, "parts", ()), getattr(theirs, "parts", ()), strict=True):
        assert_same(one, other)
    if isinstance(theirs, Sparse):
        assert_same(ours.values, theirs.values)


@pytest.mark.parametrize("kind", ALL)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(3, 40), columns=st.integers(1, 40))
@settings(max_examples=20)
def test_an_encoding_comes_back(kind, seed, rows, columns):
    value = encoding(kind, (rows, columns), np.random.default_rng(seed))
    assert_same(through_the_file(value), value)


@pytest.mark.parametrize(
    "value",
    [
        Dense(np.zeros((0, 4), np.float32)),
        Palette(np.zeros((1, 1), np.uint8), np.ones(1, np.float16), 1),
        Sparse(np.zeros((4, 5), bool), Dense(np.zeros(0, np.float32))),
        Sparse(np.zeros((4, 5), bool), Palette(np.zeros(0, np.uint8), np.zeros(1, np.float16), 2)),
        Affine(np.zeros((2, 3), np.uint8), np.ones(2, np.float16), np.full(2, 128, np.uint8)),
        Bands(np.arange(300, dtype=np.uint16), (Dense(np.ones((1, 2), np.float16)),) * 300),
    ],
)
def test_small_and_empty_ones_come_back(value):
    assert_same(through_the_file(value), value)


def test_equal_matrices_are_stored_once():
    first, second = "encoder.0.ffn.fc1.weight", "encoder.1.ffn.fc1.weight"
    one = {
        **BASE.weights,
        first: Dense(np.eye(16, dtype="f4")),
        second: Dense(np.ones((16, 16), "f4")),
    }
    two = {**one, second: Dense(np.eye(16, dtype="f4"))}
    contents = [dump_artifact(type(BASE)(BASE.config, w, BASE.tokenizer)) for w in (one, two)]
    headers = [header_of(content) for content in contents]
    assert headers[1]["weights"][second] == {"kind": "tied", "to": first}
    assert "tied" not in json.dumps(headers[0])


HOSTILE = [None, True, -1, 0, 1, 3, 1.5, 2**31, 2**70, "", "x", "tied", "bands", "sparse", [], {}]
HOSTILE += [[2**31, 2**31], [0], {"crc32": 1}, float("inf")]


def header_of(content: bytes) -> dict:
    (length,) = struct.unpack_from("<I", content, len(MAGIC))
    return json.loads(zstandard.ZstdDecompressor().decompress(content[len(MAGIC) + 8 :][:length]))


def with_header(header: object, content: bytes) -> bytes:
    (length,) = struct.unpack_from("<I", content, len(MAGIC))
    packed = zstandard.ZstdCompressor().compress(json.dumps(header).encode())
    prefix = MAGIC + struct.pack("<II", len(packed), zlib.crc32(packed))
    return prefix + packed + content[len(MAGIC) + 8 + length :]


def places(tree, path=()):
    """Paths to everything in a tree."""
    yield path
    inside = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree if isinstance(tree, list) else [])
    )
    for key, part in inside:
        yield from places(part, (*path, key))


@pytest.fixture(scope="module")
def content() -> bytes:
    rng = np.random.default_rng(3)
    names = sorted(
        n for n, w in BASE.weights.items() if n.endswith(".weight") and len(w.shape) == 2
    )
    chosen = {n: encoding(k, BASE.weights[n].shape, rng) for n, k in zip(names, ALL, strict=False)}
    return dump_artifact(type(BASE)(BASE.config, {**BASE.weights, **chosen}, BASE.tokenizer))


@given(data=st.data())
@settings(max_examples=150)
def test_a_header_with_any_value_changed(content, tmp_path_factory, data):
    header = header_of(content)
    path = data.draw(st.sampled_from(list(places(header))[1:]))
    *above, last = path
    part = header
    for key in above:
        part = part[key]
    part[last] = data.draw(st.sampled_from(HOSTILE))
    file = tmp_path_factory.getbasetemp() / "hostile.litec"
    file.write_bytes(with_header(header, content))
    with contextlib.suppress(ArtifactError):  # some changes are harmless, such as another dropout
        load_artifact(file)
