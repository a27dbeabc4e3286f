"""Sampling: tokens drawn by their probability."""

from __future__ import annotations

import numpy as np

from litecompress.runtime.candidates import Floats, top
from litecompress.runtime.options import GenerationOptions
from litecompress.runtime.session import Tokens
from litecompress.runtime.single import Single


class Sampling(Single):
    """A sample a row; row `i` depends on the seed, `number` and `i` alone, not on other rows."""

    def __init__(self, options: GenerationOptions, begun: Tokens, number: int) -> None:
        super().__init__(options.search(), options.max_length, begun)
        self._temperature, self._top_k = options.temperature or 1.0, options.top_k
        seeds = ([options.seed or 0, number, i] for i in range(len(begun)))
        self._random = [np.random.default_rng(seed) for seed in seeds]

    def _pick(self, logits: Floats) -> Tokens:
        best, where = top(self._allowed(logits), self._top_k or logits.shape[1])  # descending
        heights = (best - best[:, :1]).astype(np.float64) / self._temperature
        sums = np.exp(heights).cumsum(axis=1)
        points = [self._random[row.number].random() for row in self._rows] * sums[:, -1]
        points = np.minimum(points, np.nextafter(sums[:, -1], 0))  # a product may round up to it
        places = (sums <= points[:, None]).sum(axis=1)
        words: Tokens = where[np.arange(len(where)), places]
        return words
