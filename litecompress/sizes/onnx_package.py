"""What the files of an ONNX package hold: tensors in the graphs and beside them (onnx.proto)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from litecompress.sizes.protobuf import Message
from litecompress.sizes.sheet import Part
from litecompress.sizes.spans import Span, divide

_GRAPH, _INITIALIZER = 7, 5  # of a model, of a graph
_NAME, _EXTERNAL_DATA, _KEY, _VALUE = 8, 13, 1, 2  # of a tensor, of an entry
_INLINE = (9, 4, 5, 6, 7, 10, 11)  # of a tensor: raw bytes, then values by their type
_STORED = re.compile(
    r"(.+?)(\.part\d+)?(?:\.(scale|zero_point|codebook|mask|rows)|(?:\.bits[124]))?"
)


def package_parts(folder: Path, files: Mapping[str, int]) -> list[Part]:
    """The parts of the graphs and of the files that these name; weights go by our own names."""
    graphs = [name for name in files if name.endswith(".onnx")]
    spans: dict[str, list[Span]] = {name: [] for name in graphs}
    found = defaultdict(list, spans)
    for name in graphs:
        for file, span in _spans(name, (folder / name).read_bytes()):
            found[file].append(span)
    missing = found.keys() - files.keys()
    if missing:
        raise ValueError(f"no file {', '.join(sorted(missing))}, which a graph names")
    rest = {True: ("graph", "graph", "graph"), False: ("alignment", "container", "padding")}
    return [
        part
        for file, inside in found.items()
        for part in divide(file, files[file], inside, rest[file in graphs])
    ]


def _spans(file: str, content: bytes) -> Iterator[tuple[str, Span]]:
    """Every initializer's bytes, and the file that they are in."""
    named = [
        (_stored_as(tensor.text(_NAME)), tensor)
        for tensor in Message(content).all(_GRAPH, _INITIALIZER)
    ]
    coded = {(name, part) for (name, part, role), _ in named if role == "codebook"}
    for (name, part, role), tensor in named:
        role = "indices" if role == "values" and (name, part) in coded else role
        outside = {e.text(_KEY): e.text(_VALUE) for e in tensor.all(_EXTERNAL_DATA)}
        if outside:
            start, size = int(outside.get("offset", 0)), int(outside["length"])
            yield outside["location"], Span(start, size, name, role)
        else:
            for field in _INLINE:
                for values in tensor.all(field):
                    yield file, Span(values.start, values.size, name, role)


def _stored_as(name: str) -> tuple[str, str, str]:
    """The weight that an initializer belongs to, the band of it if any, and what it is there."""
    name = name.removeprefix("litecompress.").removeprefix("model.")
    match = _STORED.fullmatch(name)
    return (match[1], match[2] or "", match[3] or "values") if match else (name, "", "values")
