"""Packages on disk for tests, sound ones and some with a weight that is not the model's."""

from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import onnx

from litecompress.artifact_file import save_artifact
from litecompress.export.onnx import OnnxExport
from litecompress.export.package import write_package
from tests import models

SENTENCES = [
    ("a man rides a horse on the beach .", "Eine Frau trägt einen roten Hut ."),
    ("two dogs run through the snow !", "Kinder spielen Fußball im Park ?"),
    ("a man in the snow", "Kinder im Park ."),
    ("dogs on the beach", "roten Hut ?"),
    ("two dogs", "Eine Frau"),
]


def made(folder, artifact=None, **options):
    """A model's artifact, its package for ONNX and a file of sentences, all in one folder."""
    artifact = artifact or models.artifact()
    save_artifact(artifact, folder / "model.litec")
    write_package(OnnxExport(**options), artifact, folder / "package")
    lines = "".join(f"{source}\t{target}\n" for source, target in SENTENCES * 2)
    (folder / "samples.tsv").write_text(lines, "utf-8")
    return folder


def corrupted(package, copy, weight, change):
    """A copy in which `change` was applied to a flat view of one stored array."""
    shutil.copytree(package, copy)
    offset, dtype, size = _place(package, weight)
    data = bytearray((copy / "weights.bin").read_bytes())
    values = np.frombuffer(data, dtype, size // np.dtype(dtype).itemsize, offset)
    change(values)
    (copy / "weights.bin").write_bytes(data)
    sign(copy)
    return copy


def sign(package):
    """Write down the checksums of the files as they are now."""
    path = package / "manifest.json"
    manifest = json.loads(path.read_text())
    for name, entry in manifest["files"].items():
        content = (package / name).read_bytes()
        entry.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    path.write_text(json.dumps(manifest))


def _place(package, weight):
    """Offset, type and bytes of an initializer in `weights.bin`."""
    for path in sorted(package.glob("*.onnx")):
        for tensor in onnx.load(path, load_external_data=False).graph.initializer:
            if tensor.name.endswith(weight) and tensor.external_data:
                where = {e.key: e.value for e in tensor.external_data}
                dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
                return int(where.get("offset", 0)), dtype, int(where["length"])
    raise AssertionError(f"no initializer {weight}")
