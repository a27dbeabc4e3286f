"""Where a safetensors file holds its tensors."""

from __future__ import annotations

import json
from pathlib import Path

from litecompress.cost import component
from litecompress.sizes.spans import Span


def tensor_spans(path: Path) -> list[Span]:
    """Every tensor's place in a file that a checkpoint has been read from."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return [
        Span(8 + length + begin, end - begin, name, "values", component(name))
        for name, (begin, end) in ((n, spec["data_offsets"]) for n, spec in header.items())
    ]
