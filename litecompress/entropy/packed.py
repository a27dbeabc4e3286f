"""Numbers of equal width in bits, first number in the highest bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from litecompress.encoding import packed_bytes
from litecompress.errors import ArtifactError

_CHUNK = 1 << 17  # numbers at a time, a whole number of bytes


def pack(numbers: NDArray[np.uint8], width: int) -> bytes:
    """`width` bits each, from 0 to 8; the last byte is filled with zero bits."""
    chunks = (numbers[i : i + _CHUNK] for i in range(0, len(numbers), _CHUNK))
    return b"".join(
        np.packbits(np.unpackbits(chunk[:, None], axis=1)[:, 8 - width :]).tobytes()
        for chunk in chunks
    )


def unpack(data: memoryview, width: int, count: int) -> NDArray[np.uint8]:
    """Exactly `count` numbers; an ArtifactError for more data, less, or other filling."""
    size, spare = packed_bytes(count, width), -count * width % 8
    if len(data) != size or (spare and data[-1] & (1 << spare) - 1):
        raise ArtifactError(
            f"expected {count} numbers of {width} bits in {size} bytes, the rest zero bits, "
            f"got {len(data)} bytes: damaged or truncated; fetch it again"
        )
    numbers, raw = np.zeros(count, np.uint8), np.frombuffer(data, np.uint8)
    for begin in range(0, count if width else 0, _CHUNK):
        part = numbers[begin : begin + _CHUNK]
        bits = np.zeros((len(part), 8), np.uint8)
        source = raw[begin * width // 8 :][: packed_bytes(len(part), width)]
        bits[:, 8 - width :] = np.unpackbits(source, count=len(part) * width).reshape(-1, width)
        part[:] = np.packbits(bits, axis=1)[:, 0]
    return numbers
