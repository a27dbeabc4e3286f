"""Length buckets as a command line and a recipe give them."""

from __future__ import annotations

import pytest

from litecompress.errors import ExportError
from litecompress.export.lengths import buckets, checked_buckets, parse_lengths
from tests import models


@pytest.mark.parametrize(
    ("text", "lengths", "ascending"),
    [("64", 64, (64,)), ("32,16, 64,16", (32, 16, 64, 16), (16, 32, 64))],
)
def test_lengths_are_read_and_put_in_order(text, lengths, ascending):
    assert parse_lengths(text) == lengths
    assert buckets(lengths) == ascending
    assert checked_buckets("coreml", lengths, models.artifact()) == ascending


@pytest.mark.parametrize("text", ["", "16,", "-4", "1e3", "16;32"])
def test_other_text_is_refused(text):
    with pytest.raises(ExportError, match="expected lengths such as 64 or 16,32,64, got"):
        parse_lengths(text)


def test_no_length_at_all_is_refused():
    with pytest.raises(ExportError, match="coreml: expected a length or more, got none"):
        checked_buckets("coreml", (), models.artifact())
