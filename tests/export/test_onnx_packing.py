"""Packed codes: read back by definition, and no byte more than their bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litecompress.encoding import packed_bytes
from litecompress.export.onnx_packing import index_bits, nibbles, pack_planes, plane_bytes, widths


def code(planes, bits, index, count):
    """One code, read bit by bit as the module's docstring says."""
    value = offset = 0
    for width in widths(bits):
        plane = planes[f".bits{width}"].reshape(-1)
        byte, shift = index % len(plane), width * (index // len(plane))
        assert len(plane) == -(-count // 8) * width
        value |= (int(plane[byte]) >> shift & (1 << width) - 1) << offset
        offset += width
    return value


@settings(max_examples=60)
@given(st.data())
def test_codes_are_read_back_by_definition(data):
    bits = data.draw(st.integers(1, 7))
    codes = np.array(data.draw(st.lists(st.integers(0, 2**bits - 1), min_size=1)), np.uint8)
    planes = pack_planes(codes, bits)
    read = [code(planes, bits, i, len(codes)) for i in range(len(codes))]
    assert read == codes.tolist()
    assert sum(p.nbytes for p in planes.values()) == plane_bytes(len(codes), bits)


@pytest.mark.parametrize("bits", range(1, 9))
def test_whole_bytes_of_codes_take_their_bits_and_no_more(bits):
    assert sum(widths(bits)) == bits
    for count in (8, 24, 496 * 248):
        assert plane_bytes(count, bits) == packed_bytes(count, bits) == count * bits // 8
    assert plane_bytes(17, bits) == (17 if bits == 8 else 3 * bits)


def test_eight_bits_stay_as_they_are():
    codes = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert list(pack_planes(codes, 8)) == [""]
    np.testing.assert_array_equal(pack_planes(codes, 8)[""], codes)


def test_nibbles_are_neighbours_in_a_row():
    packed = nibbles(np.array([[1, 2, 3], [4, 5, 15]]))
    np.testing.assert_array_equal(packed, [[0x21, 0x03], [0x54, 0x0F]])


@pytest.mark.parametrize(("count", "bits"), [(1, 1), (2, 1), (3, 2), (16, 4), (17, 5), (256, 8)])
def test_bits_that_tell_symbols_apart(count, bits):
    assert index_bits(count) == bits
