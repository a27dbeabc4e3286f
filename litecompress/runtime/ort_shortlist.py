"""A package with a shortlist for ONNX Runtime: the output layer has rows of candidates only."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from litecompress.runtime.ort import MAX_POSITIONS, load
from litecompress.runtime.ort_buffers import BoundState, DecoderGraph
from litecompress.runtime.session import Logits, Session, State, Tokens
from litecompress.shortlist import Shortlist

MULTIPLE = 8  # of candidates, for kernels that work on so many columns at a time


class OnnxShortlistSession:
    """Runs `encoder.onnx`, `shortlist_rows.onnx` once a batch, and `shortlist_decoder.onnx`.

    Candidates are those of all sentences of a batch. A state is used up by the step that reads it.
    `whole` loads the same package with its whole vocabulary.
    """

    max_source = max_target = MAX_POSITIONS

    def __init__(
        self, folder: Path, threads: int, shortlist: Shortlist, whole: Callable[[], Session]
    ) -> None:
        self.shortlist, self.whole = shortlist, cache(whole)
        self.encoder = load(folder / "encoder.onnx", threads)
        self.output = load(folder / "shortlist_rows.onnx", threads)
        self.decoder = load(folder / "shortlist_decoder.onnx", threads)
        self._fixed = [o.name for o in self.encoder.get_outputs()]
        self._graph = DecoderGraph(self.decoder)

    def start(self, source: Tokens, length: int) -> State:
        candidates = self.shortlist.candidates(source, MULTIPLE)
        values = self.encoder.run(self._fixed, {"source": source})
        (rows,) = self.output.run(["output_rows"], {"candidates": candidates})
        fixed = {**dict(zip(self._fixed, values, strict=True)), "output_rows": rows}
        return self._graph.state(fixed, len(source), length, candidates)

    def step(self, tokens: Tokens, step: int, state: State) -> tuple[Logits, State]:
        assert isinstance(state, BoundState) and state.candidates is not None
        return state.step(state.candidates[tokens], step)
