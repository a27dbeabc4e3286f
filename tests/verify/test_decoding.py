"""Agreement of whole decodes."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litecompress.runtime.torch_session import TorchSession
from litecompress.tokenizer import Tokenizer
from litecompress.verify.check import Bounds
from litecompress.verify.decoding import JUDGED, Limited, bleu_check, edit_distance, tokens_check
from litecompress.verify.logits import Pair
from tests import models

WORDS = st.lists(st.integers(0, 3), max_size=7)


def pair():
    return Pair(None, None, "executed", Bounds.of("int8"))


@given(WORDS, WORDS)
def test_edit_distance_equals_its_definition(first, second):
    @functools.cache
    def distance(i, j):
        if not i or not j:
            return i + j
        same = first[i - 1] == second[j - 1]
        return min(
            distance(i - 1, j) + 1, distance(i, j - 1) + 1, distance(i - 1, j - 1) + (not same)
        )

    assert edit_distance(first, second) == distance(len(first), len(second))


def test_agreement_is_by_tokens_and_by_sentences():
    figures = tokens_check(pair(), [(5, 6, 2), (7, 2)], [(5, 9, 2), (7, 2)], 5).figures
    assert figures["token_agreement"] == pytest.approx(1 - 1 / 5)
    assert figures["sentence_agreement"] == 0.5


@pytest.mark.parametrize(("sentences", "judged"), [(JUDGED - 1, False), (JUDGED, True)])
def test_bleu_is_judged_where_there_are_enough_sentences(sentences, judged):
    tokenizer: Tokenizer = models.tokenizer()
    scores = iter([30.0, 29.5])
    found = bleu_check(
        pair(),
        [(5, 2)] * sentences,
        [(6, 2)] * sentences,
        ["x"] * sentences,
        tokenizer,
        lambda hypotheses, references: next(scores),
    )
    assert found.figures["bleu_delta"] == pytest.approx(-0.5)
    assert found.passed is (False if judged else None)


def test_a_limited_session_has_the_others_room():
    session = TorchSession.of(models.artifact())
    limited = Limited(session, 7, 9)
    assert (limited.max_source, limited.max_target) == (7, 9)
