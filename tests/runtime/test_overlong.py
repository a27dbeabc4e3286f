"""Texts cut into pieces that fit."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litecompress.runtime.overlong import split

alphabet = st.sampled_from(list("ab. ,;!?\t–-\"')。，é"))


@given(st.text(alphabet, max_size=200), st.integers(1, 30))
def test_pieces_fit_and_hold_the_text(text, limit):
    pieces = split(text, lambda piece: len(piece) <= limit)
    assert all(len(piece) <= limit for piece in pieces)
    assert re.sub(r"\s", "", "".join(pieces)) == re.sub(r"\s", "", text)
    assert all(piece for piece in pieces) or not text


def words(limit):
    return lambda piece: len(piece.split()) <= limit


def test_what_fits_stays_whole():
    assert split("One. Two, three.", words(3)) == ["One. Two, three."]


def test_sentences_come_first():
    text = 'He said: "No." Then, he left! Why? Nobody knows.'
    expected = ['He said: "No."', "Then, he left!", "Why?", "Nobody knows."]
    assert split(text, words(8)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the man, who ran, sat down", ["the man,", "who ran, sat down"]),
        ("the man who ran sat down", ["the man who", "ran sat down"]),
        ("one; two three four five six", ["one; two three", "four five six"]),
    ],
)
def test_long_sentences_break_near_their_middle(text, expected):
    assert split(text, words(4)) == expected


def test_a_word_that_is_too_long_breaks_anywhere():
    assert split("abcdefgh", lambda piece: len(piece) <= 2) == ["ab", "cd", "ef", "gh"]


def test_a_sentence_without_blanks_between_breaks_at_its_end():
    assert split("猫。犬。", lambda piece: len(piece) <= 2) == ["猫。", "犬。"]


def test_it_ends_where_nothing_fits():
    assert split("ab c", lambda piece: False) == ["a", "b", "c"]
