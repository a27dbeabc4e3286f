"""`translate` and `summarize`: text through a model or a package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from litecompress.cli.decoding import (
    Arguments,
    BatchSize,
    Beam,
    Input,
    LengthPenalty,
    MaxLength,
    MaxSource,
    MinLength,
    Model,
    NBest,
    NoRepeat,
    Overlong,
    Shortlist,
    Threads,
)
from litecompress.cli.options import AsJson
from litecompress.cli.texts import answer, groups, model_and_texts

if TYPE_CHECKING:
    from litecompress.runtime.options import TranslationOptions


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(translate)
    app.command()(summarize)


def translate(
    arguments: Arguments = None,
    model: Model = None,
    file: Input = None,
    max_source: MaxSource = None,
    overlong: Overlong = "refuse",
    beam: Beam = 5,
    n_best: NBest = 1,
    length_penalty: LengthPenalty = 1.0,
    no_repeat_ngram: NoRepeat = 0,
    min_length: MinLength = 1,
    max_length: MaxLength = None,
    batch_size: BatchSize = 32,
    shortlist: Shortlist = True,
    threads: Threads = 1,
    as_json: AsJson = False,
) -> None:
    """Translate sentences, one a line."""
    from litecompress.runtime.options import TranslationOptions

    options = TranslationOptions(
        beam,
        n_best,
        length_penalty,
        no_repeat_ngram,
        min_length,
        max_length,
        batch_size,
        max_source,
        overlong,  # type: ignore[arg-type]
        scores=as_json or n_best > 1,
        shortlist=shortlist,
    )
    _run(*model_and_texts(model, arguments, file), file, options, threads, as_json)


def summarize(
    arguments: Arguments = None,
    model: Model = None,
    file: Input = None,
    max_source: MaxSource = None,
    overlong: Overlong = "refuse",
    beam: Beam = 4,
    n_best: NBest = 1,
    length_penalty: LengthPenalty = 1.0,
    no_repeat_ngram: NoRepeat = 3,
    min_length: MinLength = 1,
    max_length: MaxLength = 140,
    batch_size: BatchSize = 32,
    shortlist: Shortlist = True,
    threads: Threads = 1,
    as_json: AsJson = False,
) -> None:
    """Summarize texts, one a line: translate's search with limits for summaries."""
    translate(
        arguments,
        model,
        file,
        max_source,
        overlong,
        beam,
        n_best,
        length_penalty,
        no_repeat_ngram,
        min_length,
        max_length,
        batch_size,
        shortlist,
        threads,
        as_json,
    )


def _run(
    model: Path,
    texts: Sequence[str],
    file: Path | None,
    options: TranslationOptions,
    threads: int,
    as_json: bool,
) -> None:
    """Print what becomes of every text, as soon as it is known."""
    from litecompress.errors import InputError
    from litecompress.runtime.translator import Translator

    empty = [str(number) for number, text in enumerate(texts, 1) if not text.strip()]
    if empty:
        raise InputError(f"sentence {', '.join(empty)}: expected a sentence, got an empty one")
    translator = Translator.load(model, threads=threads, shortlist=options.shortlist)
    for first, group in groups(texts, file, options.batch_size):
        found = translator.translate(group, options, first=first)
        answer(found, first, ranked=options.n_best > 1, as_json=as_json)
