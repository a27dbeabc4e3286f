"""Sums of differences, against the same figures of whole arrays."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from litecompress.runtime.torch_session import TorchSession
from litecompress.verify.difference import Difference, Row, compare, steps
from litecompress.verify.parity import forced_logits, psnr_db
from tests import models

ROWS = [Row((5, 9, 2), (7, 8, 2)), Row((6, 2), (4, 9, 11, 30, 2)), Row((7, 8, 11, 2), (2,))]


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**31))
def test_sums_equal_the_figures_of_whole_arrays(pieces, width, seed):
    rng = np.random.default_rng(seed)
    ours, theirs, words = [], [], []
    difference = Difference()
    for _ in range(pieces):
        rows = int(rng.integers(1, 4))
        theirs.append(rng.normal(size=(rows, width)).astype(np.float32))
        ours.append((theirs[-1] + 0.1 * rng.normal(size=(rows, width))).astype(np.float32))
        words += rng.integers(0, width, rows).tolist()
        difference.add(theirs[-1], ours[-1], words[-rows:])
    reference, other = np.concatenate(theirs), np.concatenate(ours)
    assert difference.psnr_db == pytest.approx(psnr_db(reference, other), abs=1e-3)
    assert difference.max_abs_err == pytest.approx(np.abs(reference - other).max(), abs=1e-5)
    same = (reference.argmax(1) == other.argmax(1)).mean()
    assert difference.argmax_agreement == pytest.approx(same)
    for logits, perplexity in zip((reference, other), difference.perplexities):
        shares = np.exp(logits.astype(np.float64))
        shares /= shares.sum(axis=1, keepdims=True)
        nll = -np.log(shares[np.arange(len(words)), words]).mean()
        assert perplexity == pytest.approx(math.exp(nll), rel=1e-6)


def test_equal_logits_have_no_difference():
    difference = Difference()
    difference.add(np.ones((2, 3), np.float32), np.ones((2, 3), np.float32), [0, 1])
    assert (difference.psnr_db, difference.max_abs_err) == (math.inf, 0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_no_numbers_have_the_worst_figures(value):
    difference = Difference()
    broken = np.array([[1.0, value]], np.float32)
    difference.add(np.ones((1, 2), np.float32), broken, [0])
    assert difference.psnr_db == 0
    assert not difference.max_abs_err <= 1e-4


def test_steps_give_the_logits_of_teacher_forcing():
    session = TorchSession.of(models.artifact())
    for row in ROWS:
        found = np.concatenate(list(steps(session, [row])))
        np.testing.assert_array_equal(found, forced_logits(session, row.source, row.target))


def test_a_batch_with_padding_is_compared_with_each_row_alone():
    session = TorchSession.of(models.artifact())
    found = compare(session, session, ROWS, padding=3)
    assert found.positions == sum(len(row.target) for row in ROWS)
    assert found.psnr_db > 120


def test_a_leaky_model_equals_itself_only_with_the_same_padding():
    session = TorchSession.of(models.artifact(conv_padding="leaky"))
    assert compare(session, session, ROWS[:1], padding=3).psnr_db < 60
    assert compare(session, session, ROWS[:1], padding=3, like=True).psnr_db > 120
