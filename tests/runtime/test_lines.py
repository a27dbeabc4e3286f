"""Lines of a stream, as they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litecompress.errors import InputError
from litecompress.runtime import lines as lines_module
from litecompress.runtime.lines import lines_as_they_come


class Pieces:
    """A stream that has one piece at a time."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    def read1(self, size):
        return self.pieces.pop(0) if self.pieces else b""


@given(st.lists(st.text("aé\r\u2028 ", max_size=6), max_size=12), st.data())
def test_lines_do_not_depend_on_how_they_arrive(lines, data):
    text = "".join(f"{line}\n" for line in lines).encode()
    cuts = sorted(data.draw(st.lists(st.integers(1, max(1, len(text) - 1)), max_size=5)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)]) if a < b]
    most = data.draw(st.integers(1, 4))
    groups = list(lines_as_they_come(Pieces(*pieces), most, "stdin"))
    assert [line for group in groups for line in group] == [x.removesuffix("\r") for x in lines]
    assert all(0 < len(group) <= most for group in groups)


def test_a_group_is_what_has_arrived():
    stream = Pieces(b"one\ntw", b"o\nthree\nfour\nfive\n", b"six")
    assert list(lines_as_they_come(stream, 3, "stdin")) == [
        ["one"],
        ["two", "three", "four"],
        ["five"],
        ["six"],
    ]


def test_lines_before_a_bad_one_are_given():
    stream = lines_as_they_come(Pieces(b"one\ntwo\nthr\xffee\nfour\n"), 2, "stdin")
    assert next(stream) == ["one", "two"]
    with pytest.raises(InputError, match=r"stdin: expected UTF-8 text, got .* in line 3; convert"):
        next(stream)


def test_a_bad_line_within_a_group():
    stream = lines_as_they_come(Pieces(b"one\nt\xffwo\n"), 5, "stdin")
    assert next(stream) == ["one"]
    with pytest.raises(InputError, match="in line 2"):
        next(stream)


def test_a_stream_without_an_end_of_line_is_bounded(monkeypatch):
    monkeypatch.setattr(lines_module, "LINE_LIMIT_BYTES", 10)
    stream = lines_as_they_come(Pieces(b"one\n", b"x" * 8, b"x" * 8), 5, "stdin")
    assert next(stream) == ["one"]
    with pytest.raises(InputError, match="at most 10 bytes, got more in line 2"):
        next(stream)
