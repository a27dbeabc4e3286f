"""The `.litec` file: a header in JSON, then one zstd frame a stream (docs/format.md).

Nothing in a file is executed, and nothing is allocated beyond what its size and the declared
shapes justify.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zstandard

from litecompress.artifact import Artifact, Step
from litecompress.checkpoint import load_checkpoint
from litecompress.encoding import Affine, Array, Dense, Encoding, Palette, Sparse
from litecompress.errors import ArtifactError, CheckpointError, LiteCompressError
from litecompress.model.config import ModelConfig
from litecompress.model.shapes import check_shapes

MAGIC = b"LITEC\x00\x00\x01"
HEADER_LIMIT_BYTES = 16 * 2**20
STREAM_LIMIT_BYTES = 2**31
LEVEL = 19
TARGET = "target_tokenizer"  # in the header only where the target has its own
_PREFIX = struct.Struct("<II")  # bytes and checksum of the header
_DTYPES = {"u1", "i1", "f2", "f4"}
Spec = dict[str, Any]


def save_artifact(artifact: Artifact, path: Path) -> None:
    """Write the file beside `path` and rename it into place; the bytes depend on nothing else."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(dump_artifact(artifact))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load_artifact(path: Path) -> Artifact:
    """Read a file; anything but a whole artifact is one ArtifactError."""
    if not path.is_file():
        raise ArtifactError(f"expected an artifact at {path}, got no such file; check the path")
    try:
        return parse_artifact(path.read_bytes())
    except LiteCompressError as error:
        raise ArtifactError(f"{path}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtifactError(
            f"{path}: expected a whole .litec file, got damaged content ({error}); fetch it again"
        ) from error


def load_model(path: Path) -> Artifact:
    """What every verb takes: an artifact file, or a checkpoint folder, not yet compressed."""
    if (path / "manifest.json").is_file():
        raise CheckpointError(
            f"{path}: expected a checkpoint or artifact, got a package; name what it was made from"
        )
    if path.is_dir():
        artifact = Artifact.from_checkpoint(load_checkpoint(path))
    else:
        artifact = load_artifact(path)
    _check(artifact, path)
    return artifact


def _check(artifact: Artifact, path: Path) -> None:
    """A CheckpointError where weights or tokenizer do not fit the config."""
    try:
        check_shapes(artifact.config, {name: w.shape for name, w in artifact.weights.items()})
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    tokenizers = artifact.tokenizers()
    for tokenizer, rows in (
        (tokenizers.source, artifact.config.source_vocab_size),
        (tokenizers.target, artifact.config.target_vocab_size),
    ):
        if tokenizer.vocab_size > rows:
            raise CheckpointError(
                f"{path}: expected a tokenizer of at most {rows} ids, got {tokenizer.vocab_size}"
            )


def dump_artifact(artifact: Artifact) -> bytes:
    """The content of the file."""
    body = _Body()
    header: Spec = {
        "config": artifact.config.to_dict(),
        "tokenizer": body.add(np.frombuffer(artifact.tokenizer, np.uint8)),
        "history": [asdict(step) for step in artifact.history],
    }
    if artifact.target_tokenizer is not None:
        header[TARGET] = body.add(np.frombuffer(artifact.target_tokenizer, np.uint8))
    header["weights"] = {n: _dump_encoding(w, body) for n, w in sorted(artifact.weights.items())}
    text = json.dumps(header, separators=(",", ":"), sort_keys=True).encode()
    packed = zstandard.ZstdCompressor(LEVEL).compress(text)
    prefix = MAGIC + _PREFIX.pack(len(packed), zlib.crc32(packed))
    return b"".join([prefix, packed, *body.frames])


def parse_artifact(data: bytes) -> Artifact:
    """The artifact in a file's content."""
    if data[: len(MAGIC)] != MAGIC:
        raise ArtifactError(
            f"expected a .litec file (beginning {MAGIC!r}), got {data[:8]!r}; "
            "was it written by another version or program?"
        )
    header, start = _header(data)
    streams = _Streams(memoryview(data)[start:])
    tokenizer = streams.read(header["tokenizer"], None).tobytes()
    target = streams.read(header[TARGET], None).tobytes() if TARGET in header else None
    weights = {n: _parse_encoding(spec, streams) for n, spec in header["weights"].items()}
    if streams.position != len(streams.data):
        raise ArtifactError(f"got {len(streams.data) - streams.position} bytes after the end")
    history = tuple(Step(s["stage"], s["options"], s["summary"]) for s in header["history"])
    return Artifact(ModelConfig.from_dict(header["config"]), weights, tokenizer, history, target)


