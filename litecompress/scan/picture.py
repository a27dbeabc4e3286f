"""The picture of a scan, in SVG."""

from __future__ import annotations

from pathlib import Path

from litecompress.scan.curve import HEIGHT, curve
from litecompress.scan.heat import heat_map, heat_width, scale
from litecompress.scan.result import Scan
from litecompress.sizes import svg
from litecompress.sizes.svg import text

FILE = "scan.svg"
MARGIN = 24.0


def write_picture(scan: Scan, folder: Path) -> None:
    """Write `scan.svg`, whole or not at all."""
    path = folder / FILE
    partial = path.with_name(FILE + ".partial")
    partial.write_text(picture(scan), "utf-8")
    partial.replace(path)


def picture(scan: Scan) -> str:
    """Titles, the curve of all tensors, and the heat map of each."""
    width = heat_width(scan.alone) + 2 * MARGIN
    how = "measured" if scan.measured else "estimated by gradient and curvature, not measured"
    read = f"{scan.text.sentences} sentences, {scan.text.tokens} tokens"
    found = [
        text(MARGIN, 34, f"Sensitivity of {scan.model}", 16, bold=True),
        text(MARGIN, 53, f"token NLL {scan.loss:.4f} nats on {read}", 11, svg.GREY),
    ]
    top = 76.0
    found += curve(scan, MARGIN, top, width - 2 * MARGIN)
    top += HEIGHT + 14
    title = f"Increase of the loss with one tensor changed, nats a token ({how})"
    found += [text(MARGIN, top, title, 12, bold=True), *scale(MARGIN, top + 10)]
    cells, bottom = heat_map(scan, MARGIN, top + 40)
    height = bottom + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="Helvetica, Arial, sans-serif">'
    )
    ground = f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>'
    return "\n".join([head, ground, *found, *cells, "</svg>"]) + "\n"
