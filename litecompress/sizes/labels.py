"""Labels of a treemap's rectangles: as much of a name as there is room for."""

from __future__ import annotations

import re

from litecompress.sizes import svg
from litecompress.sizes.treemap import Rect

FONT_SIZES = (12, 11, 10, 9, 8)
_LAYER = re.compile(r"((?:encoder|decoder)\.\d+)\.[^.]+\.(.+)")


def label(name: str, size: int, rect: Rect) -> list[str]:
    """A tensor's name, with its bytes if there is room; upright where that is the long side."""
    upright = rect.height > 1.5 * rect.width
    along, across = (rect.height, rect.width) if upright else (rect.width, rect.height)
    lines, font = _lines(name, size, along - 6, across - 4)
    x, y = rect.x + rect.width / 2, rect.y + rect.height / 2
    first = y - (len(lines) - 1) * 0.6 * font + 0.35 * font
    found = [
        svg.text(x, first + i * 1.2 * font, line, font, anchor="middle")
        for i, line in enumerate(lines)
    ]
    return svg.turned(x, y, found) if upright and found else found


def _lines(name: str, size: int, along: float, across: float) -> tuple[list[str], int]:
    """The fullest wording that fits, in the largest font; nothing where none does."""
    number, within = svg.short_bytes(size), _within_component(name)
    wordings = [[name, number], [*within, number], [name], within, _abbreviated(within)]
    for wording in wordings:
        for font in FONT_SIZES:
            fit = all(svg.fits(line, along, font) for line in wording)
            if fit and 1.2 * font * len(wording) <= across:
                return wording, font
    return [], 0


def _within_component(name: str) -> list[str]:
    """A name under a component's heading: the layer, and what it is there."""
    layer = _LAYER.fullmatch(name)
    return [layer[1], layer[2].removesuffix(".weight")] if layer else name.split(" ", 1)


def _abbreviated(lines: list[str]) -> list[str]:
    return [re.sub(r"^(enc|dec)oder\.", r"\1 ", line) for line in lines]
