"""Greedy search and sampling."""

from __future__ import annotations

import numpy as np
import pytest

from litecompress.model.config import EOS_ID, PAD_ID, UNK_ID
from litecompress.runtime.beams import Beams
from litecompress.runtime.options import GenerationOptions
from litecompress.runtime.sampling import Sampling
from litecompress.runtime.search import SearchConfig, decode
from litecompress.runtime.single import PENDING_BYTES, Greedy
from tests.runtime.tables import TableSession

SOURCE = np.array([[5, 2], [7, 2], [11, 2], [5, 2], [30, 2]])
BEGUN = np.full((len(SOURCE), 1), EOS_ID)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "config",
    [
        SearchConfig(1),
        SearchConfig(1, min_length=5),
        SearchConfig(1, no_repeat_ngram=2, length_penalty=0.4),
        SearchConfig(1, unk_penalty=1.0, normalize=False),
        SearchConfig(1, min_length=0),
    ],
)
def test_greedy_is_beam_search_with_one_beam(seed, config):
    session = TableSession(seed, end=2.0)
    session.table[..., UNK_ID] += 3
    found = [
        decode(session, session.start(SOURCE, 20), search(config, 12, BEGUN))
        for search in (Greedy, Beams)
    ]
    assert any(UNK_ID in h[0].tokens for h in found[0])
    assert max(len(h[0].tokens) for h in found[0]) > min(len(h[0].tokens) for h in found[0])
    for ours, theirs in zip(*found):
        assert [h.tokens for h in ours] == [h.tokens for h in theirs]
        np.testing.assert_allclose(ours[0].token_scores, theirs[0].token_scores, atol=1e-5)
        assert ours[0].score == pytest.approx(theirs[0].score, abs=1e-5)


def test_scores_do_not_depend_on_when_they_are_computed():
    width = PENDING_BYTES // 4 // 3  # three steps fill the memory set aside
    session = TableSession(1, vocabulary=30)
    plain = decode(session, session.start(SOURCE, 20), Greedy(SearchConfig(1), 9, BEGUN))

    class Wide(TableSession):
        def step(self, tokens, step, state):
            logits, state = super().step(tokens, step, state)
            padded = np.full((len(logits), width // len(SOURCE)), -np.inf, np.float32)
            padded[:, : logits.shape[1]] = logits
            return padded, state

    wide = Wide(1, vocabulary=30)
    found = decode(wide, wide.start(SOURCE, 20), Greedy(SearchConfig(1), 9, BEGUN))
    assert [h[0].tokens for h in found] == [h[0].tokens for h in plain]
    for a, b in zip(found, plain):
        np.testing.assert_allclose(a[0].token_scores, b[0].token_scores, atol=1e-5)


def test_without_scores_the_tokens_are_the_same():
    session = TableSession(8, end=2.0)
    config = SearchConfig(1, no_repeat_ngram=2, unk_penalty=1.0)
    found = [
        decode(session, session.start(SOURCE, 20), Greedy(config, 9, BEGUN, scores=scores))
        for scores in (True, False)
    ]
    assert [h[0].tokens for h in found[0]] == [h[0].tokens for h in found[1]]
    assert {h[0].score for h in found[1]} == {0.0}
    assert all(h[0].score < 0 for h in found[0])


@pytest.mark.parametrize("scores", [True, False])
@pytest.mark.parametrize("value", [np.nan, -np.inf])
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_what_has_no_finite_score_is_not_found(scores, value):
    session = TableSession(9, end=2.0)
    session.table[11] = value
    chooser = Greedy(SearchConfig(1), 9, BEGUN, scores=scores)
    found = decode(session, session.start(SOURCE, 20), chooser)
    assert [len(h) for h in found] == [1, 1, 0, 1, 1]


def test_padding_is_never_written():
    session = TableSession(2)
    session.table[..., PAD_ID] = 50
    for found in decode(session, session.start(SOURCE, 20), Greedy(SearchConfig(1), 9, BEGUN)):
        assert PAD_ID not in found[0].tokens


@pytest.mark.parametrize("search", [Greedy, Beams])
def test_a_cut_text_ends_without_an_end(search):
    session = TableSession(3, end=-50)
    config = SearchConfig(1 if search is Greedy else 3, length_penalty=0)
    found = decode(session, session.begin(1, 20), search(config, 6, BEGUN[:1]), cut=True)
    assert {len(h.tokens) for h in found[0]} == {6}
    assert all(EOS_ID not in h.tokens for h in found[0])
    assert found[0][0].score == pytest.approx(sum(found[0][0].token_scores), abs=1e-4)


def sample(session, count=1, most=1, **options):
    begun = np.full((count, 1), EOS_ID)
    chooser = Sampling(GenerationOptions(max_length=most, **options), begun, number=1)
    found = decode(session, session.begin(count, most + 1), chooser, cut=True)
    return [hypotheses[0] for hypotheses in found]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_samples_come_as_often_as_the_probabilities_say(temperature):
    session = TableSession(4, vocabulary=8)
    logits = session.table[0, 0, EOS_ID].astype(np.float64) / temperature
    logits[[PAD_ID, EOS_ID]] = -np.inf  # a text has a token at least
    expected = np.exp(logits) / np.exp(logits).sum()
    count = 4000
    drawn = [h.tokens[0] for h in sample(session, count, temperature=temperature)]
    shares = np.bincount(drawn, minlength=8) / count
    deviation = np.sqrt(expected * (1 - expected) / count)
    assert (np.abs(shares - expected) <= 5 * deviation).all()


def test_only_the_likeliest_are_drawn():
    session = TableSession(5)
    logits = session.table[0, 0, EOS_ID].copy()
    logits[[PAD_ID, EOS_ID]] = -np.inf
    best = set(np.argsort(-logits)[:3].tolist())
    assert {h.tokens[0] for h in sample(session, 300, top_k=3, temperature=5.0)} == best
    (one,) = sample(session, top_k=1)
    assert one.tokens == (int(logits.argmax()),)


def test_a_sample_depends_on_its_seed_and_place_only():
    session = TableSession(6, end=2)
    many = sample(session, 8, most=9, seed=3)
    assert many == sample(session, 8, most=9, seed=3)
    assert many[:2] == sample(session, 2, most=9, seed=3)
    assert many != sample(session, 8, most=9, seed=4)
    assert len({h.tokens for h in many}) > 1


def test_a_sample_has_the_score_that_the_model_gives_it():
    session = TableSession(7)
    (found,) = sample(session, most=1, temperature=3.0, seed=1)
    logits = session.table[0, 0, EOS_ID].astype(np.float64)
    expected = logits[found.tokens[0]] - np.log(np.exp(logits).sum())
    assert found.score == pytest.approx(expected, abs=1e-5)
