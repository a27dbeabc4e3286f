"""The report on a terminal."""

from __future__ import annotations

import os
import sys
from typing import TextIO

import rich.table
from rich.console import Console

from litecompress.report.content import Report
from litecompress.report.tables import tables


def console(file: TextIO | None = None) -> Console:
    """A console that leaves colour out for NO_COLOR and CI."""
    plain = bool(os.environ.get("NO_COLOR") or os.environ.get("CI"))
    return Console(file=file or sys.stdout, no_color=plain, highlight=False, soft_wrap=False)


def show(report: Report, out: Console) -> None:
    """Print every table and the verdict."""
    for table in tables(report.to_dict()):
        shown = rich.table.Table(title=table.title, title_justify="left", title_style="bold")
        for i, head in enumerate(table.heads):
            shown.add_column(head, justify="left" if i == 0 else "right", overflow="fold")
        for row in table.rows:
            style = "red" if "FAILED" in row else None
            shown.add_row(*row, style=style)
        out.print(shown)
    verdict = "[green]passed[/]" if report.gate["passed"] else "[red]FAILED[/]"
    out.print(f"Gate {verdict}")
