"""A package for ONNX Runtime as a session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from litecompress.runtime.session import Logits, State, Tokens

MAX_POSITIONS = 1024


class OnnxSession:
    """Runs `encoder.onnx` and `decoder.onnx` of a folder; batch and lengths are free."""

    max_source = max_target = MAX_POSITIONS

    def __init__(self, folder: Path, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.encoder, self.decoder = (
            onnxruntime.InferenceSession(
                folder / f"{role}.onnx", options, providers=["CPUExecutionProvider"]
            )
            for role in ("encoder", "decoder")
        )
        self.fixed = [o.name for o in self.encoder.get_outputs()]
        self.caches = {
            i.name: i.shape
            for i in self.decoder.get_inputs()
            if i.name not in (*self.fixed, "token", "step")
        }
        self.outputs = [o.name for o in self.decoder.get_outputs()]

    def start(self, source: Tokens, length: int) -> State:
        values = self.encoder.run(self.fixed, {"source": source})
        named = {"batch": len(source), "target_length": length}
        caches = {
            name: np.zeros([named.get(n, n) for n in shape], np.float32)
            for name, shape in self.caches.items()
        }
        return State(dict(zip(self.fixed, values, strict=True)), caches)

    def step(self, tokens: Tokens, step: int, state: State) -> tuple[Logits, State]:
        feed = {"token": tokens[:, None], "step": np.array([step])}
        logits, *after = self.decoder.run(self.outputs, {**feed, **state.fixed, **state.caches})
        names = (name.removeprefix("next_") for name in self.outputs[1:])
        return logits, State(state.fixed, dict(zip(names, after, strict=True)))
