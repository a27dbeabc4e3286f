"""The `.litec` file: a header in JSON, then the streams that it describes (docs/format.md).

Nothing in a file is executed, and nothing is allocated beyond what its size justifies.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zstandard

from litecompress.artifact import Artifact, Step
from litecompress.checkpoint import load_checkpoint
from litecompress.encoding import Encoding
from litecompress.entropy import table_bytes
from litecompress.errors import ArtifactError, CheckpointError, LiteCompressError
from litecompress.litec.specs import describe, restore
from litecompress.litec.streams import (
    Described,
    canonical,
    compress,
    decompress,
    described,
    located,
    pack,
    unpack,
)
from litecompress.litec.texts import describe_text, restore_text
from litecompress.model.config import ModelConfig
from litecompress.model.shapes import check_shapes

MAGIC = b"LITEC\x00\x00\x02"
HEADER_LIMIT_BYTES = 16 * 2**20
TARGET = "target_tokenizer"  # in the header only where the target has its own
STORED = ("tokenizer", TARGET, "weights")  # what has streams, in the order of the header
_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
_PREFIX = struct.Struct("<II")  # bytes and checksum of the header
Header = dict[str, Any]


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
    except (*_DAMAGE, RecursionError) as error:
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
    tree: Header = {"tokenizer": describe_text(artifact.tokenizer)}
    if artifact.target_tokenizer is not None:
        tree[TARGET] = describe_text(artifact.target_tokenizer)
    tree["weights"] = _described_weights(artifact.weights)
    header, frames = pack(tree)
    header["config"] = artifact.config.to_dict()
    header["history"] = [asdict(step) for step in artifact.history]
    packed = compress(canonical(header).encode())
    prefix = MAGIC + _PREFIX.pack(len(packed), zlib.crc32(packed))
    return b"".join([prefix, packed, *frames])


def parse_artifact(data: bytes) -> Artifact:
    """The artifact in a file's content."""
    header, start = _header(data)
    tree = unpack(_stored(header), memoryview(data)[start:])
    target = restore_text(tree[TARGET]) if TARGET in tree else None
    history = tuple(Step(s["stage"], s["options"], s["summary"]) for s in header["history"])
    return Artifact(
        ModelConfig.from_dict(header["config"]),
        _restored_weights(tree["weights"]),
        restore_text(tree["tokenizer"]),
        history,
        target,
    )


def _described_weights(weights: Mapping[str, Encoding]) -> Header:
    """Every weight as a tree; of matrices that are equal in every bit only the first is stored."""
    trees: Header = {}
    first: dict[str, str] = {}
    for name, encoding in sorted(weights.items()):
        trees[name] = describe(encoding)
        if len(encoding.shape) < 2:
            continue
        content = canonical(described(trees[name]))
        same = first.setdefault(content, name)
        if same != name and np.array_equal(encoding.decode(), weights[same].decode()):
            trees[name] = {"kind": "tied", "to": same}
    return trees


def _restored_weights(trees: Header) -> dict[str, Encoding]:
    """Every weight; the trees are emptied on the way, so that no array is held twice."""
    names = sorted(trees)
    tied = {n: trees[n]["to"] for n in names if trees[n]["kind"] == "tied"}
    weights = {n: _restored(n, trees.pop(n)) for n in names if n not in tied}
    for name, same in tied.items():
        if same not in weights:
            raise ArtifactError(f"{name}: expected a stored weight to be tied to, got {same!r}")
    return {n: weights[tied.get(n, n)] for n in names}


def _restored(name: str, tree: Any) -> Any:
    try:
        return restore(tree)
    except ArtifactError as error:
        raise ArtifactError(f"{name}: {error}") from error


def _stored(header: Header) -> Header:
    """The part of a header that describes streams."""
    return {key: header[key] for key in STORED if key in header}


def _header(data: bytes) -> tuple[Header, int]:
    """The header's content, and where the streams begin."""
    if data[: len(MAGIC)] != MAGIC:
        raise ArtifactError(
            f"expected a .litec file (beginning {MAGIC!r}), got {data[:8]!r}; "
            "was it written by another version or program?"
        )
    start = len(MAGIC) + _PREFIX.size
    if len(data) < start:
        raise ArtifactError(f"expected at least {start} bytes, got {len(data)}; fetch it again")
    length, checksum = _PREFIX.unpack_from(data, len(MAGIC))
    packed = data[start : start + length]
    if len(packed) != length or zlib.crc32(packed) != checksum:
        raise ArtifactError("the header is damaged or truncated; fetch it again")
    return json.loads(decompress(packed, HEADER_LIMIT_BYTES)), start + length


class StreamBytes(NamedTuple):
    """Bytes of one purpose: as stored, and before coding; `tensor` is None for the file's own."""

    tensor: str | None
    role: str
    stored_bytes: int
    raw_bytes: int


def stream_table(data: bytes) -> list[StreamBytes]:
    """What every byte of a file's content is for: `stored_bytes` add up to its length.

    Roles of a tensor are the streams' names in docs/format.md, and `coder_table` for the
    frequencies that the coder stores with them; those of the file are `framing` (magic, length and
    checksum), `header` and the tokenizers. No symbol is decoded.
    """
    header, start = _header(data)
    framing = len(MAGIC) + _PREFIX.size
    raw = zstandard.frame_content_size(data[framing:start])
    stored: Counter[tuple[str | None, str]] = Counter()
    before: Counter[tuple[str | None, str]] = Counter()
    for stream in located(_stored(header), memoryview(data)[start:]):
        for key, stored_bytes, raw_bytes in _purposes(stream):
            stored[key] += stored_bytes
            before[key] += raw_bytes
    return [
        StreamBytes(None, "framing", framing, framing),
        StreamBytes(None, "header", start - framing, raw),
        *(StreamBytes(*key, size, before[key]) for key, size in stored.items()),
    ]


def _purposes(stream: Described) -> Iterator[tuple[tuple[str | None, str], int, int]]:
    """Tensor and role, bytes stored and bytes before coding."""
    kind, *rest = stream.path
    stored = len(stream.data)
    if kind != "weights":
        yield (None, kind), stored, stream.raw_bytes
        return
    tensor, role = rest[0], rest[-1]
    table = table_bytes(stream.data, stream.count) if stream.coder == "symbols" else 0
    yield (tensor, role), stored - table, stream.raw_bytes
    if table:
        yield (tensor, "coder_table"), table, 0
