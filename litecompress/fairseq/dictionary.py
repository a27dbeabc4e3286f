"""Dictionaries of fairseq and merges of subword-nmt: the two text files beside a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from litecompress.errors import InputError
from litecompress.text import read_lines
from litecompress.tokenizer import SPECIAL_TOKENS

PADDED_TO = 8  # fairseq pads a dictionary to a multiple of this when it is made
SHOWN = 3
_ENTRY = re.compile(r"(\S+) \d+")
VERSIONS = {(0, 1), (0, 2)}


def read_dictionary(path: Path) -> tuple[str, ...]:
    """The tokens in the order of their ids, special ones first; every bad line is named at once.

    A line is `token count`; the first has id 4.
    """
    tokens = list(SPECIAL_TOKENS)
    known = set(tokens)
    problems = []
    for number, line in enumerate(_lines(path), 1):
        entry = _ENTRY.fullmatch(line.rstrip())
        if entry is None:
            problems.append(f"line {number} is not `token count`: {line[:40]!r}")
        elif entry[1] in known:
            problems.append(f"line {number} has {entry[1][:40]!r} again")
        else:
            known.add(entry[1])
            tokens.append(entry[1])
    _refuse(path, "a dictionary of fairseq", problems)
    return tuple(tokens)


def fitted(tokens: Sequence[str], rows: int, path: Path) -> tuple[str, ...]:
    """The dictionary for a table of so many rows, padded as fairseq pads it if that fits."""
    missing = -len(tokens) % PADDED_TO
    padding = tuple(f"madeupword{i:04d}" for i in range(missing))
    if len(tokens) == rows:
        return tuple(tokens)
    if len(tokens) + missing == rows and not set(padding) & set(tokens):
        return (*tokens, *padding)
    raise InputError(
        f"{path}: expected a dictionary of the {rows} rows of its table, "
        f"{len(SPECIAL_TOKENS)} special ones included, got {len(tokens)}; is it another model's?"
    )


@dataclass(frozen=True)
class Codes:
    """Merges in their order, each a pair of symbols, as `learn_bpe` of a version writes them.

    A word ends in the symbol `</w>` in version (0, 1), in a symbol with that suffix in (0, 2).
    """

    merges: tuple[tuple[str, str], ...]
    version: tuple[int, int]


def read_codes(path: Path) -> Codes:
    """The merges of a subword-nmt file; every bad line is named at once."""
    lines = _lines(path)
    version = (0, 1)
    header = lines[0].startswith("#version:")
    if header:
        numbers = re.fullmatch(r"#version:\s*(\d)\.(\d)(\.0+)*\s*", lines[0])
        version = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
        if version not in VERSIONS:
            raise InputError(f"{path}: expected BPE codes of version 0.1 or 0.2, got {lines[0]!r}")
    merges: dict[tuple[str, str], None] = {}  # of a pair that comes again the first counts
    problems = []
    for number, line in enumerate(lines[header:], 1 + header):
        pair = line.strip("\r\n ").split(" ")
        if len(pair) == 2 and all(pair):
            merges.setdefault((pair[0], pair[1]))
        else:
            problems.append(f"line {number} is not a pair of symbols: {line[:40]!r}")
    _refuse(path, "BPE codes of subword-nmt", problems)
    return Codes(tuple(merges), version)


def _lines(path: Path) -> list[str]:
    lines = read_lines(path)
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _refuse(path: Path, expected: str, problems: Sequence[str]) -> None:
    if problems:
        more = f" (and {len(problems) - SHOWN} more)" if len(problems) > SHOWN else ""
        raise InputError(f"{path}: expected {expected}, got {'; '.join(problems[:SHOWN])}{more}")
