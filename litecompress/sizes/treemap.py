"""The squarified treemap: rectangles in proportion to sizes, as near to squares as a greedy pass
gets them (Bruls, Huizing and van Wijk 2000, "Squarified Treemaps").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_TINY = 1e-9  # a side that rounding has left of nothing


@dataclass(frozen=True)
class Rect:
    """A rectangle by its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        return self.width * self.height

    def inset(self, margin: float, top: float = 0.0) -> Rect:
        """What is left within a margin and below a strip."""
        width, height = self.width - 2 * margin, self.height - 2 * margin - top
        return Rect(self.x + margin, self.y + margin + top, max(0.0, width), max(0.0, height))


def squarify(sizes: Sequence[float], area: Rect) -> list[Rect]:
    """A rectangle for each size; sizes are above 0, the largest first."""
    if any(size <= 0 for size in sizes) or list(sizes) != sorted(sizes, reverse=True):
        raise ValueError(f"expected sizes above 0, largest first, got {list(sizes)}")
    scale = area.area / sum(sizes) if sizes else 0.0
    areas = [size * scale for size in sizes]
    done: list[Rect] = []
    while len(done) < len(areas):
        begin, side = len(done), max(_TINY, min(area.width, area.height))
        end = _row_end(areas, begin, side)
        row = areas[begin:end]
        thickness = sum(row) / side
        done += _lay(row, thickness, area)
        area = _beside(thickness, area)
    return done


def _row_end(areas: Sequence[float], begin: int, side: float) -> int:
    """Where the row along `side` is best ended: before its worst rectangle gets worse."""
    total, worst = areas[begin], _worst(areas[begin], areas[begin], areas[begin], side)
    for end in range(begin + 1, len(areas)):
        total += areas[end]
        longer = _worst(areas[begin], areas[end], total, side)
        if longer > worst:
            return end
        worst = longer
    return len(areas)


def _worst(largest: float, smallest: float, total: float, side: float) -> float:
    """The highest ratio of sides in a row with these areas."""
    square = (total / side) ** 2
    return max(largest / square, square / smallest) if square and smallest else 1.0


def _lay(row: Sequence[float], thickness: float, area: Rect) -> list[Rect]:
    """The rectangles of a row along the shorter side of what is left."""
    rects = []
    upright = area.width >= area.height
    x, y = area.x, area.y
    for size in row:
        length = size / thickness if thickness else 0.0
        rects.append(Rect(x, y, thickness, length) if upright else Rect(x, y, length, thickness))
        x, y = (x, y + length) if upright else (x + length, y)
    return rects


def _beside(thickness: float, area: Rect) -> Rect:
    """What a row leaves free."""
    if area.width >= area.height:
        return Rect(area.x + thickness, area.y, max(0.0, area.width - thickness), area.height)
    return Rect(area.x, area.y + thickness, area.width, max(0.0, area.height - thickness))
