"""The command line: commands read options, call one function and print what it gives."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from litecompress import __version__
from litecompress.cli import (
    compress,
    evaluate,
    explain,
    export,
    generate,
    import_,
    inspect,
    run,
    scan,
    search,
    shortlist,
    sizes,
    train,
    translate,
    unpack,
    verify,
)

app = typer.Typer(
    name="litecompress",
    help=(
        "Compress a trained Lite Transformer and export it to ONNX, Core ML and TFLite, "
        "with every byte counted."
    ),
    epilog=(
        "Exit codes: 0 done, 1 a gate or parity failed, 2 wrong use or bad input, "
        "3 an extra is not installed."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
COMMANDS = (
    run,
    compress,
    scan,
    search,
    export,
    unpack,
    verify,
    explain,
    inspect,
    sizes,
    translate,
    generate,
    evaluate,
    train,
    shortlist,
)
for module in (*COMMANDS, import_):
    module.register(app)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"litecompress {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    del version, debug


def main() -> None:
    """Run the command line; errors raised on purpose become one line and their exit code."""
    from litecompress.backends import named_extras
    from litecompress.errors import LiteCompressError

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that half-written outputs go
    try:
        with named_extras():
            app()
    except (LiteCompressError, OSError) as error:
        if "--debug" in sys.argv:
            raise
        typer.echo("error: " + " ".join(str(error).split()), err=True)
        sys.exit(getattr(error, "exit_code", 2))
