"""BLEU and chrF of sacreBLEU (arXiv:1804.08771), as sums over sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from litecompress.evaluate.bootstrap import Resampling, Score, Statistics, estimate


def translation_statistics(
    hypotheses: Sequence[str], references: Sequence[str], resampling: Resampling
) -> dict[str, Statistics]:
    """BLEU (13a) cased and lower-cased, and chrF2."""
    from sacrebleu.metrics import BLEU, CHRF

    metrics = {"bleu": BLEU(), "bleu_lowercased": BLEU(lowercase=True), "chrf": CHRF()}
    return {
        name: _statistics(metric, hypotheses, references, resampling)
        for name, metric in metrics.items()
    }


def bleu(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    lowercase: bool = False,
    resamples: int = 0,
) -> Score:
    """Corpus BLEU (sacreBLEU, 13a); with `resamples` a 95 % bootstrap interval."""
    from sacrebleu.metrics import BLEU

    resampling = Resampling(resamples) if resamples > 1 else None
    metric = BLEU(lowercase=lowercase)
    return estimate(_statistics(metric, hypotheses, references, resampling), resampling)


def _statistics(
    metric: Any,
    hypotheses: Sequence[str],
    references: Sequence[str],
    resampling: Resampling | None,
) -> Statistics:
    """What sacreBLEU itself counts in a sentence, and its own score of the sum."""
    rows = metric._extract_corpus_statistics(list(hypotheses), [list(references)])
    if resampling is not None:  # the signature tells of both
        metric.n_bootstrap, metric.seed = resampling.resamples, resampling.seed
    return Statistics(
        np.array(rows, np.float64),
        lambda sums: float(metric._compute_score_from_stats(sums.tolist()).score),
        str(metric.get_signature()),
    )
