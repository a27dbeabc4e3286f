"""Rows outlive a kill at any byte."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litecompress.errors import InputError
from litecompress.scan.journal import opened

ROWS = {f"key{i}": {"loss": i / 3, "tensor": "ä"} for i in range(5)}


def test_rows_are_found_again(tmp_path):
    path = tmp_path / "probes.jsonl"
    with opened(path) as journal:
        for key, row in ROWS.items():
            journal.add(key, row)
    with opened(path) as journal:
        assert journal.rows == {key: {"key": key, **row} for key, row in ROWS.items()}
        assert journal.damaged == 0


@given(st.data())
def test_whatever_is_cut_off_the_whole_lines_stay(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "probes.jsonl"
    with opened(path) as journal:
        for key, row in ROWS.items():
            journal.add(key, row)
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    whole = content[:cut].count(b"\n")
    with opened(path) as journal:
        assert list(ROWS)[:whole] == list(journal.rows)[:whole]
        assert len(journal.rows) - whole in (0, 1)  # only the line end may be missing
        journal.add("after", {"loss": 1.0})
        known = set(journal.rows)
    with opened(path) as journal:
        assert set(journal.rows) == known


def test_damaged_lines_are_counted_and_left_out(tmp_path):
    path = tmp_path / "probes.jsonl"
    lines = [b"\xff\xfe", b"[1]", b'{"loss": 1}', b'{"key": "a", "loss": NaN}', b"[" * 9999]
    path.write_bytes(b"\n".join([*lines, json.dumps({"key": "b"}).encode()]))
    with opened(path) as journal:
        assert journal.damaged == len(lines)
        assert set(journal.rows) == {"b"}


def test_two_scans_at_once_are_refused(tmp_path):
    path = tmp_path / "probes.jsonl"
    with opened(path), pytest.raises(InputError, match="another one at work"), opened(path):
        pass
