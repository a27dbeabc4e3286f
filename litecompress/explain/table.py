"""An explanation on a terminal: sums, then what follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import rich.table
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape

SHOWN = 12


def show(values: Mapping[str, Any], out: Console) -> None:
    """Kinds of operators, components, layers; advice and notes."""
    out.print(escape(f"{values['package']} ({values['target']}, {values['level']})"))
    for key in ("kind", "component", "layer"):
        rows = values[f"by_{key}"]
        if len(rows) > 1:
            out.print(_table(key, rows))
    for sentence in values["advice"] or ["nothing stands out"]:
        out.print(escape(f"* {sentence}"))
    for note in values["notes"]:
        out.print(escape(f"note: {note}"), style="dim")


def _table(key: str, rows: Sequence[Mapping[str, Any]]) -> rich.table.Table:
    timed = rows[0]["share"] is not None
    table = rich.table.Table(box=SIMPLE, pad_edge=False)
    table.add_column(key, overflow="fold")
    table.add_column("operators", justify="right")
    if timed:
        table.add_column("ms", justify="right")
        table.add_column("share", justify="right")
    for row in rows[:SHOWN]:
        times = [f"{row['time_us'] / 1000:.2f}", f"{row['share']:.1%}"] if timed else []
        table.add_row(escape(row[key]), str(row["operators"]), *times)
    if len(rows) > SHOWN:
        table.add_row(f"{len(rows) - SHOWN} more", str(sum(r["operators"] for r in rows[SHOWN:])))
    return table
