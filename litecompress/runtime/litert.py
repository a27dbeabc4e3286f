"""A package for LiteRT (TFLite) as a session."""

from __future__ import annotations

from bisect import bisect_left
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from litecompress.errors import InputError
from litecompress.model.config import PAD_ID
from litecompress.runtime.litert_model import CompiledModel
from litecompress.runtime.litert_state import LiteRTState, Row, StepGraph
from litecompress.runtime.session import Logits, State, Tokens
from litecompress.silence import silenced

FILE = "model.tflite"


class _Buckets:
    """The step graph of every length of a file, shortest first."""

    def __init__(self, folder: Path, threads: int, verb: str) -> None:
        path = folder / FILE
        if not path.is_file():
            raise InputError(f"{folder}: expected a package with {FILE}, got none; export one")
        self.model = CompiledModel(path, threads)
        found = [name.removeprefix(verb) for name in self.model.signatures if name.startswith(verb)]
        self.lengths = sorted(int(length) for length in found if length.isdecimal())
        if not self.lengths:
            names = ", ".join(self.model.signatures) or "none"
            raise InputError(
                f"{path}: expected signatures such as {verb}64, got {names}; export it again"
            )
        self.graphs = [StepGraph(self.model.signatures[f"{verb}{n}"]) for n in self.lengths]

    @property
    def max_target(self) -> int:
        return self.lengths[-1]

    def at_least(self, length: int) -> int:
        """The number of the shortest bucket with that many positions."""
        return min(bisect_left(self.lengths, length), len(self.lengths) - 1)

    def step(self, tokens: Tokens, step: int, state: State) -> tuple[Logits, State]:
        """Scores (B, V), and the caches after them; where there is no room, in a longer bucket."""
        assert isinstance(state, LiteRTState)
        if step >= self.max_target:
            raise InputError(
                f"litert: expected at most {self.max_target} target tokens, got step {step}; "
                "export with a larger `length`"
            )
        number = max(self.lengths.index(state.graph.length), self.at_least(step + 1))
        state = state.moved(self.graphs[number])
        rows = zip(tokens.tolist(), state.held, strict=True)
        done = [state.graph.run(token, step, row) for token, row in rows]
        scores = np.stack([scores for scores, _ in done])
        return scores, LiteRTState(state.graph, [row for _, row in done])

    def warm_up(self) -> None:
        """Run the shortest graph once: the first run starts more of LiteRT, with some noise."""
        with silenced():
            self.graphs[0].run(PAD_ID, 0, self.graphs[0].empty())


class LiteRTSession(_Buckets):
    """Runs `model.tflite` of a folder: batch 1, so rows go one by one, and fixed lengths.

    A sentence is padded to the shortest length that holds it; its caches move on to longer ones
    as they fill.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        super().__init__(folder, threads, "decode_")
        wanted = [f"encode_{length}" for length in self.lengths]
        missing = [name for name in wanted if name not in self.model.signatures]
        if missing:
            raise InputError(
                f"{folder / FILE}: expected signatures {', '.join(wanted)}, got no "
                f"{', '.join(missing)}; export it again"
            )
        self._encoders = [self.model.signatures[name] for name in wanted]
        self._sources = [encoder.buffer("source") for encoder in self._encoders]
        self.warm_up()

    @property
    def max_source(self) -> int:
        return self.lengths[-1]

    def start(self, source: Tokens, length: int) -> State:
        """Encode (B, S); InputError where a sentence is longer than the package was made for."""
        real = (source != PAD_ID).any(axis=0)
        longest = int(real.nonzero()[0][-1]) + 1 if real.any() else 1
        if longest > self.max_source:
            raise InputError(
                f"litert: expected sentences of at most {self.max_source} tokens, got one of "
                f"{longest}; export with a larger `length`, or split the sentence"
            )
        number = self.at_least(longest)
        rows = [self._encoded(row[:longest], number) for row in source]
        return LiteRTState(self.graphs[number], rows)

    def _encoded(self, tokens: NDArray[np.int64], number: int) -> Row:
        encoder, graph, source = self._encoders[number], self.graphs[number], self._sources[number]
        source.array.fill(PAD_ID)
        source.array[0, : len(tokens)] = tokens
        row = graph.empty()
        encoder.run({"source": source}, row.fixed.buffers)
        return row


class LiteRTLanguageSession(_Buckets):
    """The same for a language model, which has no source."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        super().__init__(folder, threads, "step_")
        self.warm_up()

    def begin(self, batch: int, length: int) -> State:
        return LiteRTState(self.graphs[0], [self.graphs[0].empty() for _ in range(batch)])
