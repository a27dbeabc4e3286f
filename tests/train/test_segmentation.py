"""Merge dropout: the same text in other pieces; sequences packed and cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from litecompress.train.segmentation import Merges, Ragged
from tests import models

TOKENIZER = models.tokenizer()
MERGES = Merges(TOKENIZER)
ROWS = st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=12), max_size=8)


def packed(lines):
    return Ragged.of([TOKENIZER.encode(line) for line in lines])


def texts(ragged):
    return [TOKENIZER.decode(ragged[i].tolist()) for i in range(len(ragged))]


@given(st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_the_text_stays_the_same_and_pieces_only_split(dropout, seed):
    plain = packed(models.LINES)
    sampled = MERGES.sample(plain, dropout, np.random.default_rng(seed))
    assert texts(sampled) == texts(plain)
    assert (sampled.lengths >= plain.lengths).all()
    again = MERGES.sample(plain, dropout, np.random.default_rng(seed))
    np.testing.assert_array_equal(sampled.ids, again.ids)


def test_its_extremes_are_the_tokenizer_and_single_characters():
    plain = packed(models.LINES)
    nothing, everything = (MERGES.sample(plain, p, np.random.default_rng(0)) for p in (0.0, 1.0))
    np.testing.assert_array_equal(nothing.ids, plain.ids)
    assert (MERGES.parts[everything.ids] < 0).all()


def test_merges_are_undone_as_often_as_asked():
    plain = packed(models.LINES * 2000)
    merged = (MERGES.parts[plain.ids, 0] >= 0).sum()
    rng = np.random.default_rng(0)
    two = Merges(TOKENIZER)
    two.parts[two.parts[two.parts[:, 0] >= 0].ravel()] = -1  # only the outermost merges are left
    merged = (two.parts[plain.ids, 0] >= 0).sum()
    more = len(two.sample(plain, 0.3, rng).ids) - len(plain.ids)
    assert more / merged == pytest.approx(0.3, abs=0.03)


@given(ROWS)
def test_packing_keeps_every_sequence(rows):
    ragged = Ragged.of(rows)
    assert [ragged[i].tolist() for i in range(len(ragged))] == rows


@given(ROWS, st.integers(2, 6))
def test_cutting_keeps_the_beginning_and_the_last_id(rows, limit):
    cut = Ragged.of(rows).take(np.arange(len(rows)), limit)
    expected = [row if len(row) <= limit else [*row[: limit - 1], row[-1]] for row in rows]
    assert [cut[i].tolist() for i in range(len(cut))] == expected
