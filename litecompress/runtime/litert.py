"""A package for LiteRT (TFLite) as a session."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litecompress.backends import load_backend
from litecompress.errors import InputError
from litecompress.model.config import PAD_ID
from litecompress.runtime.session import Logits, State, Tokens
from litecompress.silence import silenced

FILE = "model.tflite"

_Arrays = dict[str, NDArray[np.float32]]


class LiteRTSession:
    """Runs `model.tflite` of a folder: batch 1, so rows go one by one, and one fixed length.

    Every source is padded to that length and every cache has room for it, whatever is asked for.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        path = folder / FILE
        if not path.is_file():
            raise InputError(f"{folder}: expected a package with {FILE}, got none; export one")
        backend = load_backend("ai_edge_litert.interpreter")
        with silenced():
            interpreter = backend.Interpreter(model_path=str(path), num_threads=threads)
            interpreter.allocate_tensors()  # before the runners, or it refuses
            self._encode = interpreter.get_signature_runner("encoder")
            self._decode = interpreter.get_signature_runner("decoder")
        self.length = int(self._encode.get_input_details()["source"]["shape"][1])
        self._caches = {
            name: tuple(details["shape"][1:])
            for name, details in self._decode.get_input_details().items()
            if f"next_{name}" in self._decode.get_output_details()
        }

    @property
    def max_source(self) -> int:
        return self.length

    @property
    def max_target(self) -> int:
        return self.length

    def start(self, source: Tokens, length: int) -> State:
        """Encode (B, S); InputError where a sentence is longer than the package was made for."""
        padded = self._padded(source)
        fixed = _joined([self._encode(source=row[None]) for row in padded])
        batch = len(source)
        return State(fixed, {n: np.zeros((batch, *s), np.float32) for n, s in self._caches.items()})

    def step(self, tokens: Tokens, step: int, state: State) -> tuple[Logits, State]:
        """Logits (B, V); InputError beyond the last position that the caches have room for."""
        if step >= self.length:
            raise InputError(
                f"litert: expected at most {self.length} target tokens, got step {step}; "
                "export with a larger `length`"
            )
        now = np.array([step], np.int32)
        inputs = {"token": tokens.astype(np.int32)[:, None], **state.fixed, **state.caches}
        outputs = _joined(
            [
                self._decode(step=now, **{n: v[i : i + 1] for n, v in inputs.items()})
                for i in range(len(tokens))
            ]
        )
        logits = outputs.pop("logits")
        caches = {name.removeprefix("next_"): value for name, value in outputs.items()}
        return logits, State(state.fixed, caches)

    def _padded(self, source: Tokens) -> NDArray[np.int32]:
        """Sources as (B, length); what is cut off may only be padding."""
        real = source != PAD_ID
        if real[:, self.length :].any():
            longest = int(real.any(axis=0).nonzero()[0][-1]) + 1
            raise InputError(
                f"litert: expected sentences of at most {self.length} tokens, got one of "
                f"{longest}; export with a larger `length`, or split the sentence"
            )
        padded = np.full((len(source), self.length), PAD_ID, np.int32)
        padded[:, : source.shape[1]] = source[:, : self.length]
        return padded


def _joined(rows: list[Mapping[str, Any]]) -> _Arrays:
    """Outputs of single rows as those of a batch."""
    if len(rows) == 1:
        return dict(rows[0])
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
