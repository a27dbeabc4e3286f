"""From the download to the device: an artifact expanded to a package that runs, without torch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from litecompress.artifact_file import load_model
from litecompress.backends import load_exporter
from litecompress.bench.memory import peak_rss_bytes
from litecompress.export.package import write_package
from litecompress.export.summary import encoding_row
from litecompress.output import refuse_existing, replacing
from litecompress.strict import build

TARGET = "onnx"


def unpack(
    artifact: Path, output: Path, options: Mapping[str, Any], *, force: bool
) -> dict[str, Any]:
    """Write the ONNX package of an artifact or nothing; what became of it, in what time and memory.

    It is the package that the ONNX exporter writes with these options, byte for byte. `seconds`
    are those of this function, `peak_rss_bytes` is that of the process.
    """
    started = time.perf_counter()
    inputs = [artifact, *(Path(options[key]) for key in ("shortlist",) if key in options)]
    refuse_existing(output, force=force, inputs=inputs)
    exporter = build(load_exporter(TARGET), options, "unpack")
    loaded = load_model(artifact)
    with replacing(output, force=force, inputs=inputs) as partial:
        row = encoding_row(write_package(exporter, loaded, partial))
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    return {
        "output": str(output),
        "artifact_bytes": _bytes(artifact),
        "package_raw_bytes": size,
        "seconds": round(time.perf_counter() - started, 3),
        "peak_rss_bytes": peak_rss_bytes(),
        **row,
    }


def _bytes(model: Path) -> int:
    """Of a file, or of the files of a folder."""
    files = model.iterdir() if model.is_dir() else [model]
    return sum(path.stat().st_size for path in files)
