"""`generate`: what a language model makes of the beginning of a text."""

from __future__ import annotations

from typing import Annotated

import typer

from litecompress.cli.decoding import (
    Arguments,
    Beam,
    Input,
    LengthPenalty,
    MinLength,
    Model,
    NBest,
    NoRepeat,
    Threads,
)
from litecompress.cli.options import AsJson
from litecompress.cli.texts import answer, groups, model_and_texts

SAMPLING = "Sampling instead of search"
Temperature = Annotated[
    float | None,
    typer.Option(
        help="Draw tokens by their probability; below 1 likelier ones more often, above 1 less.",
        rich_help_panel=SAMPLING,
        show_default=False,
    ),
]
TopK = Annotated[
    int | None,
    typer.Option(
        help="Draw only from so many of the likeliest; 0 is all.",
        min=0,
        rich_help_panel=SAMPLING,
        show_default=False,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        help="The same seed draws the same; 0 if none is given.",
        min=0,
        rich_help_panel=SAMPLING,
        show_default=False,
    ),
]
MaxNew = Annotated[int, typer.Option("--max-length", help="Tokens to add at most.", min=1)]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(generate)


def generate(
    arguments: Arguments = None,
    model: Model = None,
    file: Input = None,
    max_length: MaxNew = 64,
    min_length: MinLength = 1,
    beam: Beam = 1,
    n_best: NBest = 1,
    length_penalty: LengthPenalty = 1.0,
    no_repeat_ngram: NoRepeat = 0,
    temperature: Temperature = None,
    top_k: TopK = None,
    seed: Seed = None,
    threads: Threads = 1,
    as_json: AsJson = False,
) -> None:
    """Continue texts, one a line: greedily, by beam search or by sampling."""
    from litecompress.runtime.generator import Generator
    from litecompress.runtime.options import GenerationOptions

    options = GenerationOptions(
        beam,
        n_best,
        length_penalty,
        no_repeat_ngram,
        min_length,
        max_length,
        temperature,
        top_k,
        seed,
    )
    path, prompts = model_and_texts(model, arguments, file)
    generator = Generator.load(path, threads=threads)
    for first, group in groups(prompts, file, batch_size=1):
        for number, prompt in enumerate(group, first):
            found = generator.generate([prompt], options, first=number)
            answer(found, number, ranked=n_best > 1, as_json=as_json)
