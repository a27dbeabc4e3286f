"""`inspect`: what a model costs, by component, and how that compares with the paper."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from litecompress.cli.options import AsJson

if TYPE_CHECKING:
    from rich.console import Console


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(inspect)


def inspect(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL|PRESET]",
            help="Checkpoint folder, .litec artifact or name of a preset; without it, all presets.",
            show_default=False,
        ),
    ] = None,
    source_length: Annotated[
        int | None,
        typer.Option(help="Of the source; not for a language model.", show_default="30 tokens"),
    ] = None,
    target_length: Annotated[
        int | None, typer.Option(help="Of the target, or of the text.", show_default="30 tokens")
    ] = None,
    list_presets: Annotated[bool, typer.Option("--list", help="List the presets.")] = False,
    paper: Annotated[
        bool, typer.Option("--paper", help="The paper's figures beside ours.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Count parameters, bytes and multiply-accumulates of a model."""
    _check(model, list_presets, paper, [source_length, target_length])
    from litecompress.report import costs

    if paper:
        from litecompress.paper import compare

        _print(compare(), costs.show_comparison, as_json)
    elif model is None:
        from litecompress.inspection import inspect_presets

        _print(inspect_presets(), costs.show_presets, as_json)
    else:
        from litecompress.inspection import inspect_model

        _print(inspect_model(model, source_length, target_length), costs.show_costs, as_json)


def _check(model: str | None, listed: bool, paper: bool, lengths: list[int | None]) -> None:
    """An InputError where the options ask for more than one thing."""
    from litecompress.errors import InputError

    asked = {"a model": model is not None, "--list": listed, "--paper": paper}
    problems = []
    if sum(asked.values()) > 1:
        got = " and ".join(name for name, given in asked.items() if given)
        problems.append(f"expected one of a model, --list and --paper, got {got}")
    if model is None and any(length is not None for length in lengths):
        problems.append("expected a model for the lengths, got none; name it or leave them out")
    if problems:
        raise InputError("; ".join(problems))


def _print(values: Any, show: Callable[[Any, Console], None], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(values, indent=2))
        return
    from litecompress.report.terminal import console

    show(values, console())
