"""The elements of a picture in SVG: text and rectangles."""

from __future__ import annotations

from xml.sax.saxutils import escape

from litecompress.sizes.sheet import printable
from litecompress.sizes.treemap import Rect

INK, GREY = "#1b1f24", "#57606a"
GLYPH = 0.6  # width of a letter in its font size, on the safe side


def text(
    x: float,
    y: float,
    content: str,
    size: int,
    fill: str = INK,
    *,
    anchor: str = "start",
    bold: bool = False,
) -> str:
    """A line of text on its baseline."""
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" '
        f'text-anchor="{anchor}"{weight}>{escape(printable(content))}</text>'
    )


def turned(x: float, y: float, elements: list[str]) -> list[str]:
    """Elements turned to read upwards around a point."""
    return [f'<g transform="rotate(-90 {x:.1f} {y:.1f})">', *elements, "</g>"]


def rectangle(rect: Rect, fill: str, title: str = "") -> str:
    """A filled rectangle; who points at it sees the title."""
    shape = (
        f'<rect x="{rect.x:.2f}" y="{rect.y:.2f}" width="{rect.width:.2f}" '
        f'height="{rect.height:.2f}" fill="{fill}"'
    )
    return f"{shape}><title>{escape(printable(title))}</title></rect>" if title else f"{shape}/>"


def tint(colour: str, white: float) -> str:
    """A colour mixed with a share of white."""
    channels = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(c + (255 - c) * white):02x}" for c in channels)


def fits(content: str, width: float, size: int) -> bool:
    """Whether a line is no wider than that."""
    return len(content) * GLYPH * size <= width


def shortened(content: str, width: float, size: int) -> str:
    """The end of a line that is too long."""
    room = int(width / (GLYPH * size))
    return content if len(content) <= room else "..." + content[3 - room :]


def short_bytes(size: int) -> str:
    """Bytes as a person reads them; decimal units."""
    if size < 1000:
        return f"{size} B"
    return f"{size / 1e3:.1f} kB" if size < 1e6 else f"{size / 1e6:.2f} MB"
