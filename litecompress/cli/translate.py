"""`translate` and `evaluate`: text through a model or a package."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from litecompress.cli.options import AsJson, Model

AnyModel = Annotated[
    Path, typer.Option("--model", "-m", help="Checkpoint folder, .litec artifact or package.")
]
Beam = Annotated[int, typer.Option(help="Hypotheses kept; 1 is greedy.", min=1)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(translate)
    app.command()(evaluate)


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

    session, tokenizer = open_model(model)
    lines = text or sys.stdin.read().splitlines()
    if not lines:
        raise InputError("expected sentences as arguments or on stdin, got none")
    sources = encode_all(tokenizer, lines, session.max_source)
    for hypothesis in decode(session, sources, SearchConfig(beam=beam)):
        typer.echo(tokenizer.decode(hypothesis.tokens))


def evaluate(
    model: Model,
    source: Annotated[Path, typer.Option(help="Source sentences, one a line.")],
    reference: Annotated[Path, typer.Option(help="Their translations, one a line.")],
    beam: Beam = 5,
    as_json: AsJson = False,
) -> None:
    """Token NLL and BLEU (cased and lower-cased, 95 % interval) on a test set."""
    from litecompress.evaluate import evaluate_model

    result = evaluate_model(model, source, reference, beam)
    if as_json:
        typer.echo(json.dumps(result, indent=2))
        return
    typer.echo(f"token NLL {result['token_nll']:.4f} nats")
    for name in ("cased", "lowercased"):
        row = result["bleu"][name]
        interval = f"[{row['low']:.2f}, {row['high']:.2f}]"
        typer.echo(f"BLEU {name} {row['score']:.2f} {interval} {row['signature']}")
