"""A model that is a table: what follows depends on the sentence, the step and the last token."""

from __future__ import annotations

import numpy as np

from litecompress.model.config import EOS_ID
from litecompress.runtime.session import State


class TableSession:
    """Logits drawn from a seed; the cache sums tokens, so that rows must be reordered with care."""

    max_source = max_target = 100

    def __init__(self, seed: int = 0, vocabulary: int = 30, end: float = 0.0) -> None:
        rng = np.random.default_rng(seed)
        self.table = rng.normal(0, 2, (40, 12, vocabulary, vocabulary)).astype(np.float32)
        self.table[..., EOS_ID] += end
        self.vocabulary = vocabulary

    def start(self, source, length):
        return State({"first": source[:, 0]}, {"sum": np.zeros(len(source), np.int64)})

    def begin(self, batch, length):
        return State({}, {"sum": np.zeros(batch, np.int64)})

    def step(self, tokens, step, state):
        first = state.fixed.get("first", np.zeros(len(tokens), np.int64))
        sums = state.caches["sum"] + tokens
        logits = self.table[first, step % 12, sums % self.vocabulary]
        return logits.copy(), State(state.fixed, {"sum": sums})
