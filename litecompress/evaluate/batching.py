"""Batches of like length, and who is told of their progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

Track = Callable[[Sequence[Sequence[int]], str], Iterable[Sequence[int]]]


def untracked(batches: Sequence[Sequence[int]], label: str) -> Iterable[Sequence[int]]:
    """No progress shown."""
    del label
    return batches


def by_length(lengths: Sequence[int], max_tokens: int, max_rows: int) -> list[list[int]]:
    """Indices from the shortest to the longest, in batches of at most so many padded tokens.

    What is longer than `max_tokens` is alone in its batch.
    """
    batches: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        rows = len(batches[-1]) + 1 if batches else 0
        if 0 < rows <= max_rows and rows * lengths[i] <= max_tokens:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches
