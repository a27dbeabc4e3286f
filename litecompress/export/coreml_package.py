"""Several programs as one `.mlpackage`: one function each, every array in the file of weights once.

The same programs give the same bytes: identifiers are derived from names, and maps are in order.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from litecompress.backends import load_backend
from litecompress.errors import ExportError
from litecompress.export.coreml_compact import compact

proto = load_backend("coremltools.proto")

SPECIFICATIONS = {"iOS17": 8, "iOS18": 9}
DATA = "com.apple.CoreML"
FILE_HEADER = struct.Struct("<II56x")  # number of arrays, version of the format
ARRAY_HEADER = struct.Struct(
    "<IIQQQ32x"
)  # sentinel, type, bytes, where they begin, bits of padding
SENTINEL = 0xDEADBEEF
ALIGNMENT = 64


def write_package(path: Path, models: Mapping[str, Any]) -> None:
    """Write converted models as functions of those names; one called `main` is alone."""
    weights = _Weights()
    program = proto.MIL_pb2.Program(version=1)
    description = proto.Model_pb2.ModelDescription()
    for name, model in models.items():
        spec = model.get_spec()
        function = spec.mlProgram.functions["main"]
        content = (Path(model.weights_dir) / "weight.bin").read_bytes()
        for value in _file_values(function):
            value.offset = weights.add(content, value.offset)
        compact(function)
        program.functions[name].CopyFrom(function)
        _describe(description, name, spec.description)
        for key, attribute in spec.mlProgram.attributes.items():
            program.attributes[key].CopyFrom(attribute)
    spec = proto.Model_pb2.Model(
        specificationVersion=max(m.get_spec().specificationVersion for m in models.values()),
        description=description,
        mlProgram=program,
    )
    _write(path, spec.SerializeToString(deterministic=True), weights.content())


def _describe(description: Any, name: str, own: Any) -> None:
    """Add a function's inputs, outputs and states to the description of the model."""
    target = description if name == "main" else description.functions.add(name=name)
    for field in ("input", "output", "state"):
        getattr(target, field).extend(getattr(own, field))
    if name != "main" and not description.defaultFunctionName:
        description.defaultFunctionName = name


class _Weights:
    """The file of weights: a header, and for each array a header and its bytes, aligned."""

    def __init__(self) -> None:
        self._places: dict[bytes, int] = {}
        self._parts: list[bytes] = []
        self._end = FILE_HEADER.size

    def add(self, content: bytes, offset: int) -> int:
        """Where the array is that another such file has at `offset`."""
        sentinel, kind, size, start, padding = ARRAY_HEADER.unpack_from(content, offset)
        if sentinel != SENTINEL or start + size > len(content):
            raise ExportError(f"coreml: expected an array at {offset} of the converted weights")
        values = content[start : start + size]
        key = struct.pack("<IQ", kind, padding) + values
        if key not in self._places:
            self._places[key] = place = self._end
            begin = place + ARRAY_HEADER.size
            self._end = -(-(begin + size) // ALIGNMENT) * ALIGNMENT
            header = ARRAY_HEADER.pack(SENTINEL, kind, size, begin, padding)
            self._parts.append((header + values).ljust(self._end - place, b"\0"))
        return self._places[key]

    def content(self) -> bytes:
        """The whole file."""
        return FILE_HEADER.pack(len(self._parts), 2) + b"".join(self._parts)


def _file_values(function: Any) -> Iterator[Any]:
    """Every value of a function that is in the file of weights."""
    for block in function.block_specializations.values():
        for op in block.operations:
            bound = (b.value for a in op.inputs.values() for b in a.arguments)
            for value in (*bound, *op.attributes.values()):
                if value.WhichOneof("value") == "blobFileValue":
                    yield value.blobFileValue


def _write(path: Path, spec: bytes, weights: bytes) -> None:
    """The folder as Core ML knows it; identifiers are the same for the same files."""
    folder = path / "Data" / DATA
    (folder / "weights").mkdir(parents=True)
    (folder / "model.mlmodel").write_bytes(spec)
    (folder / "weights" / "weight.bin").write_bytes(weights)
    items = {
        "model.mlmodel": "CoreML Model Specification",
        "weights": "CoreML Model Weights",
    }
    identifiers = {name: str(uuid5(NAMESPACE_URL, f"{DATA}/{name}")) for name in items}
    manifest = {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": {
            identifiers[name]: {
                "author": DATA,
                "description": text,
                "name": name,
                "path": f"{DATA}/{name}",
            }
            for name, text in items.items()
        },
        "rootModelIdentifier": identifiers["model.mlmodel"],
    }
    (path / "Manifest.json").write_text(json.dumps(manifest, indent=4) + "\n", "utf-8")
