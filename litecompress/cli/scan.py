"""`scan`: what pruning and quantizing each tensor costs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from litecompress.cli.decoding import MaxSource
from litecompress.cli.evaluate import Reference, Source, SourceColumn, TargetColumn, Text
from litecompress.cli.options import AsJson, Exclude, Output, Quiet, Targets, is_terminal, say

if TYPE_CHECKING:
    from litecompress.scan.settings import Grid
    from litecompress.train.curvature import Told

TEXT, GRID, METRIC = "Test set", "What is tried", "The task's metric"
Model = Annotated[Path, typer.Argument(help="Checkpoint folder or .litec artifact.")]
Pairs = Annotated[
    Path | None,
    typer.Option("--samples", "--pairs", help="Tab-separated pairs (.xz).", rich_help_panel=TEXT),
]
Sentences = Annotated[
    int, typer.Option(help="Only the first so many, or so many lines.", min=1, rich_help_panel=TEXT)
]
Sparsity = Annotated[
    list[float] | None,
    typer.Option(help="To prune to; repeatable.", show_default="0.3 ... 0.9", rich_help_panel=GRID),
]
Bits = Annotated[
    list[int] | None,
    typer.Option(
        "--num-bits",
        help="To quantize to; repeatable.",
        show_default="2 ... 8",
        rich_help_panel=GRID,
    ),
]
Quantize = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE", help="Option of the stage; repeatable.", rich_help_panel=GRID
    ),
]
MetricName = Annotated[
    str | None, typer.Option(help="bleu, chrf, rouge1, rouge2 or rougel.", rich_help_panel=METRIC)
]
MetricAt = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SETTING",
        help="Where: sparsity=0.7, bits=3 or both with a comma; repeatable.",
        rich_help_panel=METRIC,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(scan)


def scan(
    model: Model,
    output: Output,
    samples: Pairs = None,
    source: Source = None,
    reference: Reference = None,
    source_column: SourceColumn = "1",
    target_column: TargetColumn = "2",
    text: Text = None,
    sentences: Sentences = 200,
    max_source: MaxSource = None,
    sparsity: Sparsity = None,
    num_bits: Bits = None,
    quantize: Quantize = None,
    target: Targets = None,
    exclude: Exclude = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Estimate losses by curvature, measure none.")
    ] = False,
    metric: MetricName = None,
    metric_at: MetricAt = None,
    jobs: Annotated[int, typer.Option(help="Processes, of one thread each.", min=1)] = 1,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Begin anew, not where the last one stopped.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure what pruning and quantizing each tensor alone costs; goes on where it stopped."""
    from litecompress.evaluate.job import Corpus
    from litecompress.scan.run import ScanJob
    from litecompress.scan.run import scan as run
    from litecompress.scan.settings import Setting, parse_setting

    grid = _grid(
        sparsities=None if sparsity is None else tuple(sorted(sparsity)),
        num_bits=None if num_bits is None else tuple(sorted(num_bits)),
        quantize=_options(quantize),
        targets=target,
        exclude=exclude,
    )
    settings = tuple(Setting(**parse_setting(at)) for at in metric_at or ())  # type: ignore[arg-type]
    corpus = Corpus(source, reference, samples, source_column, target_column, text, sentences)
    job = ScanJob(model, corpus, output, grid, fast, metric, settings, max_source, jobs, force)
    with _progress(quiet=quiet or as_json) as told:
        result = run(job, told)
    _print(result, output, as_json)


def _grid(**options: Any) -> Grid:
    from litecompress.scan.settings import Grid

    given = {key: value for key, value in options.items() if value is not None}
    for key in ("targets", "exclude"):
        if key in given:
            given[key] = tuple(given[key])
    return Grid(**given)


def _options(pairs: list[str] | None) -> dict[str, Any] | None:
    """`KEY=VALUE` with the value as YAML reads it."""
    import yaml

    from litecompress.errors import InputError

    found: dict[str, Any] = {}
    for pair in pairs or ():
        key, equals, value = pair.partition("=")
        if not equals or key in found:
            raise InputError(f"expected --quantize KEY=VALUE, each key once, got {pair!r}")
        try:
            found[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(
                f"expected a plain value for --quantize {key}, got {value!r}"
            ) from error
    return found


def _print(result: Any, output: Path, as_json: bool) -> None:
    from litecompress.strict import plain

    if as_json:
        typer.echo(json.dumps(plain(result), indent=2))
        return
    from litecompress.report.terminal import console
    from litecompress.scan.table import show

    show(result, console())
    typer.echo(f"Scan: {output / 'scan.json'}; picture: {output / 'scan.svg'}")


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Told]:
    """Bars on a terminal, else a line for every tenth; nothing where it is to be quiet."""
    if quiet or not is_terminal():
        yield _silent if quiet else _lines()
        return
    from rich.console import Console
    from rich.progress import Progress, TaskID

    tasks: dict[str, TaskID] = {}
    with Progress(console=Console(stderr=True), transient=True) as bars:

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)

        yield tell


def _silent(what: str, done: int, total: int) -> None:
    del what, done, total


def _lines() -> Told:
    """A line for every tenth of a kind of work."""
    told: dict[str, int] = {}

    def tell(what: str, done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if told.get(what) != tenth:
            told[what] = tenth
            say(f"{what}: {done} of {total}")

    return tell
