"""`evaluate`: the quality of a model on a test set, and its difference to others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from litecompress.cli.decoding import (
    SEARCH,
    Beam,
    LengthPenalty,
    MaxLength,
    MaxSource,
    MinLength,
    NoRepeat,
)
from litecompress.cli.options import AsJson, Force, Model, Quiet, is_terminal

if TYPE_CHECKING:
    from litecompress.evaluate.batching import Track

TEXT, BASELINES = "Test set", "Baselines"
Task = Annotated[
    str | None,
    typer.Option(help="translation, summarization or language-model; by default the model's."),
]
Source = Annotated[Path | None, typer.Option(help="Sources, one a line.", rich_help_panel=TEXT)]
Reference = Annotated[
    Path | None, typer.Option(help="Their references, one a line.", rich_help_panel=TEXT)
]
Pairs = Annotated[
    Path | None, typer.Option(help="Instead: a tab-separated file (.xz).", rich_help_panel=TEXT)
]
SourceColumn = Annotated[
    str, typer.Option(help="By number, or by its name in the first line.", rich_help_panel=TEXT)
]
TargetColumn = Annotated[str, typer.Option(help="Likewise.", rich_help_panel=TEXT)]
Text = Annotated[
    Path | None, typer.Option(help="Running text for a language model.", rich_help_panel=TEXT)
]
Limit = Annotated[
    int | None, typer.Option(help="Only the first so many lines.", min=1, rich_help_panel=TEXT)
]
Window = Annotated[
    int, typer.Option(help="Language model: tokens seen at once.", rich_help_panel=TEXT)
]
Context = Annotated[
    int, typer.Option(help="Of these, so many before what is scored.", rich_help_panel=TEXT)
]
Against = Annotated[
    list[Path] | None,
    typer.Option(help="Another model; repeatable.", rich_help_panel=BASELINES),
]
AgainstFile = Annotated[
    list[Path] | None,
    typer.Option(help="Another's output, one a line; repeatable.", rich_help_panel=BASELINES),
]
Lead = Annotated[
    str | None,
    typer.Option(
        help="Summarization: the source's first 'sentence', or so many words.",
        rich_help_panel=BASELINES,
    ),
]
Resamples = Annotated[
    int, typer.Option(help="Of the bootstrap.", min=100, rich_help_panel=BASELINES)
]
Seed = Annotated[int, typer.Option(help="Of the bootstrap.", min=0, rich_help_panel=BASELINES)]
Hypotheses = Annotated[
    Path | None, typer.Option(help="Write the output here, one a line.", rich_help_panel=SEARCH)
]
Device = Annotated[str, typer.Option(help="cpu, cuda, or auto: a GPU where there is one.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(evaluate)


def evaluate(
    model: Model,
    task: Task = None,
    source: Source = None,
    reference: Reference = None,
    pairs: Pairs = None,
    source_column: SourceColumn = "1",
    target_column: TargetColumn = "2",
    text: Text = None,
    limit: Limit = None,
    max_source: MaxSource = None,
    window: Window = 512,
    context: Context = 256,
    against: Against = None,
    against_file: AgainstFile = None,
    lead: Lead = None,
    resamples: Resamples = 1000,
    seed: Seed = 12345,
    beam: Beam = 5,
    length_penalty: LengthPenalty = 1.0,
    no_repeat_ngram: NoRepeat = 0,
    min_length: MinLength = 1,
    max_length: MaxLength = None,
    hypotheses: Hypotheses = None,
    force: Force = False,
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """BLEU and chrF, ROUGE, or perplexity, with 95 % intervals and paired tests."""
    from litecompress.evaluate import bootstrap, job, run, running_text
    from litecompress.runtime.options import SearchOptions

    corpus = job.Corpus(source, reference, pairs, source_column, target_column, text, limit)
    options = SearchOptions(beam, 1, length_penalty, no_repeat_ngram, min_length, max_length)
    asked = job.Job(
        model,
        corpus,
        task,
        against=tuple(against or ()),
        against_files=tuple(against_file or ()),
        lead=lead,
        hypotheses=hypotheses,
        force=force,
        max_source=max_source,
        search=options.search(),
        windows=running_text.Windows(window, context),
        resampling=bootstrap.Resampling(resamples, seed),
        device=device,
    )
    _print(run.evaluate(asked, _progress(shown=is_terminal() and not quiet)), as_json)


def _print(result: dict[str, Any], as_json: bool) -> None:
    from litecompress.evaluate.table import show
    from litecompress.report.terminal import console

    if as_json:
        typer.echo(json.dumps(result, indent=2))
    else:
        show(result, console())


def _progress(*, shown: bool) -> Track:
    """A bar on stderr, or nothing."""
    from litecompress.evaluate.batching import untracked

    if not shown:
        return untracked
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return lambda batches, label: track(batches, label, console=console, transient=True)
