"""Cut a text that is too long where it hurts least."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’»)\]]*\s+|(?<=[。！？])")
CLAUSE = re.compile(r"(?<=[,;:])\s+|(?<=[，；：、])|\s+(?=[–—-]\s)")
BLANK = re.compile(r"\s+")


def split(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Pieces that all fit: sentences, and of longer ones halves.

    A sentence is halved at the clause, or else the blank, that is nearest to its middle, and
    where there is none at a character. A single character is a piece even if it does not fit.
    """
    if fits(text):
        return [text]
    sentences = (text[start:end] for start, end in pairwise(_places(SENTENCE, text)))
    return [piece for sentence in sentences for piece in _halves(sentence.strip(), fits)]


def _halves(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Pieces of one sentence."""
    if len(text) < 2 or fits(text):
        return [text] if text else []
    middle = _middle(text)
    first, second = text[:middle].strip(), text[middle:].strip()
    return _halves(first, fits) + _halves(second, fits)


def _middle(text: str) -> int:
    """Where to cut a text, not far from its middle."""
    middle, reach = len(text) // 2, len(text) // 4
    for pattern in (CLAUSE, BLANK):
        near = [at for at in _places(pattern, text) if abs(at - middle) <= reach]
        if near:
            return min(near, key=lambda at: abs(at - middle))
    return middle


def _places(pattern: re.Pattern[str], text: str) -> list[int]:
    """Where parts begin: the beginning, after every boundary, and the end."""
    return [0, *(match.end() for match in pattern.finditer(text)), len(text)]
