"""Options that `translate`, `summarize` and `generate` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TEXT, SEARCH = "Text", "Search"
Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[MODEL] TEXT",
        help="The model, unless given by -m, and texts; without texts, lines of stdin.",
        show_default=False,
    ),
]
Model = Annotated[
    Path | None,
    typer.Option(
        "--model", "-m", help="Package, .litec artifact or checkpoint folder.", show_default=False
    ),
]
Input = Annotated[
    Path | None,
    typer.Option("--input", "-i", help="Texts, one a line (.xz).", rich_help_panel=TEXT),
]
MaxSource = Annotated[
    int | None,
    typer.Option(
        help="Cut longer sources to so many tokens, as in training.", min=2, rich_help_panel=TEXT
    ),
]
Overlong = Annotated[
    str,
    typer.Option(
        help="What to do with a source that the model has no room for: refuse, or split it.",
        rich_help_panel=TEXT,
    ),
]
Beam = Annotated[
    int, typer.Option(help="Hypotheses kept; 1 is greedy.", min=1, rich_help_panel=SEARCH)
]
NBest = Annotated[
    int, typer.Option(help="Outputs a text, with their scores.", min=1, rich_help_panel=SEARCH)
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
BatchSize = Annotated[int, typer.Option(help="Texts decoded together at most.", min=1)]
Threads = Annotated[int, typer.Option(help="Of the runtime.", min=1)]
Shortlist = Annotated[
    bool,
    typer.Option(
        "--shortlist/--no-shortlist",
        help="Score the candidates of the package's shortlist only, if it has one.",
        rich_help_panel=SEARCH,
    ),
]
MaxLength = Annotated[
    int | None,
    typer.Option(
        help="Tokens at most; where none are given 1.2 of the source's and 10.",
        min=1,
        rich_help_panel=SEARCH,
    ),
]
