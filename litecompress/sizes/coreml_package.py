"""What the files of a Core ML package hold: blobs that the program names (MIL.proto)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

from litecompress.sizes.protobuf import Message
from litecompress.sizes.sheet import Part
from litecompress.sizes.spans import Span, divide

_OPERATIONS = (502, 2, 2, 3, 2, 3)  # model, program, functions, function, blocks, operations
_TYPE, _INPUTS, _OUTPUTS, _ATTRIBUTES, _NAME = 1, 2, 3, 5, 1  # of an operation, of an output
_KEY, _VALUE, _BINDINGS = 1, 2, (2, 1)  # of an entry; from the entry to what binds to it
_BLOB, _BLOB_OFFSET = 5, 2
_BLOB_HEADER = struct.Struct("<IIQQ")  # sentinel, type, bytes, where they begin
_SENTINEL = 0xDEADBEEF
_ROLES = {"lut": "codebook", "scale": "scale", "offset": "zero_point"}
_LAYER = re.compile(
    r"(?:model_)?(encoder|decoder)_(\d+)_([a-z]+_norm|attention|cross_attention|conv|ffn)_"
    r"(?:(\w+)_)?(weight|bias|kernel)(?:_to_fp16)?"
)
_TABLE = re.compile(r"(?:model_)?((?:source_|target_)?embedding|output)_weight(?:_to_fp16)?")


def package_parts(folder: Path, files: Mapping[str, int]) -> list[Part]:
    """The parts of every program and its blobs; weights go by the artifact's names."""
    parts = []
    for file in (name for name in files if name.endswith("/model.mlmodel")):
        parts += divide(file, files[file], [], ("program", "graph", "graph"))
        blobs = file.removesuffix("model.mlmodel") + "weights/weight.bin"
        if blobs in files:
            program = Message((folder / file).read_bytes())
            spans = list(_spans(program, (folder / blobs).read_bytes()))
            parts += divide(blobs, files[blobs], spans, ("blob headers", "container", "padding"))
    return parts


def _spans(program: Message, content: bytes) -> Iterator[Span]:
    """Every blob's data with the tensor that it is a part of."""
    operations = list(program.all(*_OPERATIONS))
    owners = _owners(operations)
    for operation in operations:
        name = next((o.text(_NAME) for o in operation.all(_OUTPUTS)), "")
        tensor = _weight_name(owners.get(name, name))
        for key, offset in _blobs(operation):
            sentinel, _, size, start = _BLOB_HEADER.unpack_from(content, offset)
            if sentinel != _SENTINEL:
                raise ValueError(f"no blob at {offset} for {tensor}")
            yield Span(start, size, tensor, _role(key))


def _owners(operations: list[Message]) -> dict[str, str]:
    """Outputs of operators that expand a part of a weight -> the weight's own output."""
    owners = {}
    for operation in operations:
        if not operation.text(_TYPE).startswith("constexpr_"):
            continue
        output = next((o.text(_NAME) for o in operation.all(_OUTPUTS)), "")
        for binding in operation.all(_INPUTS, *_BINDINGS):
            if binding.text(_NAME):
                owners[binding.text(_NAME)] = output
    return owners


def _blobs(operation: Message) -> Iterator[tuple[str, int]]:
    """Each input or attribute that is a blob, and its place."""
    for entry in operation.all(_INPUTS):
        for value in entry.all(*_BINDINGS, _VALUE, _BLOB):
            yield entry.text(_KEY), value.number(_BLOB_OFFSET)
    for entry in operation.all(_ATTRIBUTES):
        for value in entry.all(_VALUE, _BLOB):
            yield entry.text(_KEY), value.number(_BLOB_OFFSET)


def _role(key: str) -> str:
    """What an operator's input is in a weight."""
    if key.endswith("mask"):
        return "mask"
    return "indices" if key.startswith("indices") else _ROLES.get(key, "values")


def _weight_name(name: str) -> str:
    """The artifact's name of a weight, which has dots; other constants keep theirs."""
    if match := _LAYER.fullmatch(name):
        return ".".join(part for part in match.groups() if part)
    match = _TABLE.fullmatch(name)
    return f"{match[1]}.weight" if match else name
