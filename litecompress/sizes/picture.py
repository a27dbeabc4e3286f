"""The size sheet as a picture: a treemap by component and tensor, in SVG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from litecompress.errors import InputError
from litecompress.output import make_parent
from litecompress.sizes import svg
from litecompress.sizes.labels import label
from litecompress.sizes.sheet import Part, Sheet, stored_bytes
from litecompress.sizes.treemap import Rect, squarify

WIDTH, HEIGHT = 1320, 800
MAP = Rect(24, 84, 1000, 692)
LEGEND_X, LEGEND_Y, LINE = 1046, 100, 30
STRIP = 20  # height of a component's heading
COLOURS = {  # dark enough for a white heading
    "embedding": "#3b6ea5",
    "attention": "#c4660c",
    "convolution": "#3f8a3a",
    "cross_attention": "#c23b40",
    "ffn": "#8a4f95",
    "norms": "#7d5a45",
    "output": "#8c7400",
    "linear": "#c23b40",
    "constants": "#56788a",
    "tokenizer": "#2f8580",
    "graph": "#b5457f",
    "container": "#666c75",
}
K = TypeVar("K")
Tensors = Mapping[tuple[str, str], list[Part]]
"""Parts by tensor and file."""


def check_place(path: Path) -> None:
    """An InputError where a picture is not to be named so."""
    if path.suffix.lower() != ".svg":
        raise InputError(f"expected a picture named .svg, got {path}; name it so")


def write_picture(sheet: Sheet, path: Path) -> None:
    """Write the picture beside `path` and rename it into place."""
    make_parent(path)
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(picture(sheet), "utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def picture(sheet: Sheet) -> str:
    """The SVG text. Areas are in proportion to bytes: components', and tensors' within one."""
    groups = _grouped(sheet)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="Helvetica, Arial, sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        *_heading(sheet),
        *_map(groups),
        *_legend(groups, sheet.total_bytes),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _grouped(sheet: Sheet) -> Mapping[str, Tensors]:
    """Parts by component and tensor, both most bytes first; what has no bytes is not there."""
    found: dict[str, Tensors] = {}
    for group, parts in _largest_first(sheet.groups()).items():
        tensors: dict[tuple[str, str], list[Part]] = {}
        for part in parts:
            tensors.setdefault((part.name, part.file), []).append(part)
        found[group] = _largest_first(tensors)
    return found


def _largest_first(parts: Mapping[K, list[Part]]) -> dict[K, list[Part]]:
    filled = {key: some for key, some in parts.items() if stored_bytes(some)}
    return dict(sorted(filled.items(), key=lambda item: -stored_bytes(item[1])))


def _heading(sheet: Sheet) -> Iterator[str]:
    kind = f"{sheet.target} package" if sheet.target else sheet.kind
    yield svg.text(24, 40, svg.shortened(sheet.path, 1230, 24), 24, bold=True)
    megabytes = f"{sheet.total_bytes / 1e6:.3f} MB"
    total = f"{kind}: {sheet.scope} {sheet.total_bytes:,} bytes ({megabytes}, MB = 10^6 bytes)"
    yield svg.text(24, 66, total, 15, svg.GREY)


def _map(groups: Mapping[str, Tensors]) -> Iterator[str]:
    sizes = [sum(map(stored_bytes, tensors.values())) for tensors in groups.values()]
    blocks = zip(groups.items(), sizes, squarify(sizes, MAP), strict=True)
    for (group, tensors), size, block in blocks:
        yield from _block(group, tensors, size, block.inset(1.5))


def _block(group: str, tensors: Tensors, size: int, block: Rect) -> Iterator[str]:
    """A component: its heading where there is room, and its tensors."""
    colour, name = COLOURS[group], _spoken(group)
    yield svg.rectangle(block, colour, f"{name}: {size:,} bytes")
    wordings = (f"{name}  {svg.short_bytes(size)}", name)
    fitting = [
        w for w in wordings if svg.fits(w, block.width - 10, 13) and block.height > 3 * STRIP
    ]
    for heading in fitting[:1]:
        yield svg.text(block.x + 6, block.y + 15, heading, 13, "#ffffff", bold=True)
    inner = block.inset(1.5, STRIP if fitting else 0.0)
    rects = squarify([stored_bytes(parts) for parts in tensors.values()], inner)
    for i, ((of, parts), rect) in enumerate(zip(tensors.items(), rects, strict=True)):
        yield svg.rectangle(
            rect.inset(0.4), svg.tint(colour, 0.66 + 0.12 * (i % 2)), _described(*of, parts)
        )
        yield from label(of[0], stored_bytes(parts), rect)


def _described(name: str, file: str, parts: Sequence[Part]) -> str:
    """What a reader sees who points at a tensor."""
    roles = ", ".join(f"{part.role} {part.stored_bytes:,}" for part in parts[:8])
    return f"{name} in {file}: {stored_bytes(parts):,} bytes ({roles})"


def _legend(groups: Mapping[str, Tensors], total: int) -> Iterator[str]:
    for i, (group, tensors) in enumerate(groups.items()):
        size = sum(map(stored_bytes, tensors.values()))
        y = LEGEND_Y + i * LINE
        yield svg.rectangle(Rect(LEGEND_X, y - 12, 15, 15), COLOURS[group])
        yield svg.text(LEGEND_X + 23, y, _spoken(group), 14)
        share = f"{svg.short_bytes(size)}, {100 * size / total:.1f} %"
        yield svg.text(WIDTH - 24, y, share, 13, svg.GREY, anchor="end")


def _spoken(group: str) -> str:
    return group.replace("_", "-")
