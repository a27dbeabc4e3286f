"""The heat map of a scan: a row a tensor, a column a setting, the loss as colour and number."""

from __future__ import annotations

import math
from collections.abc import Sequence

from litecompress.scan.result import Scan, Tensor
from litecompress.scan.settings import Setting
from litecompress.sizes import svg
from litecompress.sizes.svg import rectangle, text
from litecompress.sizes.treemap import Rect

NAMES, CELL, ROW, GAP = (
    250.0,
    46.0,
    15.0,
    18.0,
)  # widths of names and cells, heights, between groups
BYTES = 150.0
GAIN, LOSS, NOTHING = "#2166ac", "#b2182b", "#eef0f2"
DIM, FULL = 3e-4, 0.3  # nats at which colour begins, and where it is full


def heat_width(settings: Sequence[Setting]) -> float:
    """Width of the map with its names and bytes."""
    return NAMES + CELL * len(settings) + GAP + BYTES


def heat_map(scan: Scan, left: float, top: float) -> tuple[list[str], float]:
    """Elements, and where they end below."""
    settings = scan.alone
    found = _heads(settings, left, top)
    y = top + 34
    largest = max(t.kept_bytes for t in scan.tensors)
    group = ""
    for tensor in scan.ordered:
        if group and group != stack(tensor.name):
            y += 6
        group = stack(tensor.name)
        found += _row(tensor, settings, left, y)
        found += _bytes(tensor, largest, left + heat_width(settings) - BYTES, y)
        y += ROW
    return found, y


def scale(left: float, top: float) -> list[str]:
    """The colours, with the losses that they stand for."""
    found = []
    for i, loss in enumerate((-0.1, -0.01, -0.001, 0.0, 0.001, 0.01, 0.1, 0.3)):
        x = left + i * CELL
        found.append(rectangle(Rect(x, top, CELL - 1, ROW - 1), colour(loss)))
        found.append(text(x + CELL / 2, top + 10.5, f"{loss:g}", 9, _ink(loss), anchor="middle"))
    return found


def colour(loss: float) -> str:
    """By the logarithm of a loss: red where it rises, blue where it falls."""
    if abs(loss) <= DIM:
        return NOTHING
    strength = min(1.0, math.log(abs(loss) / DIM) / math.log(FULL / DIM))
    return svg.tint(LOSS if loss > 0 else GAIN, 0.88 * (1 - strength))


def stack(name: str) -> str:
    """The layer that a weight belongs to."""
    return ".".join(name.split(".")[:2])


def number(loss: float) -> str:
    """A loss in few letters: `.065`, `-.002`, `1.94`, `12.1`."""
    if abs(loss) < 0.0005:
        return "0"
    digits = 3 if abs(loss) < 1 else 2 if abs(loss) < 10 else 1
    return f"{loss:.{digits}f}".replace("0.", ".", 1) if abs(loss) < 1 else f"{loss:.{digits}f}"


def _heads(settings: Sequence[Setting], left: float, top: float) -> list[str]:
    """What the columns are."""
    found = []
    zeros = sum(1 for s in settings if s.sparsity)
    for first, last, title in ((0, zeros, "pruned"), (zeros, len(settings), "quantized")):
        if last > first:
            middle = left + NAMES + CELL * (first + last) / 2
            found.append(text(middle, top + 12, title, 11, bold=True, anchor="middle"))
    for i, setting in enumerate(settings):
        label = f"{setting.sparsity:.3g}" if setting.sparsity else _bits(setting.num_bits)
        x = left + NAMES + CELL * (i + 0.5)
        found.append(text(x, top + 27, label, 10, svg.GREY, anchor="middle"))
    right = left + heat_width(settings) - BYTES
    return [*found, text(right, top + 12, "bytes as it is", 11, bold=True)]


def _bits(num_bits: int) -> str:
    return f"{num_bits} bit{'s' if num_bits > 1 else ''}"


def _row(tensor: Tensor, settings: Sequence[Setting], left: float, y: float) -> list[str]:
    """A tensor's name and cells."""
    found = [text(left + NAMES - 8, y + 11, tensor.name.removesuffix(".weight"), 10, anchor="end")]
    for i, setting in enumerate(settings):
        cost = tensor.cost(setting)
        if cost is None:
            continue
        loss, x = cost.estimate, left + NAMES + CELL * i
        title = f"{tensor.name}, {setting}: {loss:+.5f} nats, {cost.coded_bytes} bytes"
        found.append(rectangle(Rect(x, y, CELL - 1, ROW - 1), colour(loss), title))
        label = text(x + CELL / 2, y + 10.5, number(loss), 9, _ink(loss), anchor="middle")
        found.append(label.replace("<text", '<text pointer-events="none"', 1))
    return found


def _bytes(tensor: Tensor, largest: int, left: float, y: float) -> list[str]:
    """A bar as long as the tensor is large."""
    width = max(0.5, (BYTES - 60) * tensor.kept_bytes / largest)
    bar = rectangle(Rect(left, y + 2, width, ROW - 5), "#8c959f", f"{tensor.kept_bytes} bytes")
    return [bar, text(left + width + 5, y + 11, svg.short_bytes(tensor.kept_bytes), 9, svg.GREY)]


def _ink(loss: float) -> str:
    return "#ffffff" if abs(loss) > 0.02 else svg.INK
