"""Runs a package with ONNX Runtime's profiler: every node that was really run, and for how long."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from litecompress.arm.guest import empty_caches
from litecompress.backends import load_backend
from litecompress.errors import InputError
from litecompress.model.config import EOS_ID

FIRST_WORD = 4  # ids below it are special
Arrays = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One node after the runtime's own rewriting: its kernel, and its runs but for the first."""

    node: Any  # onnx.NodeProto
    kernel: str
    runs: int
    time_us: float


@dataclass(frozen=True)
class Profile:
    """The nodes of one graph in the order in which they ran."""

    role: str
    path: Path
    nodes: tuple[Run, ...]


class Profiled:
    """A session that writes down what it runs, and what it made of the graph."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.path = path
        self._rewritten = folder / f"{path.stem}.optimized.onnx"
        ort = load_backend("onnxruntime")
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_profiling = True
        options.profile_file_prefix = str(folder / path.stem)
        options.optimized_model_filepath = str(self._rewritten)
        providers = ["CPUExecutionProvider"]
        try:
            self.session: Any = ort.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # the runtime has several of its own
            raise InputError(
                f"{path}: expected a graph that ONNX Runtime loads, got {error}; export again"
            ) from error
        self.names = [output.name for output in self.session.get_outputs()]
        self._inputs = {i.name for i in self.session.get_inputs()}

    def run(self, inputs: Arrays) -> Arrays:
        """Outputs by name; what is no input of the graph is left out."""
        given = {name: value for name, value in inputs.items() if name in self._inputs}
        return dict(zip(self.names, self.session.run(self.names, given), strict=True))

    def profile(self) -> Profile:
        """End the session and read what it wrote."""
        events = json.loads(Path(self.session.end_profiling()).read_text("utf-8"))
        onnx = load_backend("onnx")
        rewritten = onnx.load(str(self._rewritten), load_external_data=False)
        nodes = {node.name: node for node in rewritten.graph.node}
        times: dict[str, list[tuple[str, float]]] = {}
        for event in events:
            if event.get("cat") == "Node":
                name = event["name"].removesuffix("_kernel_time")
                times.setdefault(name, []).append((event["args"]["op_name"], event["dur"]))
        found = tuple(
            Run(nodes.get(name), timed[0][0], len(timed) - 1, _typical([t for _, t in timed[1:]]))
            for name, timed in times.items()
        )
        return Profile(self.path.stem, self.path, found)


def _typical(times_us: Sequence[float]) -> float:
    """Their sum as if each were the median: other programs' interruptions are in a few of them."""
    return float(np.median(times_us)) * len(times_us) if times_us else 0.0


def profiles(folder: Path, tokens: int, repeats: int) -> list[Profile]:
    """Sentences of made-up words, `tokens` in and out, one at a time on one thread.

    The first run of each node is left out, the rest of a first sentence is not.
    """
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        graphs = {p.stem: Profiled(p, place) for p in sorted(folder.glob("*.onnx"))}
        for words in _sentences(tokens, repeats):
            _translate(graphs, words)
        return [graph.profile() for graph in graphs.values()]


def _translate(graphs: dict[str, Profiled], words: Any) -> None:
    """Encode a sentence, if there is an encoder, and step through as many tokens."""
    encoder, decoder = graphs.get("encoder"), graphs.get("decoder") or graphs["step"]
    fixed = encoder.run({"source": words[None]}) if encoder else {}
    caches = empty_caches(decoder.session.get_inputs(), decoder.names, len(words))
    for step, token in enumerate([EOS_ID, *words[:-1]]):
        now = {"token": np.array([[token]], np.int64), "step": np.array([step], np.int64)}
        after = decoder.run({**now, **fixed, **caches})
        caches = {n.removeprefix("next_"): v for n, v in after.items() if n.startswith("next_")}


def _sentences(tokens: int, repeats: int) -> Iterator[Any]:
    """Words of a small vocabulary, the same every time."""
    rng = np.random.default_rng(0)
    for _ in range(repeats):
        yield np.array([*rng.integers(FIRST_WORD, 60, tokens - 1), EOS_ID])
