"""`unpack`: what was downloaded becomes what runs, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from litecompress.cli.export import Shortlist, show_values
from litecompress.cli.options import AsJson, Force, Output


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(unpack)


def unpack(
    artifact: Annotated[
        Path, typer.Argument(help=".litec artifact, or a checkpoint folder.", show_default=False)
    ],
    output: Output,
    storage: Annotated[
        str | None,
        typer.Option(help="native, int8, int4, float16 or float32; int8 by default."),
    ] = None,
    activations: Annotated[
        str | None, typer.Option(help="per_tensor or per_block; per_tensor by default.")
    ] = None,
    conv_branch: Annotated[
        str | None, typer.Option("--conv-branch", help="builtin or custom; builtin by default.")
    ] = None,
    shortlist: Shortlist = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Expand an artifact to an ONNX package on the device that runs it."""
    from litecompress.unpack import unpack as expand

    options = {
        "storage": storage,
        "activations": activations,
        "conv_branch": conv_branch,
        "shortlist": None if shortlist is None else str(shortlist),
    }
    given = {k: v for k, v in options.items() if v is not None}
    show_values(expand(artifact, output, given, force=force), as_json)
