"""Stretches of a file that belong to tensors, and the rest of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from litecompress.errors import InputError
from litecompress.sizes.sheet import Part, group_of


@dataclass(frozen=True)
class Span:
    """Bytes from `start` on with the name of a tensor and a role in it.

    The group is the component of that name where none is given.
    """

    start: int
    size: int
    name: str
    role: str
    group: str = ""

    @property
    def end(self) -> int:
        return self.start + self.size


def divide(file: str, size: int, spans: Iterable[Span], rest: tuple[str, str, str]) -> list[Part]:
    """Parts that add up to a file; what no span covers is one part (name, group, role) more.

    Spans of the same place count once, for the first of them; others that overlap or end beyond
    the file are an InputError.
    """
    places: dict[tuple[int, int], Span] = {}
    for span in spans:
        places.setdefault((span.start, span.size), span)
    ordered = sorted((s for s in places.values() if s.size), key=lambda s: s.start)
    bounds = [0, *(s.end for s in ordered)]
    wrong = [s for s, begin in zip(ordered, bounds, strict=False) if s.size < 0 or s.start < begin]
    wrong += [s for s in ordered if s.end > size]
    if wrong:
        raise InputError(
            f"{file}: expected tensors apart and within {size} bytes, got {wrong[0].name} at "
            f"{wrong[0].start} to {wrong[0].end}: damaged; export again"
        )
    parts = [
        Part(s.name, s.group or group_of(s.name), s.role, s.size, s.size, file) for s in ordered
    ]
    left = size - sum(s.size for s in ordered)
    return [*parts, Part(*rest, left, left, file)] if left else parts
