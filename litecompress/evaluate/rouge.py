"""ROUGE of summaries (Lin 2004, by the package rouge-score), and the lead as a baseline."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from litecompress.errors import InputError
from litecompress.evaluate.bootstrap import Resampling, Statistics

ROUGE = ("rouge1", "rouge2", "rougeL")
SENTENCE = "sentence"
_SENTENCE_END = re.compile(r"(?<=[.!?])\s")


def summary_statistics(
    hypotheses: Sequence[str], references: Sequence[str], resampling: Resampling
) -> dict[str, Statistics]:
    """Mean F1 of ROUGE-1, -2 and -L in percent, with Porter stemming.

    A summary is one line: of one line rougeL and rougeLsum are the same.
    """
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(ROUGE), use_stemmer=True)
    scores = [scorer.score(r, h) for h, r in zip(hypotheses, references, strict=True)]
    signature = (
        f"rouge-score:{version('rouge-score')}|f1|stem:porter|lsum:no"
        f"|bs:{resampling.resamples}|seed:{resampling.seed}"
    )
    return {
        name.lower(): Statistics(
            np.array([[score[name].fmeasure, 1] for score in scores]), _mean_percent, signature
        )
        for name in ROUGE
    }


def _mean_percent(sums: np.ndarray) -> float:
    total, count = sums
    return float(100 * total / count)


def lead(sources: Sequence[str], what: str) -> list[str]:
    """The beginning of every source: its first `sentence` (up to . ! or ? before a space), or
    as many words as the number `what` says."""
    if what == SENTENCE:
        return [_SENTENCE_END.split(source.strip(), maxsplit=1)[0] for source in sources]
    if not what.isdecimal() or int(what) < 1:
        raise InputError(f"expected the lead as {SENTENCE!r} or a number of words, got {what!r}")
    return [" ".join(source.split()[: int(what)]) for source in sources]
