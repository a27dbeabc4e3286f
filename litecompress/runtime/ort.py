"""A package for ONNX Runtime as a session."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from litecompress.runtime.memory import give_back
from litecompress.runtime.ort_buffers import BoundState, DecoderGraph
from litecompress.runtime.ort_declared import check_declared
from litecompress.runtime.session import Logits, State, Tokens

MAX_POSITIONS = 1024


class OnnxSession:
    """Runs `encoder.onnx` and `decoder.onnx` of a folder; batch and lengths are free.

    A state is used up by the step that reads it.
    """

    max_source = max_target = MAX_POSITIONS

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self.encoder = load(folder / "encoder.onnx", threads)
        self.decoder = load(folder / "decoder.onnx", threads)
        self._fixed = [o.name for o in self.encoder.get_outputs()]
        self._graph = DecoderGraph(self.decoder)

    def start(self, source: Tokens, length: int) -> State:
        values = self.encoder.run(self._fixed, {"source": source})
        return self._graph.state(dict(zip(self._fixed, values, strict=True)), len(source), length)

    def step(self, tokens: Tokens, step: int, state: State) -> tuple[Logits, State]:
        assert isinstance(state, BoundState)
        return state.step(tokens, step)


class OnnxLanguageSession:
    """Runs a language model's `step.onnx`; a state is used up by the step that reads it."""

    max_target = MAX_POSITIONS

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self.decoder = load(folder / "step.onnx", threads)
        self._graph = DecoderGraph(self.decoder)

    def begin(self, batch: int, length: int) -> State:
        return self._graph.state({}, batch, length)

    def step(self, tokens: Tokens, step: int, state: State) -> tuple[Logits, State]:
        assert isinstance(state, BoundState)
        return state.step(tokens, step)


def load(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """A graph on the CPU, silent; one with operators that are not ours is an InputError."""
    check_declared(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    give_back()  # what expanding packed weights took is several times what they take themselves
    return session
