"""The two text files beside a checkpoint: what they say, and every fault in them at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from litecompress.errors import InputError
from litecompress.fairseq.dictionary import fitted, read_codes, read_dictionary
from tests import reference

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")


def file(folder: Path, content: str | bytes) -> Path:
    path = folder / "dict.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_ids_begin_after_the_special_tokens(tmp_path):
    path = file(tmp_path, "the 500\nc@@ 12\r\n,\u0085x 3\n")
    with pytest.raises(InputError, match="line 3 is not"):  # a token never holds white space
        read_dictionary(path)
    path = file(tmp_path, "the 500\nc@@ 12\r\né 3\n\n")
    assert read_dictionary(path) == (*SPECIAL, "the", "c@@", "é")


@reference.needs_reference
@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("tiny_iwslt32/dict.src.txt", 120),
        ("tiny_iwslt32/dict.tgt.txt", 96),
        ("tiny_lm64/dict.txt", 200),
    ],
)
def test_reference_dictionaries(name, rows):
    path = reference.REFERENCE / name
    assert fitted(read_dictionary(path), rows, path) == read_dictionary(path)
    assert len(read_dictionary(path)) == rows


def test_every_bad_line_is_named(tmp_path):
    path = file(tmp_path, "a 1\nb\na 2\nc x\n<pad> 7\n 5\n")
    message = (
        r"dict\.txt: expected a dictionary of fairseq, got line 2 is not `token count`: 'b'; "
        r"line 3 has 'a' again; line 4 is not `token count`: 'c x' \(and 2 more\)"
    )
    with pytest.raises(InputError, match=message):
        read_dictionary(path)


def test_a_dictionary_is_padded_to_eight(tmp_path):
    tokens = (*SPECIAL, "a", "b")
    assert fitted(tokens, 6, tmp_path) == tokens
    assert fitted(tokens, 8, tmp_path) == (*tokens, "madeupword0000", "madeupword0001")
    for rows in (5, 7, 9, 16):
        with pytest.raises(InputError, match=f"of the {rows} rows of its table.*got 6"):
            fitted(tokens, rows, tmp_path)


def test_text_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"expected UTF-8 text.*line 2"):
        read_dictionary(file(tmp_path, b"a 1\n\xff\xfe 2\n"))
    with pytest.raises(InputError, match="got an empty file"):
        read_dictionary(file(tmp_path, ""))
    with pytest.raises(InputError, match="got none"):
        read_codes(tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("header", "version"),
    [
        ("", (0, 1)),
        ("#version: 0.1\n", (0, 1)),
        ("#version: 0.2\n", (0, 2)),
        ("#version: 0.2.0\n", (0, 2)),
    ],
)
def test_versions_of_codes(tmp_path, header, version):
    codes = read_codes(file(tmp_path, f"{header}t h\nth e</w>\n# x\nt h\n\n"))
    assert codes.version == version
    assert codes.merges == (("t", "h"), ("th", "e</w>"), ("#", "x"))


def test_bad_codes(tmp_path):
    with pytest.raises(InputError, match=r"version 0\.1 or 0\.2, got '#version: 1\.0'"):
        read_codes(file(tmp_path, "#version: 1.0\na b\n"))
    with pytest.raises(InputError, match=r"got line 3 is not a pair of symbols: 'x'; line 4"):
        read_codes(file(tmp_path, "#version: 0.2\na b\nx\n\na b c\nd e\n"))
