"""Options that several commands share, and where progress goes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[Path, typer.Option("--model", "-m", help="Checkpoint folder or .litec artifact.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Where to write the result.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace an existing output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else.")]
Targets = Annotated[
    list[str] | None, typer.Option("--target", "-t", help="Glob of weight names; repeatable.")
]
Exclude = Annotated[
    list[str] | None, typer.Option("--exclude", help="Glob of weight names to leave; repeatable.")
]


def say(message: str) -> None:
    """One line of progress on stderr."""
    typer.echo(f"- {message}", err=True)


def hush(message: str) -> None:
    """No progress."""
    del message


def is_terminal() -> bool:
    """Whether stderr shows a moving progress bar properly."""
    return sys.stderr.isatty()
