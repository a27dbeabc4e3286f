"""ROUGE as rouge-score gives it and as its definition says, and the lead."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer

from litecompress.errors import InputError
from litecompress.evaluate.bootstrap import Resampling, estimate
from litecompress.evaluate.rouge import lead, summary_statistics

REFERENCES = ["fast game of ancient warfare", "tools for flashing images", "small library"]
HYPOTHESES = ["game of war", "a tool that flashes an image", ""]
RESAMPLING = Resampling(100)


@pytest.mark.parametrize("name", ["rouge1", "rouge2", "rougeL", "rougeLsum"])
def test_scores_are_those_of_rouge_score(name):
    scorer = RougeScorer([name], use_stemmer=True)
    pairs = zip(REFERENCES, HYPOTHESES)
    expected = [100 * scorer.score(r, h)[name].fmeasure for r, h in pairs]
    key = name.lower().removesuffix("sum")  # the same for summaries of one line
    statistics = summary_statistics(HYPOTHESES, REFERENCES, RESAMPLING)[key]
    assert statistics.score == pytest.approx(np.mean(expected))
    score = estimate(statistics, RESAMPLING)
    assert score.low <= score.score <= score.high <= max(expected) + 1e-9
    assert "stem:porter" in score.signature
    assert "bs:100|seed:12345" in score.signature


def test_rouge_by_hand():
    reference, hypothesis = "red box in the sun", "the red sun in the box"
    words = [text.split() for text in (reference, hypothesis)]
    bigrams = [Counter(pairwise(w)) for w in words]
    expected = {
        "rouge1": 2 * 5 / (5 + 6),  # all words of the reference
        "rouge2": 2 * (bigrams[0] & bigrams[1]).total() / (4 + 5),
        "rougel": 2 * 3 / (5 + 6),  # red in the
    }
    statistics = summary_statistics([hypothesis], [reference], RESAMPLING)
    assert {k: s.score / 100 for k, s in statistics.items()} == pytest.approx(expected)


def test_the_lead_is_the_first_sentence_or_so_many_words():
    sources = ["Fast, small (v1.2) tool. It does more.", " No end here", "What? This."]
    assert lead(sources, "sentence") == ["Fast, small (v1.2) tool.", "No end here", "What?"]
    assert lead(sources, "2") == ["Fast, small", "No end", "What? This."]


@pytest.mark.parametrize("what", ["0", "-1", "two", "", "1.5"])
def test_another_lead_is_refused(what):
    with pytest.raises(InputError, match="'sentence' or a number of words"):
        lead(["text"], what)
