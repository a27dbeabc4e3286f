"""Test sets that are read as written, and those that are refused as a whole."""

from __future__ import annotations

import lzma

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litecompress.errors import InputError
from litecompress.evaluate.corpus import (
    Samples,
    numbered,
    read_pairs,
    read_running_text,
    read_samples,
)
from litecompress.model.config import EOS_ID
from litecompress.tokenizer import LIMIT_CHARS, Tokenizer
from tests import models

PAIRS = "name\tlong\tshort\nalpha\tA long\u2028text.\tA text\nbeta\tmore\tless\n"


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text(PAIRS, "utf-8")
    return path


@pytest.mark.parametrize(("source", "target"), [("long", "short"), ("2", "short")])
def test_named_columns_need_a_line_of_names(pairs, source, target):
    assert read_pairs(pairs, source, target) == (["A long\u2028text.", "more"], ["A text", "less"])
    assert read_pairs(pairs, source, target, limit=1) == (["A long\u2028text."], ["A text"])


def test_numbered_columns_take_every_line(pairs):
    assert read_pairs(pairs) == (["name", "alpha", "beta"], ["long", "A long\u2028text.", "more"])
    assert read_pairs(pairs, "3", "1", limit=2) == (["short", "A text"], ["name", "alpha"])


def test_a_compressed_file_is_read_alike(pairs, tmp_path):
    packed = tmp_path / "pairs.tsv.xz"
    packed.write_bytes(lzma.compress(pairs.read_bytes()))
    assert read_pairs(packed) == read_pairs(pairs)


@pytest.mark.parametrize("column", ["0", "-1", "longer", ""])
def test_a_column_that_is_not_there_is_named(pairs, column):
    with pytest.raises(InputError, match=rf"got '{column}' and the columns name, long, short"):
        read_pairs(pairs, "1", column)


def test_all_lines_without_the_columns_are_counted(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("one\n" * 4 + "one\ttwo\n" + "one\n")
    with pytest.raises(InputError, match=r"2 columns.* got fewer in lines 1, 2, 3 \(and 2 more\)"):
        read_pairs(path)
    path.write_text("source\ttarget\n")
    with pytest.raises(InputError, match="got no pairs"):
        read_pairs(path, "source", "target")


def test_samples_name_the_line_that_is_otherwise(tmp_path):
    path = tmp_path / "samples.tsv"
    path.write_text("a\tb\n\nc\td\n")
    assert read_samples(path) == (["a", "c"], ["b", "d"])
    path.write_text("a\tb\n\nc\n")
    with pytest.raises(InputError, match="got line 3 otherwise"):
        read_samples(path)


def test_running_text_leaves_blank_lines_out(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("one\n\n  \ntwo\n")
    assert read_running_text(path) == ["one", "two"]
    assert read_running_text(path, limit=3) == ["one"]
    path.write_text(" \n\t\n")
    with pytest.raises(InputError, match="got blank ones only"):
        read_running_text(path)
    path.write_text("one\n" + "x" * (LIMIT_CHARS + 1))
    with pytest.raises(InputError, match="got more in line 2; break the text"):
        read_running_text(path)


def test_what_either_side_cannot_hold_is_listed_at_once():
    sources, references = ["a", " ", "horse " * 50], ["", "b", "c"]
    with pytest.raises(InputError) as caught:
        Samples.of(sources, references, models.tokenizer(), 40)
    message = str(caught.value)
    for part in ("source: sentence 2: expected a sentence", "sentence 3: expected at most 40"):
        assert part in message
    assert "reference: sentence 1: expected a sentence" in message


def test_each_side_has_its_own_tokenizer():
    other = Tokenizer.learn(["other words entirely"], 40)
    samples = Samples.of(["a man"], ["words"], models.tokenizer(), 40, other)
    assert samples.source_ids == (tuple(models.tokenizer().encode("a man")),)
    assert samples.reference_ids == (tuple(other.encode("words")),)


@given(st.lists(st.integers(0, 99), min_size=1, max_size=9))
def test_many_numbers_are_the_first_few_and_a_count(numbers):
    text = numbered("line", numbers)
    assert text.startswith("lines " if len(numbers) > 1 else "line ")
    assert (f"(and {len(numbers) - 3} more)" in text) == (len(numbers) > 3)


def test_long_sources_are_cut_where_that_is_asked():
    tokenizer = models.tokenizer()
    whole = Samples.of(models.LINES, models.LINES, tokenizer, 50)
    cut = Samples.of(models.LINES, models.LINES, tokenizer, 50, max_source=5)
    assert cut.reference_ids == whole.reference_ids
    assert cut.source_ids == tuple((*ids[:4], EOS_ID) for ids in whole.source_ids)
