"""Core ML packages: bytes of weights and of all else, and the time to write and to open them.

    python benchmarks/coreml_storages.py                             # the shipped model
    python benchmarks/coreml_storages.py --preset wmt14-en-fr-embed496 --vocab 8000

`palettes` is the model pruned by half with palettes of 6 bits, `groups` the model on grids of 4
bits with a scale for 32 in a row, `int8` and `float16` the model as it is in these storages. A
preset has random weights. `payload` are the bytes of weights as predicted before the export, which
are those in the file; `rest` is everything else in the package but the tokenizers, `graph` of it
the programs. Times are of the processor. Nothing here says how fast a program runs on a device.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onnx_storages import MODEL, random_model, with_groups, with_palettes

from litecompress.artifact import Artifact
from litecompress.artifact_file import load_model
from litecompress.export.coreml import CoreMLExport
from litecompress.export.lengths import Lengths, parse_lengths
from litecompress.runtime.mil import CoreMLSession


def cases(artifact: Artifact, length: Lengths) -> Iterator[tuple[str, Artifact, CoreMLExport]]:
    yield "palettes", with_palettes(artifact), CoreMLExport(length=length)
    yield "groups", with_groups(artifact), CoreMLExport(length=length)
    yield "int8", artifact, CoreMLExport("int8", length)
    yield "float16", artifact, CoreMLExport("float32", length)


def measured(name: str, artifact: Artifact, export: CoreMLExport) -> dict[str, Any]:
    payload = sum(export.layout(artifact).payload_bytes().values())
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        export(artifact, Path(folder))
        written = time.process_time() - start
        files = [path for path in Path(folder).rglob("*") if path.is_file()]
        total = sum(path.stat().st_size for path in files)
        graph = sum(path.stat().st_size for path in files if path.suffix == ".mlmodel")
        start = time.process_time()
        CoreMLSession(Path(folder))
        opened = time.process_time() - start
    return {
        "storage": name,
        "package_bytes": total,
        "payload_bytes": payload,
        "rest_bytes": total - payload,
        "graph_bytes": graph,
        "export_s": round(written, 1),
        "open_emulated_s": round(opened, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset")
    parser.add_argument("--vocab", type=int, default=8000)
    parser.add_argument("--length", type=parse_lengths, default=64)
    parser.add_argument("--only", nargs="*", help="of the storages")
    asked = parser.parse_args()
    artifact = random_model(asked.preset, asked.vocab) if asked.preset else load_model(MODEL)
    for name, model, export in cases(artifact, asked.length):
        if not asked.only or name in asked.only:
            print(json.dumps(measured(name, model, export)), flush=True)


if __name__ == "__main__":
    main()
