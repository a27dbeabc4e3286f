"""What picks candidates from logits, against the plain way to say it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from litecompress.runtime.candidates import ban_repeats, log_sums, only_end, top

floats = st.floats(-50, 50, width=32) | st.just(-np.inf)
rows = hnp.arrays(np.float32, st.tuples(st.integers(1, 3), st.integers(1, 80)), elements=floats)


@given(rows, st.integers(1, 12))
def test_top_is_what_a_full_sort_gives(values, count):
    found, where = top(values, count)
    expected = -np.sort(-values, axis=1)[:, :count]
    assert np.array_equal(found, expected)
    assert np.array_equal(np.take_along_axis(values, where, 1), expected)
    assert all(len(set(row)) == len(row) for row in where.tolist())


def test_top_of_a_wide_row():
    values = np.random.default_rng(0).normal(size=(2, 40_003)).astype(np.float32)
    values[:, -1] = 99  # in what the table leaves over
    found, where = top(values, 8)
    assert np.array_equal(found, -np.sort(-values, axis=1)[:, :8])
    assert where[:, 0].tolist() == [40_002, 40_002]


def test_top_goes_on_where_there_are_no_numbers():
    values = np.full((1, 50), np.nan, np.float32)
    assert np.isnan(top(values, 4)[0]).all()
    values[0, 7] = 1
    assert top(values, 4)[1][0, 0] == 7


@given(rows.filter(lambda v: np.isfinite(v).any(axis=1).all()), st.sampled_from([0, 80, -90, 1e4]))
def test_log_sums_give_log_probabilities(logits, shift):
    logits = logits + np.float32(shift)
    (sums,) = log_sums([logits])
    log_probs = logits.astype(np.float64) - sums[:, None]
    np.testing.assert_allclose(
        np.exp(log_probs).sum(axis=1), 1, atol=2e-3 if shift == 1e4 else 1e-4
    )
    both = log_sums([logits, logits + np.float32(200)])
    np.testing.assert_allclose(both[1] - both[0], 200, atol=2e-3)


@given(
    hnp.arrays(
        np.int64, st.tuples(st.integers(1, 3), st.integers(1, 20)), elements=st.integers(0, 4)
    ),
    st.integers(1, 5),
)
def test_no_ngram_comes_twice(tokens, n):
    logits = np.zeros((len(tokens), 5), np.float32)
    ban_repeats(logits, tokens, n)
    for row, scores in zip(tokens.tolist(), logits):
        ngrams = {tuple(row[i : i + n]) for i in range(len(row) - n + 1)}
        for token, score in enumerate(scores):
            repeats = (*row[len(row) - n + 1 :], token) in ngrams
            assert (score == -np.inf) == repeats


def test_only_the_end_is_left():
    logits = np.arange(10, dtype=np.float32).reshape(2, 5)
    only_end(logits)
    assert np.isfinite(logits).nonzero()[1].tolist() == [2, 2]
    assert logits[:, 2].tolist() == [2, 7]