def _header(data: bytes) -> tuple[Any, int]:
    """The header's content, and where the frames begin."""
    start = len(MAGIC) + _PREFIX.size
    if len(data) < start:
        raise ArtifactError(f"expected at least {start} bytes, got {len(data)}; fetch it again")
    length, checksum = _PREFIX.unpack_from(data, len(MAGIC))
    packed = data[start : start + length]
    if len(packed) != length or zlib.crc32(packed) != checksum:
        raise ArtifactError("the header is damaged or truncated; fetch it again")
    return json.loads(_decompress(packed, HEADER_LIMIT_BYTES)), start + length


class StreamBytes(NamedTuple):
    """Bytes of one purpose: as stored, and before coding; `tensor` is None for the file's own."""

    tensor: str | None
    role: str
    stored_bytes: int
    raw_bytes: int


def stream_table(data: bytes) -> list[StreamBytes]:
    """What every byte of a file's content is for: `stored_bytes` add up to its length.

    Roles of a tensor are the streams' names in docs/format.md; those of the file are `framing`
    (magic, length and checksum), `header` and the tokenizers. Nothing but the header is decoded.
    """
    header, start = _header(data)
    framing = len(MAGIC) + _PREFIX.size
    raw = zstandard.frame_content_size(data[framing:start])
    rows = [
        StreamBytes(None, "framing", framing, framing),
        StreamBytes(None, "header", start - framing, raw),
    ]
    own = {key: header[key] for key in ("tokenizer", TARGET) if key in header}
    rows += [StreamBytes(None, *row) for row in _stream_sizes(own, "")]
    for name, spec in header["weights"].items():
        rows += [StreamBytes(name, *row) for row in _stream_sizes(spec, "")]
    if sum(row.stored_bytes for row in rows) != len(data):
        raise ArtifactError(
            f"expected {sum(row.stored_bytes for row in rows)} bytes by the header, "
            f"got {len(data)}; fetch it again"
        )
    return rows


def _stream_sizes(spec: Any, role: str) -> Iterator[tuple[str, int, int]]:
    """Role, stored and raw bytes of every stream within a description, however it is nested."""
    if isinstance(spec, list):
        for part in spec:
            yield from _stream_sizes(part, role)
    elif isinstance(spec, dict) and "crc32" in spec:
        size = _natural(spec["count"]) * np.dtype(spec["dtype"]).itemsize
        yield role, _natural(spec["bytes"]), size
    elif isinstance(spec, dict):
        for key, part in spec.items():
            yield from _stream_sizes(part, key)


