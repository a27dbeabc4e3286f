"""Which lengths are looked at, and what rows of them are made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litecompress.verify.difference import Row
from litecompress.verify.lengths import rows_of, spread_lengths


@given(st.integers(2, 2000), st.lists(st.integers(2, 2000), max_size=3))
def test_lengths_reach_from_1_to_the_limit_and_lie_around_every_bucket(longest, buckets):
    found = spread_lengths(longest, buckets)
    assert found == sorted(set(found))
    assert (found[0], found[1], found[-1]) == (1, 2, longest)
    for bucket in buckets:
        around = {bucket - 1, bucket, bucket + 1}
        assert {n for n in around if 1 <= n <= longest} <= set(found)


def test_few_lengths_are_enough_for_a_long_limit():
    assert spread_lengths(1024) == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1023, 1024]


def test_rows_have_the_lengths_and_real_words_in_order():
    real = [Row((5, 6, 2), (7, 2)), Row((8, 2), (9, 10, 2))]
    rows = rows_of([1, 3, 5], real)
    assert rows[0] == Row((2,), (2,))
    assert rows[1] == Row((5, 6, 2), (7, 9, 2))
    assert rows[2].source == (8, 5, 6, 8, 2)
    assert [len(row.target) for row in rows] == [1, 3, 5]


@pytest.mark.parametrize("length", [2, 7])
def test_a_language_models_rows_have_no_source(length):
    (row,) = rows_of([length], [Row((), (5, 6, 2))])
    assert (row.source, len(row.target)) == ((), length)
