"""What a shortlist is to be held against: the model with all other logits at -inf."""

from __future__ import annotations

import numpy as np

from litecompress.runtime.ort_shortlist import MULTIPLE
from litecompress.runtime.session import State
from litecompress.runtime.torch_session import TorchSession


class Restricted(TorchSession):
    """Only the candidates of a batch's sentences may be written, by any of them."""

    def __init__(self, artifact, shortlist):
        super().__init__(TorchSession.of(artifact).model)
        self._shortlist = shortlist

    def start(self, source, length):
        state = super().start(source, length)
        outside = np.ones(self._shortlist.vocab_size, bool)
        outside[self._shortlist.candidates(source, MULTIPLE)] = False
        return State({**state.fixed, "outside": np.tile(outside, (len(source), 1))}, state.caches)

    def step(self, tokens, step, state):
        logits, after = super().step(tokens, step, state)
        logits[:, : self._shortlist.vocab_size][state.fixed["outside"]] = -np.inf
        return logits, after
