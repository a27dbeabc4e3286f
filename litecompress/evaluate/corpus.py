"""Test sets: files of one sentence a line, or of one pair a line, checked as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from litecompress.errors import InputError
from litecompress.text import read_lines
from litecompress.tokenizer import LIMIT_CHARS, NO_LIMIT, Tokenizer, encode_all, shortened

SHOWN = 3  # lines named in an error, beside their count


@dataclass(frozen=True)
class Samples:
    """Sentence pairs, as text and as ids."""

    sources: tuple[str, ...]
    references: tuple[str, ...]
    source_ids: tuple[tuple[int, ...], ...]
    reference_ids: tuple[tuple[int, ...], ...]

    @classmethod
    def of(
        cls,
        sources: Sequence[str],
        references: Sequence[str],
        tokenizer: Tokenizer,
        limit: int,
        target_tokenizer: Tokenizer | None = None,
        max_source: int | None = None,
    ) -> Samples:
        """Encode both sides; what is empty or longer than `limit` tokens is one InputError.

        Sources are cut to `max_source` tokens first.
        """
        sides = (
            (sources, tokenizer, max_source, "source"),
            (references, target_tokenizer or tokenizer, None, "reference"),
        )
        encoded, problems = [], []
        for lines, side_tokenizer, cut, name in sides:
            try:
                ids = encode_all(side_tokenizer, lines, limit if cut is None else NO_LIMIT, name)
            except InputError as error:
                problems.append(str(error))
                continue
            encoded.append(tuple(tuple(shortened(row, cut or limit)) for row in ids))
        if problems:
            raise InputError("; ".join(problems))
        return cls(tuple(sources), tuple(references), *encoded)


def read_pairs(
    path: Path, source_column: str = "1", target_column: str = "2", limit: int | None = None
) -> tuple[list[str], list[str]]:
    """Two columns of a tab-separated file, plain or .xz, by number from 1 or by name.

    A name needs a first line that names the columns; without names the first line is a pair.
    """
    columns = (source_column, target_column)
    named = not all(column.isdecimal() for column in columns)
    lines = read_lines(path)[: None if limit is None else limit + named]
    rows = [line.split("\t") for line in lines]
    first, second = (_position(column, rows[0], path) for column in columns)
    rows = rows[named:]
    needed = max(first, second) + 1
    wrong = [i for i, row in enumerate(rows, 1 + named) if len(row) < needed]
    if wrong or not rows:
        got = f"fewer in {numbered('line', wrong)}" if wrong else "no pairs"
        raise InputError(f"{path}: expected at least {needed} columns apart by tabs, got {got}")
    return [row[first] for row in rows], [row[second] for row in rows]


def _position(column: str, header: list[str], path: Path) -> int:
    """Where a column stands, from 0."""
    if column.isdecimal() and int(column) > 0:
        return int(column) - 1
    if column not in header:
        raise InputError(
            f"{path}: expected a number from 1 or a column of the first line, got {column!r} and "
            f"the columns {', '.join(name[:20] for name in header[:8])}"
        )
    return header.index(column)


def read_samples(path: Path) -> tuple[list[str], list[str]]:
    """A file of `source<TAB>reference` lines; blank ones do not count."""
    lines = read_lines(path)
    rows = [line.split("\t") for line in lines if line.strip()]
    wrong = [i for i, line in enumerate(lines, 1) if line.strip() and line.count("\t") != 1]
    if wrong or not rows:
        where = numbered("line", wrong) if wrong else "an empty file"
        raise InputError(f"{path}: expected lines `source<TAB>reference`, got {where} otherwise")
    return [r[0] for r in rows], [r[1] for r in rows]


def read_running_text(path: Path, limit: int | None = None) -> list[str]:
    """The lines of a text that are not blank; one of absurd length is an InputError."""
    lines = read_lines(path)[:limit]
    long = [number for number, line in enumerate(lines, 1) if len(line) > LIMIT_CHARS]
    if long:
        raise InputError(
            f"{path}: expected at most {LIMIT_CHARS} characters a line, got more in "
            f"{numbered('line', long)}; break the text into lines"
        )
    text = [line for line in lines if line.strip()]
    if not text:
        raise InputError(f"{path}: expected lines of text, got blank ones only")
    return text


def numbered(what: str, numbers: Sequence[int]) -> str:
    """The first few of many, and how many more: `lines 1, 4, 7 (and 12 more)`."""
    shown = ", ".join(map(str, numbers[:SHOWN]))
    more = f" (and {len(numbers) - SHOWN} more)" if len(numbers) > SHOWN else ""
    return f"{what}{'s' if len(numbers) > 1 else ''} {shown}{more}"
