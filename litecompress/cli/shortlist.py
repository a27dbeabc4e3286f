"""`shortlist`: which target tokens a sentence may need, learnt from parallel text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from litecompress.cli.options import AsJson, Force, Model, Output

if TYPE_CHECKING:
    from litecompress.shortlist import Settings

TEXT, TABLE = "Training text", "What the table holds"
Source = Annotated[Path | None, typer.Option(help="Sources, one a line.", rich_help_panel=TEXT)]
Target = Annotated[
    Path | None, typer.Option(help="Their translations, one a line.", rich_help_panel=TEXT)
]
Pairs = Annotated[
    Path | None, typer.Option(help="Instead: a tab-separated file (.xz).", rich_help_panel=TEXT)
]
SourceColumn = Annotated[
    str, typer.Option(help="By number, or by its name in the first line.", rich_help_panel=TEXT)
]
TargetColumn = Annotated[str, typer.Option(help="Likewise.", rich_help_panel=TEXT)]
Sentences = Annotated[
    int | None, typer.Option(help="At most, evenly spread through the text.", rich_help_panel=TEXT)
]
Targets = Annotated[
    int | None, typer.Option("--targets", help="Of a source token, at most.", rich_help_panel=TABLE)
]
Frequent = Annotated[
    int | None, typer.Option(help="Commonest targets, for every sentence.", rich_help_panel=TABLE)
]
Least = Annotated[
    float | None, typer.Option(help="Least probability of a target.", rich_help_panel=TABLE)
]
Iterations = Annotated[int | None, typer.Option(help="Of IBM model 1.", rich_help_panel=TABLE)]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(shortlist)


def shortlist(
    model: Model,
    output: Output,
    source: Source = None,
    target: Target = None,
    pairs: Pairs = None,
    source_column: SourceColumn = "1",
    target_column: TargetColumn = "2",
    sentences: Sentences = None,
    targets: Targets = None,
    frequent: Frequent = None,
    least: Least = None,
    iterations: Iterations = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Learn which target tokens each source token may need; the same text gives the same file."""
    from litecompress.output import refuse_existing, replacing
    from litecompress.shortlist import save_shortlist
    from litecompress.shortlist_job import learn_for

    settings = _settings(
        targets=targets,
        frequent=frequent,
        least=least,
        iterations=iterations,
        sentences=sentences,
    )
    texts = [path for path in (source, target, pairs) if path is not None]
    inputs = [model, *texts]
    refuse_existing(output, force=force, inputs=inputs)
    learnt = learn_for(model, source, target, pairs, (source_column, target_column), settings)
    with replacing(output, force=force, inputs=inputs) as partial:
        save_shortlist(learnt.shortlist, partial)
    _print({"output": str(output), "bytes": output.stat().st_size, **learnt.summary()}, as_json)


def _settings(**options: Any) -> Settings:
    from litecompress.shortlist import Settings

    return Settings(**{key: value for key, value in options.items() if value is not None})


def _print(values: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(values, indent=2))
        return
    for key, value in values.items():
        typer.echo(f"{key.replace('_', ' ')}: {value}")
