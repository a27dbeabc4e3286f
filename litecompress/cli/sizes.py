"""`sizes` and `diff`: where the bytes of a model are, and what two models differ in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from litecompress.cli.options import AsJson, Force

if TYPE_CHECKING:
    from rich.console import Console

Path_ = Annotated[
    Path, typer.Argument(help="A .litec artifact, a package or a checkpoint.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(sizes)
    app.command()(diff)


def sizes(
    path: Path_,
    picture: Annotated[
        Path | None, typer.Option(help="Write a treemap here, an .svg.", show_default=False)
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Account for every byte of a model, by step, component and tensor."""
    from litecompress.output import refuse_existing
    from litecompress.sizes.account import account
    from litecompress.sizes.picture import check_place, write_picture
    from litecompress.sizes.table import show_sheet
    from litecompress.sizes.values import sheet_values

    if picture is not None:
        check_place(picture)
        refuse_existing(picture, force=force, inputs=[path])
    found = account(path)
    if picture is not None:
        write_picture(found.sheet, picture)
    _print(sheet_values(found), show_sheet, as_json)


def diff(
    before: Path_,
    after: Path_,
    fail_above: Annotated[
        float | None,
        typer.Option(
            metavar="PERCENT", help="Exit code 1 if the total grew more.", show_default=False
        ),
    ] = None,
    fail_above_bytes: Annotated[
        int | None, typer.Option(metavar="N", help="Likewise.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Name the tensors and files that grew or shrank between two models."""
    from litecompress.sizes.account import account
    from litecompress.sizes.difference import Limits, difference_values
    from litecompress.sizes.table import show_difference

    limits = Limits(fail_above, fail_above_bytes)
    values = difference_values(account(before).sheet, account(after).sheet, limits)
    _print(values, show_difference, as_json)
    if not values["gate"]["passed"]:
        raise typer.Exit(1)


def _print(values: Any, show: Callable[[Any, Console], None], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(values, indent=2, allow_nan=False))
        return
    from litecompress.report.terminal import console

    show(values, console())
