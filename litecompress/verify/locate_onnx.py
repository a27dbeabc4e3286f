"""An ONNX package that also gives what its modules put out."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from litecompress.arm.guest import empty_caches
from litecompress.backends import load_backend
from litecompress.explain.onnx_graph import OnnxGraph
from litecompress.model.config import EOS_ID
from litecompress.verify.difference import Row

_Arrays = dict[str, Any]
Modules = tuple[str, ...]
Outputs = dict[Modules, Any]


class _Graph:
    """A graph with the outputs of its modules added, in the order in which they come about."""

    def __init__(self, path: Path) -> None:
        graph = OnnxGraph(path)
        onnx = load_backend("onnx")
        self.own = [output.name for output in graph.model.graph.output]
        self.places = _module_outputs(graph)
        for name in self.places.keys() - set(self.own):
            graph.model.graph.output.append(onnx.ValueInfoProto(name=name))
        path.write_bytes(graph.model.SerializeToString())
        ort = load_backend("onnxruntime")
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        providers = ["CPUExecutionProvider"]
        self.session: Any = ort.InferenceSession(str(path), options, providers=providers)

    def run(self, inputs: _Arrays) -> tuple[_Arrays, Outputs]:
        """Its own outputs, and those of its modules."""
        names = [output.name for output in self.session.get_outputs()]
        taken = {i.name for i in self.session.get_inputs()}
        given = {name: value for name, value in inputs.items() if name in taken}
        found = dict(zip(names, self.session.run(names, given), strict=True))
        modules = {modules: found[name] for name, modules in self.places.items()}
        return {name: found[name] for name in self.own}, modules


class TracedPackage:
    """A copy of a package whose graphs have more outputs."""

    def __init__(self, folder: Path) -> None:
        roles = {path.stem: _Graph(path) for path in sorted(folder.glob("*.onnx"))}
        self.encoder = roles.get("encoder")
        self.decoder = roles["decoder" if self.encoder else "step"]

    @classmethod
    @contextmanager
    def opened(cls, package: Path) -> Iterator[TracedPackage]:
        """A copy that is there for as long as it is used."""
        with tempfile.TemporaryDirectory() as temporary:
            copy = Path(temporary, "package")
            shutil.copytree(package, copy)
            yield cls(copy)

    def run(self, row: Row) -> Iterator[tuple[str, Outputs]]:
        """When it was, and what the modules put out: the encoder, then every step."""
        fixed: _Arrays = {}
        if self.encoder is not None:
            source = np.array([row.source], np.int64)
            fixed, modules = self.encoder.run({"source": source})
            yield "encoder", modules
        session, (scores, *_) = self.decoder.session, self.decoder.own
        caches = empty_caches(session.get_inputs(), self.decoder.own, len(row.target))
        for step, token in enumerate([EOS_ID, *row.target[:-1]]):
            now = {"token": np.array([[token]]), "step": np.array([step])}
            after, modules = self.decoder.run({**now, **fixed, **caches})
            yield f"step {step}", modules
            del after[scores]
            caches = {name.removeprefix("next_"): value for name, value in after.items()}


def _module_outputs(graph: OnnxGraph) -> dict[str, Modules]:
    """Values in their order, and the modules that each is the output of: where their readers meet.

    Products with the matrices of several modules side by side give the outputs of them all.
    """
    found: dict[int, list[str]] = {}
    for module, indices in graph.readers().items():
        meeting = graph.meeting(indices)
        if meeting is not None:
            found.setdefault(meeting, []).append(module)
    return {graph.nodes[index].output[0]: tuple(found[index]) for index in sorted(found)}
