"""Arrays as streams: symbols through the entropy coder, everything else in zstd frames.

A tree of plain values holds a `Stream` wherever an array is to be stored. `pack` puts a
description in its place, which goes into the header; `unpack` puts the array back.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, Literal

import numpy as np
import zstandard

from litecompress.encoding import Array
from litecompress.entropy import decode_all, encode_all
from litecompress.errors import ArtifactError

LEVEL = 19
FREE_BYTES, MOST_RATIO = 1 << 24, 1024  # how far content may exceed the file that holds it
_SYMBOLS, _PLAIN = ("u1", "i1"), ("u1", "u2", "f2", "f4")
_SIGN = np.uint8(0x80)  # turns int8 into symbols in the order of the values


@dataclass(frozen=True, eq=False)
class Stream:
    """An array to be stored; `symbols` are of one byte, best in the shape of the weight."""

    values: Array
    coder: Literal["symbols", "zstd"]

    def __post_init__(self) -> None:
        known = _SYMBOLS if self.coder == "symbols" else _PLAIN
        if self.values.dtype.str[1:] not in known:
            raise ArtifactError(f"expected one of {known}, got an array of {self.values.dtype}")

    @cached_property
    def raw(self) -> Array:
        """The content, little-endian and row-major."""
        return np.ascontiguousarray(self.values, self.values.dtype.newbyteorder("<"))

    @cached_property
    def described(self) -> dict[str, Any]:
        """What the header says of the content."""
        dtype = self.values.dtype.str[1:]
        what = {"coder": self.coder, "dtype": dtype, "count": self.values.size}
        return {**what, "crc32": zlib.crc32(self.raw.data)}


def symbols(values: Array) -> Stream:
    """Indices, masks, grid values: what has an alphabet."""
    return Stream(values.astype(np.uint8) if values.dtype == bool else values, "symbols")


def plain(values: Array | bytes) -> Stream:
    """Floating-point numbers and text."""
    return Stream(np.frombuffer(values, "u1") if isinstance(values, bytes) else values, "zstd")


def described(tree: Any) -> Any:
    """The tree with the description of its content in each stream's place, not yet coded."""
    return _replaced(tree, lambda stream: stream.described)


def pack(tree: Any) -> tuple[Any, list[bytes]]:
    """The tree with descriptions in place of streams, and the streams' bytes in that order."""
    streams = [stream for _, stream in _leaves(tree)]
    coded = iter(encode_all([_as_symbols(s.values) for s in streams if s.coder == "symbols"]))
    frames = [next(coded) if s.coder == "symbols" else compress(s.raw.data) for s in streams]
    sizes = iter(frames)
    return _replaced(tree, lambda s: {**s.described, "bytes": len(next(sizes))}), frames


@dataclass(frozen=True)
class Described:
    """A stream as the header describes it, and where it is in the file."""

    path: tuple[str, ...]
    coder: str
    dtype: str
    count: int
    data: memoryview
    crc32: Any

    @property
    def raw_bytes(self) -> int:
        return self.count * np.dtype(self.dtype).itemsize

    def decoded(self, decoded_symbols: Iterator[Array]) -> Array:
        """The array, checked."""
        if self.coder == "symbols":
            values = _from_symbols(next(decoded_symbols), self.dtype)
        else:
            raw = decompress(bytes(self.data), self.raw_bytes)
            if len(raw) != self.raw_bytes:
                raise ArtifactError(f"expected {self.raw_bytes} bytes, got {len(raw)}")
            values = np.frombuffer(raw, "<" + self.dtype)
        if zlib.crc32(np.ascontiguousarray(values).data) != self.crc32:
            name = ": ".join(self.path)
            raise ArtifactError(f"{name}: a checksum differs: it is damaged; fetch it again")
        return values.astype(values.dtype.newbyteorder("="), copy=False)


def unpack(tree: Any, data: memoryview) -> Any:
    """The tree with arrays, one-dimensional, in place of descriptions; `data` ends with the last.

    An ArtifactError for damage of any kind, before anything is allocated that the length of `data`
    does not justify.
    """
    streams = located(tree, data)
    coded = decode_all([(s.data, s.count) for s in streams if s.coder == "symbols"])
    decoded = iter(coded)
    arrays = iter([stream.decoded(decoded) for stream in streams])
    return _replaced(tree, lambda _: next(arrays))


def located(tree: Any, data: memoryview) -> list[Described]:
    """Every stream that a tree describes; nothing is decoded."""
    leaves = list(_leaves(tree))
    ends = list(accumulate((natural(spec["bytes"]) for _, spec in leaves), initial=0))
    if ends[-1] != len(data):
        raise ArtifactError(
            f"expected {ends[-1]} bytes of streams by the header, got {len(data)}; fetch it again"
        )
    found = []
    for (path, spec), begin, end in zip(leaves, ends, ends[1:], strict=False):
        coder, dtype = spec["coder"], spec["dtype"]
        if dtype not in {"symbols": _SYMBOLS, "zstd": _PLAIN}.get(coder, ()):
            raise ArtifactError(
                f"expected a known coder and type, got {coder!r} of {dtype!r}; update litecompress"
            )
        count = natural(spec["count"])
        found.append(Described(path, coder, dtype, count, data[begin:end], spec["crc32"]))
    total, most = sum(s.raw_bytes for s in found), FREE_BYTES + MOST_RATIO * len(data)
    if total > most:
        raise ArtifactError(f"expected content of at most {most} bytes, got {total}: not credible")
    return found


def natural(value: Any) -> int:
    """A whole number that a header holds, or an ArtifactError."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ArtifactError(f"expected a whole number, got {value!r}")
    return value


def compress(raw: bytes | memoryview) -> bytes:
    """One zstd frame."""
    return zstandard.ZstdCompressor(LEVEL).compress(raw)


def decompress(frame: bytes, limit: int) -> bytes:
    """At most `limit` bytes, however the frame lies about itself."""
    try:
        declared = zstandard.frame_content_size(frame)
        if not 0 <= declared <= limit:
            raise ArtifactError(f"expected a frame of at most {limit} bytes, got {declared}")
        return zstandard.ZstdDecompressor().decompress(
            frame, max_output_size=max(declared, 1), allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise ArtifactError(f"damaged or truncated: {error}; fetch it again") from error


def canonical(tree: Any) -> str:
    """The JSON of a header: equal trees give equal text."""
    return json.dumps(tree, separators=(",", ":"), sort_keys=True)


def _as_symbols(values: Array) -> Array:
    return values if values.dtype == np.uint8 else values.view(np.uint8) ^ _SIGN


def _from_symbols(coded: Array, dtype: str) -> Array:
    return coded if dtype == "u1" else (coded ^ _SIGN).view(np.int8)


def _is_leaf(tree: Any) -> bool:
    return isinstance(tree, Stream) or (isinstance(tree, Mapping) and "crc32" in tree)


def _leaves(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Streams or their descriptions with the keys that lead there, in the order of the header."""
    if _is_leaf(tree):
        yield path, tree
    elif isinstance(tree, Mapping):
        for key in sorted(tree):
            yield from _leaves(tree[key], (*path, key))
    elif isinstance(tree, list):
        for part in tree:
            yield from _leaves(part, path)


def _replaced(tree: Any, change: Any) -> Any:
    """The tree with its leaves changed, in the order of `_leaves`."""
    if _is_leaf(tree):
        return change(tree)
    if isinstance(tree, Mapping):
        return {key: _replaced(tree[key], change) for key in sorted(tree)}
    return [_replaced(part, change) for part in tree] if isinstance(tree, list) else tree
