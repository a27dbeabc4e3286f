"""The curve of a scan: what all tensors together are predicted to lose for their bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from litecompress.allocate import frontier
from litecompress.scan.options import options
from litecompress.scan.result import Scan
from litecompress.sizes import svg
from litecompress.sizes.svg import text

HEIGHT = 250.0
FLOOR, CEILING = 1e-3, 10.0  # nats shown
LINE, UNIFORM = "#b2182b", "#57606a"
Points = NDArray[np.float64]


def uniform(scan: Scan) -> list[tuple[str, float, float]]:
    """Label, bytes and predicted loss with every tensor quantized alike."""
    found: list[tuple[str, float, float]] = []
    for setting in (s for s in scan.alone if s.num_bits):
        costs = [(t, t.cost(setting)) for t in scan.tensors]
        size = sum(t.kept_bytes if c is None else c.coded_bytes for t, c in costs)
        loss = sum(0.0 if c is None else t.predicted(setting) for t, c in costs)
        found.append((f"{setting.num_bits}", float(size), loss))
    return found


def curve(scan: Scan, left: float, top: float, width: float) -> list[str]:
    """A line for equal slope, dots for equal bits, over logarithmic axes."""
    points = frontier([[option for _, option in of] for of in options(scan)])
    line = [(b, min(v, CEILING)) for b, v in points if v >= FLOOR]
    dots = [(label, b, v) for label, b, v in uniform(scan) if FLOOR <= v <= CEILING]
    sizes = [b for b, _ in line] + [b for _, b, _ in dots] or [1.0]
    x = _axis(math.log(min(sizes)), math.log(max(sizes)), left + 46, left + width - 30)
    y = _axis(math.log(FLOOR), math.log(CEILING), top + HEIGHT - 34, top + 26)
    title = "Predicted loss of all tensors together, nats a token, against their coded bytes"
    found = [text(left, top + 10, title, 12, bold=True)]
    found += _grid(x, y, (min(sizes), max(sizes)), left + 46, left + width - 12, top)
    path = " ".join(f"{x(math.log(b)):.1f},{y(math.log(v)):.1f}" for b, v in line)
    found.append(f'<polyline points="{path}" fill="none" stroke="{LINE}" stroke-width="2"/>')
    for label, size, loss in dots:
        found += _dot(x(math.log(size)), y(math.log(loss)), label)
    return [*found, *_legend(left + width - 250, top + 36)]


def _axis(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """A linear map."""
    span = max(high - low, 1e-9)
    return lambda value: start + (value - low) / span * (end - start)


def _grid(
    x: Callable[[float], float],
    y: Callable[[float], float],
    sizes: tuple[float, float],
    left: float,
    right: float,
    top: float,
) -> list[str]:
    """Lines and labels of both axes."""
    found = []
    for power in range(-3, 2):
        level = y(math.log(10.0**power))
        found.append(_line(left, level, right, level))
        found.append(text(left - 6, level + 3, f"{10.0**power:g}", 9, svg.GREY, anchor="end"))
    for size in _round_sizes(*sizes):
        place = x(math.log(size))
        found.append(_line(place, top + 26, place, top + HEIGHT - 34))
        label = f"{size / 1e3:g} kB" if size < 1e6 else f"{size / 1e6:g} MB"
        found.append(text(place, top + HEIGHT - 20, label, 9, svg.GREY, anchor="middle"))
    return found


def _round_sizes(low: float, high: float) -> Sequence[int]:
    """1, 2 and 5 times powers of ten within a range."""
    powers = range(int(math.log10(max(low, 1))), int(math.log10(max(high, 1))) + 1)
    return [m * 10**p for p in powers for m in (1, 2, 5) if low <= m * 10**p <= high]


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#d8dee4"/>'


def _dot(x: float, y: float, label: str) -> list[str]:
    circle = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{UNIFORM}"/>'
    return [circle, text(x + 8, y + 4, label, 10, UNIFORM)]


def _legend(left: float, top: float) -> list[str]:
    """What line and dots are."""
    line = f'<line x1="{left}" y1="{top - 4}" x2="{left + 22}" y2="{top - 4}" stroke="{LINE}" '
    return [
        f'<rect x="{left - 8}" y="{top - 18}" width="250" height="42" fill="#ffffff"/>',
        f'{line}stroke-width="2"/>',
        text(left + 30, top, "chosen a tensor, by equal slope", 10),
        *_dot(left + 11, top + 14, ""),
        text(left + 30, top + 18, "every tensor quantized to so many bits", 10),
    ]
