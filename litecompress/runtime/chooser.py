"""What every way of choosing the next tokens has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

from litecompress.model.config import EOS_ID, PAD_ID, UNK_ID
from litecompress.runtime.candidates import Floats, Places, ban_repeats, only_end
from litecompress.runtime.hypothesis import Hypothesis, SearchConfig
from litecompress.runtime.session import Tokens


class Kept(NamedTuple):
    """Which rows the next step goes on from; None where all do, each as it was.

    `same_sources`: every row of the next step has the source of the row that stands there now.
    """

    parents: Places | None
    same_sources: bool


ALL = Kept(None, same_sources=True)


class Chooser(ABC):
    """Rows of unfinished hypotheses, and the finished ones of each sentence.

    `begun` (B, N) is what the decoder has read before; its last token is what it reads first.
    """

    def __init__(self, config: SearchConfig, most: int, begun: Tokens) -> None:
        self.config, self.most = config, most  # tokens before </s> at most
        self.finished: list[list[Hypothesis]] = [[] for _ in begun]
        self.first = begun.shape[1] - 1
        self.newest = begun[:, -1]  # (R,), what the decoder reads next
        self.step = 0  # tokens that every row has written

    @abstractmethod
    def advance(self, logits: Floats) -> Kept | None:
        """Extend the rows by a token, None when all is finished; `logits` (R, V) are used up."""

    @abstractmethod
    def cut(self) -> None:
        """Take the unfinished rows as they stand, `beam` of a sentence at most."""

    def _constrain(self, logits: Floats, tokens: Tokens) -> None:
        """Rule out padding, </s> too early, all else too late, and repeated n-grams, in place.

        `tokens` (R, N + step) are what the rows began with and have written.
        """
        logits[:, PAD_ID] = -np.inf
        if self.config.unk_penalty:
            logits[:, UNK_ID] -= self.config.unk_penalty
        if self.step >= self.most:
            only_end(logits)
            return
        if self.step < self.config.min_length:
            logits[:, EOS_ID] = -np.inf
        if self.config.no_repeat_ngram:
            ban_repeats(logits, tokens, self.config.no_repeat_ngram)
