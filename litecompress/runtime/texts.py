"""Encode texts, and name every one that cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from litecompress.errors import InputError, LiteCompressError

SHOWN = 3  # texts named in an error, beside their count
_T = TypeVar("_T")


def encode_each(
    texts: Iterable[str], encode: Callable[[str], _T], what: str, first: int
) -> list[_T]:
    """Each text encoded; all that are refused make one InputError, numbered from `first`."""
    encoded: list[_T] = []
    problems: list[str] = []
    for number, text in enumerate(texts, first):
        try:
            encoded.append(encode(text))
        except LiteCompressError as error:
            problems.append(f"{what} {number}: {error}")
    if problems:
        more = f" (and {len(problems) - SHOWN} more)" if len(problems) > SHOWN else ""
        raise InputError("; ".join(problems[:SHOWN]) + more)
    return encoded
