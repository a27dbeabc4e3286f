"""`explain`: why a package is fast or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from litecompress.cli.options import AsJson


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(explain)


def explain(
    package: Annotated[Path, typer.Argument(help="Folder that `export` or `run` wrote.")],
    tokens: Annotated[int, typer.Option(help="ONNX: of a sentence, in and out.", min=2)] = 30,
    repeats: Annotated[int, typer.Option(help="ONNX: sentences.", min=1)] = 5,
    as_json: AsJson = False,
) -> None:
    """Say what each operator really runs as, what it costs and what would help."""
    from litecompress.explain.run import explain as explained
    from litecompress.explain.table import show
    from litecompress.report.terminal import console

    found = explained(package, tokens, repeats)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2, allow_nan=False))
    else:
        show(found.to_dict(every=False), console())
