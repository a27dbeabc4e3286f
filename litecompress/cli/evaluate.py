"""`evaluate`: the quality of a model on a test set, and its difference to others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from litecompress.cli.options import AsJson, Force, Model, Quiet, is_terminal

if TYPE_CHECKING:
    from litecompress.evaluate.batching import Track
    from litecompress.runtime.search import SearchConfig

TEXT, BASELINES, SEARCH = "Test set", "Baselines", "Decoding"
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
MaxSource = Annotated[
    int | None,
    typer.Option(
        help="Cut longer sources to so many tokens, as in training.", min=2, rich_help_panel=TEXT
    ),
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
Beam = Annotated[
    int, typer.Option(help="Hypotheses kept; 1 is greedy.", min=1, rich_help_panel=SEARCH)
]
LengthPenalty = Annotated[
    float, typer.Option(help="Above 1 favours long output.", rich_help_panel=SEARCH)
]
NoRepeat = Annotated[
    int,
    typer.Option(
        "--no-repeat-ngram", help="No n-gram twice; 0 is off.", min=0, rich_help_panel=SEARCH
    ),
]
MinLength = Annotated[int, typer.Option(help="Tokens at least.", min=0, rich_help_panel=SEARCH)]
MaxLength = Annotated[
    int | None,
    typer.Option(
        help="Tokens at most; by default 1.2 of the source's and 10.", min=1, rich_help_panel=SEARCH
    ),
]
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

    result = run.evaluate(
        job.Job(
            model,
            job.Corpus(source, reference, pairs, source_column, target_column, text, limit),
            task,
            tuple(against or ()),
            tuple(against_file or ()),
            lead,
            hypotheses,
            force,
            max_source,
            _search(beam, length_penalty, no_repeat_ngram, min_length, max_length),
            running_text.Windows(window, context),
            bootstrap.Resampling(resamples, seed),
            device,
        ),
        _progress(shown=is_terminal() and not quiet),
    )
    _print(result, as_json)


def _print(result: dict[str, Any], as_json: bool) -> None:
    from litecompress.evaluate.table import show
    from litecompress.report.terminal import console

    if as_json:
        typer.echo(json.dumps(result, indent=2))
    else:
        show(result, console())


def _search(
    beam: int, length_penalty: float, no_repeat_ngram: int, min_length: int, max_length: int | None
) -> SearchConfig:
    """The search that the options ask for."""
    from litecompress.runtime.search import SearchConfig

    at_most = {} if max_length is None else {"max_length_a": 0.0, "max_length_b": max_length}
    return SearchConfig(
        beam=beam,
        length_penalty=length_penalty,
        no_repeat_ngram=no_repeat_ngram,
        min_length=min_length,
        **at_most,  # type: ignore[arg-type]
    )


def _progress(*, shown: bool) -> Track:
    """A bar on stderr, or nothing."""
    from litecompress.evaluate.batching import untracked

    if not shown:
        return untracked
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return lambda batches, label: track(batches, label, console=console, transient=True)
