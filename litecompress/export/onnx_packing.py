"""Codes packed to their bits, as ONNX packages store them.

Codes of b bits, filled up to a multiple of 8 with zeros, are divided into planes whose widths are
powers of two, 6 = 4 + 2 bits, low bits first. Byte j of a plane of width w holds codes j, j + m,
j + 2m, .., where m is the number of bytes, lowest bits first: one shift unpacks all codes j.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from litecompress.encoding import Array


def widths(bits: int) -> list[int]:
    """Widths of the planes of codes of 1 to 8 bits, low bits first."""
    return [width for width in (8, 4, 2, 1) if bits & width]


def index_bits(count: int) -> int:
    """Bits that tell `count` symbols apart, 1 at least."""
    return max(1, (count - 1).bit_length())


def plane_bytes(count: int, bits: int) -> int:
    """Bytes of `count` codes of so many bits; those of 8 bits are not filled up."""
    return count if bits == 8 else -(-count // 8) * bits


def pack_planes(codes: Array, bits: int) -> dict[str, Array]:
    """Planes by suffix; codes of 8 bits stay as they are, under none."""
    if bits == 8:
        return {"": codes}
    planes: dict[str, Array] = {}
    for width in widths(bits):
        planes[f".bits{width}"] = pack(codes & ((1 << width) - 1), width)
        codes = codes >> width
    return planes


def pack(codes: Array, width: int) -> NDArray[np.uint8]:
    """A plane (1, m) of codes of 1, 2 or 4 bits."""
    size, codes_a_byte = -(-codes.size // 8) * width, 8 // width
    rows = np.zeros((codes_a_byte, size), np.uint8)
    rows.reshape(-1)[: codes.size] = codes.reshape(-1)
    shifts = width * np.arange(codes_a_byte, dtype=np.uint8)[:, None]
    plane: NDArray[np.uint8] = np.bitwise_or.reduce(rows << shifts, axis=0)[None]
    return plane


def nibbles(codes: Array) -> NDArray[np.uint8]:
    """Codes (rows, n) of 4 bits, two neighbours a byte, the first of them in its low bits."""
    even = np.pad(codes.astype(np.uint8), ((0, 0), (0, codes.shape[1] % 2)))
    pairs: NDArray[np.uint8] = even[:, 0::2] | even[:, 1::2] << np.uint8(4)
    return pairs