class _Body:
    """Frames in the order in which the header names them."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def add(self, array: Array) -> Spec:
        dtype = array.dtype.str[1:]
        if dtype not in _DTYPES:
            raise ArtifactError(f"expected one of {sorted(_DTYPES)}, got an array of {dtype}")
        raw = array.astype(array.dtype.newbyteorder("<")).tobytes()
        frame = zstandard.ZstdCompressor(LEVEL).compress(raw)
        self.frames.append(frame)
        return {"dtype": dtype, "count": array.size, "bytes": len(frame), "crc32": zlib.crc32(raw)}


class _Streams:
    """Reads frames in order, checking each against what the header and the shape say."""

    def __init__(self, data: memoryview) -> None:
        self.data, self.position = data, 0

    def read(self, spec: Mapping[str, Any], count: int | None) -> Array:
        if spec["dtype"] not in _DTYPES or (count is not None and spec["count"] != count):
            raise ArtifactError(f"expected {count} values, got {spec['count']} {spec['dtype']}")
        dtype = np.dtype("<" + spec["dtype"])
        size, frame_bytes = _natural(spec["count"]) * dtype.itemsize, _natural(spec["bytes"])
        frame = bytes(self.data[self.position : self.position + frame_bytes])
        if len(frame) != frame_bytes:
            raise ArtifactError(f"expected {frame_bytes} bytes, got {len(frame)}: truncated")
        raw = _decompress(frame, size)
        if len(raw) != size or zlib.crc32(raw) != spec["crc32"]:
            raise ArtifactError("a checksum differs: the content is damaged; fetch it again")
        self.position += frame_bytes
        return np.frombuffer(raw, dtype).astype(dtype.newbyteorder("="))


def _decompress(frame: bytes, limit: int) -> bytes:
    """At most `limit` bytes, however the frame lies about itself."""
    try:
        declared = zstandard.frame_content_size(frame)
        if not 0 <= declared <= min(limit, STREAM_LIMIT_BYTES):
            raise ArtifactError(f"expected a frame of at most {limit} bytes, got {declared}")
        return zstandard.ZstdDecompressor().decompress(frame, max_output_size=max(declared, 1))
    except zstandard.ZstdError as error:
        raise ArtifactError(f"damaged or truncated: {error}; fetch it again") from error


def _natural(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ArtifactError(f"expected a whole number, got {value!r}")
    return value


def _shape(spec: Spec) -> tuple[int, ...]:
    return tuple(_natural(n) for n in spec["shape"])


def _dump_encoding(encoding: Encoding, body: _Body) -> Spec:
    """Streams into the body, their description into the header."""
    spec: Spec = {"kind": type(encoding).__name__.lower(), "shape": list(encoding.shape)}
    match encoding:
        case Dense(values):
            return spec | {"values": body.add(values)}
        case Affine(values, scale, zero_point, axis, num_bits):
            streams = {"values": values, "scale": scale, "zero_point": zero_point}
            spec |= {"axis": axis, "num_bits": num_bits}
            return spec | {name: body.add(a) for name, a in streams.items()}
        case Palette(indices, codebook, num_bits):
            spec |= {"num_bits": num_bits, "codebook": body.add(codebook)}
            return spec | {"indices": body.add(indices)}
        case Sparse(mask, Palette(indices, codebook, num_bits)) if len(codebook) < 256:
            symbols = np.zeros(mask.shape, np.uint8)  # zero is one more symbol of the alphabet
            symbols[mask] = indices + 1
            spec |= {"kind": "sparse_palette", "num_bits": num_bits}
            return spec | {"codebook": body.add(codebook), "symbols": body.add(symbols)}
        case Sparse(mask, values):
            mask_spec = body.add(np.packbits(mask, axis=None))
            return spec | {"mask": mask_spec, "values": _dump_encoding(values, body)}
    raise ArtifactError(f"cannot store an encoding of type {type(encoding).__name__}")


def _parse_encoding(spec: Spec, streams: _Streams, nested: bool = False) -> Any:
    shape = _shape(spec)
    count = prod(shape)
    match spec["kind"]:
        case "dense":
            return Dense(streams.read(spec["values"], count).reshape(shape))
        case "affine":
            values = streams.read(spec["values"], count).reshape(shape)
            scale, zero = (streams.read(spec[key], None) for key in ("scale", "zero_point"))
            return Affine(values, scale, zero, _natural(spec["axis"]), _natural(spec["num_bits"]))
        case "palette":
            codebook = streams.read(spec["codebook"], None)
            indices = streams.read(spec["indices"], count).reshape(shape)
            return Palette(indices, codebook, _natural(spec["num_bits"]))
        case "sparse_palette" if not nested:
            codebook = streams.read(spec["codebook"], None)
            symbols = streams.read(spec["symbols"], count).reshape(shape)
            mask = symbols > 0
            return Sparse(mask, Palette(symbols[mask] - 1, codebook, _natural(spec["num_bits"])))
        case "sparse" if not nested:
            bits = streams.read(spec["mask"], (count + 7) // 8)
            mask = np.unpackbits(bits, count=count).astype(bool).reshape(shape)
            return Sparse(mask, _parse_encoding(spec["values"], streams, nested=True))
    raise ArtifactError(f"expected a known encoding, got {spec['kind']!r}; update litecompress")
