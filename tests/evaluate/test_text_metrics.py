"""Scores as sacreBLEU itself gives them."""

from __future__ import annotations

import pytest
from sacrebleu.metrics import BLEU, CHRF

from litecompress.evaluate.bootstrap import Resampling, estimate
from litecompress.evaluate.text_metrics import bleu, translation_statistics

REFERENCES = ["Ein Mann reitet am Strand.", "Zwei Hunde, im Schnee!", "Kinder spielen im Park."]
HYPOTHESES = ["Ein mann reitet an dem Strand.", "Zwei Hunde im Schnee!", "Kinder im Park spielen."]
OPTIONS = {"bleu": (BLEU, {}), "bleu_lowercased": (BLEU, {"lowercase": True}), "chrf": (CHRF, {})}


@pytest.mark.parametrize("name", OPTIONS)
def test_scores_intervals_and_signatures_are_those_of_sacrebleu(name):
    kind, options = OPTIONS[name]
    metric = kind(**options)
    expected = metric.corpus_score(HYPOTHESES, [REFERENCES], n_bootstrap=100)
    resampling = Resampling(100)
    statistics = translation_statistics(HYPOTHESES, REFERENCES, resampling)[name]
    score = estimate(statistics, resampling)
    assert score.score == pytest.approx(expected.score)
    assert (score.high - score.low) / 2 == pytest.approx(expected._ci, abs=1e-4)
    assert score.signature == str(metric.get_signature())


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("hypotheses", [REFERENCES, ["", "", ""], ["", "im", "Ein Mann"]])
def test_scores_of_perfect_and_of_empty_output_too(name, hypotheses):
    kind, options = OPTIONS[name]
    expected = kind(**options).corpus_score(hypotheses, [REFERENCES]).score
    resampling = Resampling(100)
    score = estimate(translation_statistics(hypotheses, REFERENCES, resampling)[name], resampling)
    assert score.score == pytest.approx(expected)
    assert score.low <= score.high


def test_one_score_with_and_without_an_interval():
    plain, sampled = (bleu(HYPOTHESES, REFERENCES, resamples=n) for n in (0, 100))
    assert plain.score == sampled.score
    assert plain.low is None
    assert sampled.low <= sampled.score <= sampled.high
    assert "bs:100|seed:12345" in sampled.signature
    assert "bs:" not in plain.signature
    lower = bleu(HYPOTHESES, REFERENCES, lowercase=True)
    assert lower.score > plain.score
    assert "case:lc" in lower.signature
