"""What a person sees while a model trains."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Window(Protocol):
    """Sums since the last validation."""

    loss: float
    tokens: int

    @property
    def tokens_per_s(self) -> float: ...


class Display:
    """A line that moves on a terminal, and a line for every validation; on stderr, or nothing."""

    def __init__(self, updates: int, quiet: bool) -> None:
        self.quiet = quiet
        console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("update"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[now]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=quiet or not sys.stderr.isatty(),
        )
        self.task = self.bar.add_task("", total=updates, now="")

    def __enter__(self) -> Display:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def advance(self, update: int, window: Window) -> None:
        """Show where training is."""
        now = f"loss {window.loss / window.tokens:.3f}  {window.tokens_per_s:,.0f} tokens/s"
        self.bar.update(self.task, completed=update, now=now)

    def note(self, text: str) -> None:
        """One line of text."""
        if not self.quiet:
            self.bar.console.print(text, highlight=False, soft_wrap=True)

    def report(self, row: dict[str, Any]) -> None:
        """One validation, as the log has it."""
        self.note("  ".join(f"{name} {_short(value)}" for name, value in row.items()))


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
