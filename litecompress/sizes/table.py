"""The size sheet and the comparison of two on a terminal, in 80 columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rich.table
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape

from litecompress.sizes.sheet import printable

LARGEST = 10  # tensors that are shown
CHANGES = 20  # at either end of a comparison
Row = Mapping[str, Any]


def show_sheet(values: Row, out: Console) -> None:
    """Totals, the waterfall of an artifact, then components, roles, files and largest tensors."""
    out.print(_title(values), style="bold")
    for scope, size in values["scopes"].items():
        out.print(f"  {scope:<18}{size:>14,} bytes  {_mb(size):>10} MB", highlight=False)
    if "waterfall" in values:
        out.print(_waterfall(values["waterfall"]))
    out.print(_components(values))
    out.print(_roles(values))
    if len(values["files"]) > 1:
        out.print(_files(values))
    out.print(_largest(values))
    if left := values["left_out"]:
        files = f"{len(left)} other files, {sum(left.values()):,} bytes"
        out.print(f"Not counted: {files}: {escape(printable(', '.join(left)))}", style="dim")


def show_difference(values: Row, out: Console) -> None:
    """What changed, what grew most first, then totals and verdicts."""
    changes = values["changes"]
    shown = changes if len(changes) <= 2 * CHANGES else [*changes[:CHANGES], *changes[-CHANGES:]]
    table = _table("Bytes, grown most first", ["", "before", "after", "growth", "%"])
    names = Counter(change["name"] for change in changes)
    for change in shown:
        where = _where(change, alone=names[change["name"]] == 1)
        table.add_row(where, *_growth(change["before"], change["after"]))
    table.add_section()
    before, after = values["before"], values["after"]
    table.add_row("total", *_growth(before["total_bytes"], after["total_bytes"]), style="bold")
    out.print(table)
    left = len(changes) - len(shown)
    more = f"{left} more in between (--json lists them); " if left else ""
    out.print(f"{more}{values['unchanged']} unchanged.")
    for name, side in (("before", before), ("after", after)):
        out.print(f"{name}: {side['scope']} of {escape(printable(side['path']))}", style="dim")
    for check in values["gate"]["checks"]:
        verdict = "[green]passed[/]" if check["passed"] else "[red]FAILED[/]"
        out.print(f"{check['name']}: {check['actual']:,.6g}, limit {check['limit']:,g}: {verdict}")


def _title(values: Row) -> str:
    kind = f"{values['target']} package" if "target" in values else values["kind"]
    return f"{escape(printable(values['path']))}: {escape(printable(kind))}"


def _waterfall(waterfall: Row) -> rich.table.Table:
    scopes = waterfall["scopes"]
    heads = [head for scope in scopes for head in (scope.replace("_", "_\n", 1) + " MB", "x")]
    table = _table("By step (x: float32 over what is left)", ["step", *heads])
    for i, step in enumerate(waterfall["steps"]):
        cells = [cell for sizes in scopes.values() for cell in (_mb(sizes[i]), _times(sizes, i))]
        table.add_row(escape(step), *cells)
    return table


def _components(values: Row) -> rich.table.Table:
    total = values["total_bytes"]
    steps = values.get("waterfall", {}).get("components", {})
    packed = ["float32", "packed", "x"] if steps else []
    table = _table("By component, in bytes", ["component", *packed, "stored", "%"])
    for name, size in values["components"].items():
        sizes = steps.get(name)
        more = [f"{sizes[0]:,}", f"{sizes[-2]:,}", _times(sizes, -1)] if sizes else []
        table.add_row(name.replace("_", "-"), *more, f"{size:,}", _percent(size, total))
    return table


def _roles(values: Row) -> rich.table.Table:
    coded = values["kind"] == "artifact"
    table = _table("By role, in bytes", ["role", *["before coding"] * coded, "stored", "%"])
    for role, size in values["roles"].items():
        raw = [f"{size['raw_bytes']:,}"] * coded
        stored = size["stored_bytes"]
        name = escape(printable(role.replace("_", " ")))
        table.add_row(name, *raw, f"{stored:,}", _percent(stored, values["total_bytes"]))
    return table


def _files(values: Row) -> rich.table.Table:
    codec = values.get("codec")
    title = f"By file (download: {codec})" if codec else "By file"
    table = _table(title, ["file", "bytes", *["download"] * bool(codec)])
    for name, size in values["files"].items():
        table.add_row(escape(printable(name)), *(f"{number:,}" for number in size.values()))
    return table


def _largest(values: Row) -> rich.table.Table:
    sizes: Counter[tuple[str, str]] = Counter()
    for part in values["parts"]:
        sizes[part["name"], part["group"]] += part["stored_bytes"]
    title = f"The largest {LARGEST} of {len(sizes)}; --json lists all"
    table = _table(title, ["tensor", "component", "stored", "%"])
    for (name, group), size in sizes.most_common(LARGEST):
        cells = group.replace("_", "-"), f"{size:,}", _percent(size, values["total_bytes"])
        table.add_row(escape(printable(name)), *cells)
    return table


def _where(change: Row, *, alone: bool) -> str:
    """The tensor, and the file if another has one of that name."""
    name, file = change["name"].removesuffix(".weight"), Path(change["file"].split("/")[0]).stem
    return escape(printable(name if alone else f"{name} ({file})"))


def _growth(before: int, after: int) -> tuple[str, ...]:
    percent = f"{100 * (after - before) / before:+.1f}" if before else "new"
    return f"{before:,}", f"{after:,}", f"{after - before:+,}", percent


def _times(sizes: Sequence[int], i: int) -> str:
    return f"{sizes[0] / sizes[i]:.2f}" if sizes[i] else "-"


def _percent(size: int, total: int) -> str:
    return f"{100 * size / total:.1f}"


def _mb(size: int) -> str:
    return f"{size / 1e6:,.3f}"


def _table(title: str, heads: Sequence[str]) -> rich.table.Table:
    table = rich.table.Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
    )
    for i, head in enumerate(heads):
        first = i == 0
        table.add_column(
            head, justify="left" if first else "right", overflow="fold", no_wrap=not first
        )
    return table
