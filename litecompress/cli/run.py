"""`run`: the main job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from litecompress.cli.options import AsJson, Force, Output, Quiet, hush, say


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(run)


def run(
    recipe: Annotated[Path, typer.Argument(help="What to do; see recipes/demo.yaml.")],
    output: Output,
    force: Force = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved recipe, do nothing.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Prune, quantize, export and check a model; exit code 1 when the gate fails."""
    from litecompress.output import replacing
    from litecompress.recipe import dump_recipe, load_recipe, recipe_values

    job = load_recipe(recipe)
    if dry_run:
        plain = json.dumps(recipe_values(job), indent=2) + "\n" if as_json else dump_recipe(job)
        typer.echo(plain, nl=False)
        return
    inputs = [recipe, Path(job.model), Path(job.checks.samples)]
    from litecompress import pipeline
    from litecompress.report.terminal import console, show

    with replacing(output, force=force, inputs=inputs) as partial:
        report = pipeline.run(job, partial, hush if quiet or as_json else say)
    if as_json:
        typer.echo(report.to_json(), nl=False)
    else:
        show(report, console())
        typer.echo(f"Report: {output / 'report.json'}")
    if not report.gate["passed"]:
        raise typer.Exit(1)
