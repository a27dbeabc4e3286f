"""Trees of arrays: what is packed comes back, and nothing is believed that a file claims."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from litecompress.errors import ArtifactError
from litecompress.litec.streams import FREE_BYTES, Stream, pack, plain, symbols, unpack


@st.composite
def trees(draw):
    """Nested mappings and lists with arrays of every type that can be stored."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def array(dtype, rows, columns):
        return rng.integers(0, 120, (rows, columns)).astype(dtype)

    size = st.integers(0, 12)
    leaf = st.builds(lambda *a: symbols(array(*a)), st.sampled_from(["u1", "i1", "?"]), size, size)
    leaf |= st.builds(
        lambda *a: plain(array(*a)), st.sampled_from(["u1", "u2", "f2", "f4"]), size, size
    )
    leaf |= st.integers(0, 99) | st.text(max_size=3)
    keys = st.sampled_from(["b", "a", "c", "shape"])
    return draw(
        st.recursive(
            leaf, lambda t: st.lists(t, max_size=3) | st.dictionaries(keys, t), max_leaves=9
        )
    )


def assert_same(ours, theirs):
    match theirs:
        case Stream(values):
            assert ours.dtype == (np.uint8 if values.dtype == bool else values.dtype)
            np.testing.assert_array_equal(ours, values.reshape(-1))
        case list():
            for one, other in zip(ours, theirs, strict=True):
                assert_same(one, other)
        case dict():
            assert ours.keys() == theirs.keys()
            for key, other in theirs.items():
                assert_same(ours[key], other)
        case _:
            assert ours == theirs


@given(tree=trees())
def test_a_tree_comes_back(tree):
    header, frames = pack(tree)
    assert_same(unpack(header, memoryview(b"".join(frames))), tree)


@given(values=st.lists(st.integers(-128, 127), min_size=1))
def test_int8_keeps_its_order_as_symbols(values):
    array = np.array(values, np.int8)
    assert_same(
        *(unpack(pack(t)[0], memoryview(pack(t)[1][0])) for t in [symbols(array)]), symbols(array)
    )


@pytest.mark.parametrize("change", [{"bytes": 1}, {"count": 99}, {"crc32": 0}, {"dtype": "f4"}])
@pytest.mark.parametrize(
    "stream", [symbols(np.arange(80, dtype="u1") % 7), plain(np.ones(80, "f2"))]
)
def test_a_description_that_is_not_true(stream, change):
    header, frames = pack({"w": stream})
    header["w"] |= change
    with pytest.raises(ArtifactError, match=r"expected|differs|damaged"):
        unpack(header, memoryview(frames[0]))


@pytest.mark.parametrize(
    "change", [{"coder": "lz"}, {"dtype": "f8"}, {"count": -1}, {"bytes": 1.5}]
)
def test_what_a_later_version_may_write(change):
    header, frames = pack({"w": symbols(np.arange(80, dtype="u1"))})
    header["w"] |= change
    with pytest.raises(ArtifactError, match=r"update litecompress|whole number"):
        unpack(header, memoryview(frames[0]))


def test_a_type_that_cannot_be_stored():
    with pytest.raises(ArtifactError, match="got an array of float64"):
        plain(np.ones(3))
    with pytest.raises(ArtifactError, match="got an array of int32"):
        symbols(np.ones(3, np.int32))


def peak_bytes(header, data) -> int:
    tracemalloc.start()
    try:
        with pytest.raises(ArtifactError, match=r"not credible|checksum"):
            unpack(header, memoryview(data))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def claim(count: int, streams: int) -> tuple[dict, bytes]:
    """Streams of two bytes each that stand for so many symbols."""
    spec = {"coder": "symbols", "dtype": "u1", "bytes": 2, "count": count, "crc32": 1}
    return {"w": [spec] * streams}, b"\x00\x07" * streams


def test_a_small_file_that_claims_much_gets_little():
    assert peak_bytes(*claim(2**31, 1)) < 1 << 20
    assert peak_bytes(*claim(2**24, 64)) < 1 << 20
    assert peak_bytes(*claim(FREE_BYTES, 1)) < 4 * FREE_BYTES
