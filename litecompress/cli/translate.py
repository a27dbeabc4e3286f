"""`translate`: text through a model or a package."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

AnyModel = Annotated[
    Path, typer.Option("--model", "-m", help="Checkpoint folder, .litec artifact or package.")
]
Beam = Annotated[int, typer.Option(help="Hypotheses kept; 1 is greedy.", min=1)]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(translate)


def translate(
    model: AnyModel,
    text: Annotated[
        list[str] | None, typer.Argument(help="Sentences; without any, lines of stdin.")
    ] = None,
    beam: Beam = 5,
) -> None:
    """Translate sentences, one a line."""
    from litecompress.errors import InputError
    from litecompress.runtime.open import open_model
    from litecompress.runtime.search import SearchConfig
    from litecompress.runtime.search import translate as decode
    from litecompress.tokenizer import encode_all

    session, tokenizers = open_model(model)
    lines = text or sys.stdin.read().splitlines()
    if not lines:
        raise InputError("expected sentences as arguments or on stdin, got none")
    sources = encode_all(tokenizers.source, lines, session.max_source)
    for hypothesis in decode(session, sources, SearchConfig(beam=beam)):
        typer.echo(tokenizers.target.decode(hypothesis.tokens))
