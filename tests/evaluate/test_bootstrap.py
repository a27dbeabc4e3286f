"""Intervals and paired tests against sacreBLEU, a plain reimplementation and theory."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from litecompress.evaluate.bootstrap import (
    Resampling,
    Statistics,
    compare,
    estimate,
    interval,
)
from litecompress.evaluate.text_metrics import translation_statistics

WORDS = [f"w{i}" for i in range(30)]
RESAMPLING = Resampling(200, 7)


def corpus(sentences: int = 60) -> list[str]:
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, rng.integers(4, 14))) for _ in range(sentences)]


def damaged(lines: list[str], share: float, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [
        " ".join(w if rng.random() > share else "wrong" for w in line.split()) for line in lines
    ]


def means(values) -> Statistics:
    rows = np.array([[v, 1] for v in values], np.float64)
    return Statistics(rows, lambda sums: float(sums[0] / sums[1]), "mean")


def plain_bleu(hypotheses: list[str], references: list[str]) -> float:
    """BLEU of text whose tokens are words, from its definition (Papineni et al. 2002)."""
    log_precision = 0.0
    for n in range(1, 5):
        correct = total = 0
        for hypothesis, reference in zip(hypotheses, references):
            grams = [
                Counter(zip(*(words[i:] for i in range(n))))
                for words in (hypothesis.split(), reference.split())
            ]
            correct += (grams[0] & grams[1]).total()
            total += grams[0].total()
        log_precision += math.log(correct / total) / 4
    lengths = [sum(len(line.split()) for line in side) for side in (hypotheses, references)]
    return 100 * math.exp(log_precision + min(0, 1 - lengths[1] / lengths[0]))


def test_bleu_intervals_and_differences_equal_a_plain_reimplementation():
    references = corpus()
    systems = [damaged(references, share, seed) for share, seed in ((0.1, 1), (0.2, 2))]
    ours = [translation_statistics(s, references, RESAMPLING)["bleu"] for s in systems]
    draw = np.random.default_rng(7)
    scores = np.array(
        [
            [plain_bleu([s[i] for i in drawn], [references[i] for i in drawn]) for s in systems]
            for drawn in (draw.integers(0, 60, 60) for _ in range(200))
        ]
    )
    deltas = sorted(scores[:, 0] - scores[:, 1])
    delta = compare(*ours, RESAMPLING)
    assert delta.delta == pytest.approx(
        plain_bleu(systems[0], references) - plain_bleu(systems[1], references)
    )
    assert (delta.low, delta.high) == pytest.approx((deltas[5], deltas[194]))
    score, resampled = estimate(ours[0], RESAMPLING), sorted(scores[:, 0])
    assert (score.low, score.high) == pytest.approx((resampled[5], resampled[194]))


def test_resamples_are_those_of_sacrebleu():
    from sacrebleu.metrics import BLEU, CHRF
    from sacrebleu.significance import PairedTest

    references = corpus()
    theirs, ours = damaged(references, 0.14, 1), damaged(references, 0.12, 2)
    metrics = {"bleu": BLEU(), "chrf": CHRF()}
    _, results = PairedTest(
        [("theirs", theirs), ("ours", ours)], metrics, [references], "bs", 1000
    )()
    resampling = Resampling()
    systems = [translation_statistics(s, references, resampling) for s in (ours, theirs)]
    for name, key in (("bleu", "BLEU"), ("chrf", "chrF2")):
        system, baseline = (s[name] for s in systems)
        low, high = interval(system.resampled(resampling))
        assert (high - low) / 2 == pytest.approx(results[key][1].ci, abs=1e-4)
        deltas = system.resampled(resampling) - baseline.resampled(resampling)
        centred = np.abs(deltas) - np.abs(deltas).mean()
        exceed = np.count_nonzero(centred > abs(system.score - baseline.score))
        assert (exceed + 1) / 1001 == pytest.approx(results[key][1].p_value)


def test_a_system_does_not_differ_from_itself():
    references = corpus()
    system = translation_statistics(damaged(references, 0.2, 1), references, RESAMPLING)
    for statistics in system.values():
        delta = compare(statistics, statistics, RESAMPLING)
        assert (delta.delta, delta.low, delta.high, delta.p_value) == (0, 0, 0, 1)


def test_a_clearly_better_system_is_told_apart():
    references = corpus()
    better, worse = (
        translation_statistics(damaged(references, share, 3), references, RESAMPLING)["chrf"]
        for share in (0.1, 0.5)
    )
    delta = compare(better, worse, RESAMPLING)
    assert 0 < delta.low < delta.delta < delta.high
    assert delta.p_value == pytest.approx(2 / 201)


values = st.lists(st.floats(-10, 10), min_size=5, max_size=40)


@given(values, st.integers(0, 2**32), st.floats(-2, 2))
def test_the_test_is_antisymmetric_and_goes_with_its_interval(system, seed, shift):
    baseline = system + np.random.default_rng(seed).normal(shift, 1, len(system))
    resampling = Resampling(100, seed)
    there = compare(means(system), means(baseline), resampling)
    back = compare(means(baseline), means(system), resampling)
    assert there.p_value == back.p_value
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert 0 < there.p_value <= 1
    if there.p_value < 0.05:
        assert there.low > 0 or there.high < 0


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
    sample = np.random.default_rng(0).normal(5, 3, 400)
    score = estimate(means(sample), Resampling(4000))
    half = 1.96 * sample.std() / 20
    expected = (sample.mean() - half, sample.mean() + half)
    assert (score.low, score.high) == pytest.approx(expected, abs=0.1 * half)


def test_resampling_is_deterministic_and_depends_on_the_seed():
    rows = np.random.default_rng(0).normal(size=(30, 2))
    sums = [Resampling(100, seed).sums(rows) for seed in (1, 1, 2)]
    assert np.array_equal(sums[0], sums[1])
    assert not np.array_equal(sums[0], sums[2])
    assert sums[0].shape == (100, 2)


def test_without_resampling_there_is_no_interval():
    score = estimate(means([1, 2]), None)
    assert (score.score, score.low, score.high) == (1.5, None, None)


def test_likelihoods_of_other_tokens_are_not_comparable():
    rows = np.ones((3, 2))
    first, second = (Statistics(rows, np.sum, "", unit) for unit in ("a", "b"))
    assert first.comparable(first)
    assert not first.comparable(second)
    assert not first.comparable(Statistics(rows[:2], np.sum, "", "a"))
