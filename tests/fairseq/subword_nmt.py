"""subword-nmt's algorithm (arXiv:1508.07909), written from its description to compare with."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise

Pair = tuple[str, str]


def symbols(word: str, version: tuple[int, int]) -> list[str]:
    if version == (0, 1):
        return [*word, "</w>"]
    return [*word[:-1], word[-1] + "</w>"]


def merged(parts: list[str], pair: Pair) -> list[str]:
    """All occurrences of a pair joined, from left to right."""
    out: list[str] = []
    i = 0
    while i < len(parts):
        here = tuple(parts[i : i + 2]) == pair
        out.append(parts[i] + parts[i + 1] if here else parts[i])
        i += 2 if here else 1
    return out


def learn(lines: Iterable[str], count: int, version: tuple[int, int] = (0, 2)) -> list[Pair]:
    """The most frequent pair again and again."""
    words = Counter(word for line in lines for word in line.split())
    parts = [symbols(word, version) for word in words]
    counts = list(words.values())
    total: Counter[Pair] = Counter()
    where: dict[Pair, set[int]] = defaultdict(set)
    for i, part in enumerate(parts):
        for pair in pairwise(part):
            total[pair] += counts[i]
            where[pair].add(i)
    learnt: list[Pair] = []
    while len(learnt) < count:
        best = max(total, key=lambda pair: (total[pair], pair))
        if total[best] < 2:
            break
        learnt.append(best)
        for i in where.pop(best):
            for pair in pairwise(parts[i]):
                total[pair] -= counts[i]
            parts[i] = merged(parts[i], best)
            for pair in pairwise(parts[i]):
                total[pair] += counts[i]
                where[pair].add(i)
        del total[best]
    return learnt


def segment(word: str, ranks: dict[Pair, int], version: tuple[int, int] = (0, 2)) -> list[str]:
    """The pieces of a word, without marks."""
    if len(word) == 1:
        return [word]
    parts = symbols(word, version)
    while len(parts) > 1:
        known = [pair for pair in pairwise(parts) if pair in ranks]
        if not known:
            break
        parts = merged(parts, min(known, key=ranks.__getitem__))
    if parts[-1] == "</w>":
        return parts[:-1]
    return [*parts[:-1], parts[-1].removesuffix("</w>")]


def apply(text: str, ranks: dict[Pair, int], version: tuple[int, int] = (0, 2)) -> list[str]:
    """Pieces of a text, `@@` behind all but the last of a word."""
    pieces: list[str] = []
    for word in text.split():
        parts = segment(word, ranks, version)
        pieces += [f"{part}@@" for part in parts[:-1]] + parts[-1:]
    return pieces
