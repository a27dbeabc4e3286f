"""`search`: a recipe for a budget, from a scan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from litecompress.cli.options import AsJson, Force, Output
from litecompress.cli.scan import Model

if TYPE_CHECKING:
    from litecompress.scan.result import Scan
    from litecompress.search.run import Found, Search


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(search)


def search(
    model: Model,
    output: Output,
    scan: Annotated[Path, typer.Option("--scan", "-s", help="What `scan` wrote for this model.")],
    max_bytes: Annotated[
        int | None, typer.Option(help="Of the artifact file, everything in.", min=1)
    ] = None,
    max_loss: Annotated[
        float | None, typer.Option(help="Instead: of the loss, its increase in nats a token.")
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB:SETTING",
            help="What tensors have to be: sparsity=0.5, bits=4, both or keep; repeatable.",
        ),
    ] = None,
    samples: Annotated[
        Path | None,
        typer.Option(help="Pairs that the recipe checks on.", show_default="the scan's"),
    ] = None,
    export: Annotated[
        list[str] | None, typer.Option(help="A target to export to; repeatable.")
    ] = None,
    stages_only: Annotated[
        bool, typer.Option("--stages-only", help="Write only the recipe's stages.")
    ] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Choose sparsity and bits of every tensor for a budget, and write them as a recipe."""
    from litecompress.errors import InputError
    from litecompress.output import refuse_existing
    from litecompress.scan.result import read_scan
    from litecompress.search.rules import Rule
    from litecompress.search.run import Search

    if (max_bytes is None) == (max_loss is None):
        raise InputError("expected one of --max-bytes and --max-loss, got both or none")
    refuse_existing(output, force=force, inputs=[model, scan])
    known = read_scan(scan)
    checked = "" if stages_only else _samples(samples, known)
    exports = _exports(export)
    searched = Search(model, known, [Rule.parse(text) for text in rule or ()])
    found, gate = _found(searched, max_bytes, max_loss)
    _write(model, output, found, checked, exports, gate)
    _print(found, known, output, as_json)


def _found(
    searched: Search, max_bytes: int | None, max_loss: float | None
) -> tuple[Found, dict[str, Any]]:
    """What fits the budget, and the gate that holds it there."""
    if max_bytes is not None:
        return searched.within_bytes(max_bytes), {"max_artifact_bytes": max_bytes}
    assert max_loss is not None
    return searched.within_loss(max_loss), {"max_nll_increase": max_loss}


def _samples(given: Path | None, scan: Scan) -> str:
    """The pairs that the recipe checks the model on."""
    from litecompress.errors import InputError
    from litecompress.evaluate.corpus import read_samples

    pairs = str(given) if given is not None else scan.text.files[0]
    if given is None and len(scan.text.files) != 1:
        raise InputError(
            "expected --samples, a file of pairs that the recipe checks on, as the scan's text is "
            "in two files, got none; or ask for --stages-only"
        )
    read_samples(Path(pairs))
    return pairs


def _exports(given: list[str] | None) -> list[str]:
    from litecompress.backends import exporter_names
    from litecompress.errors import InputError

    wrong = [target for target in given or () if target not in exporter_names()]
    if wrong or len(set(given or ())) != len(given or ()):
        raise InputError(
            f"expected targets of {', '.join(exporter_names())}, each once, got "
            f"{', '.join(given or ())}"
        )
    return given or []


def _write(
    model: Path, output: Path, found: Found, samples: str, exports: list[str], gate: dict[str, Any]
) -> None:
    from litecompress.search.recipe import recipe_values, stage_values, write_recipe

    heading = (
        f"Written by `litecompress search`: {found.artifact_bytes} bytes, predicted loss "
        f"{found.loss:+.4f} nats a token."
    )
    values: dict[str, Any] = {"stages": stage_values(found.stages)}
    if samples:
        values = recipe_values(model, found.stages, samples, exports, gate)
    write_recipe(values, heading, output)


def _print(found: Found, scan: Scan, output: Path, as_json: bool) -> None:
    values = {
        "recipe": str(output),
        "artifact_bytes": found.artifact_bytes,
        "predicted": {
            "artifact_bytes": found.coded_bytes + found.other_bytes,
            "tensor_bytes": found.coded_bytes,
            "other_bytes": found.other_bytes,
            "loss": found.loss,
        },
        "bound": found.bound,
        "exact": found.exact,
        "settings": {name: str(setting) for name, setting in found.settings.items()},
    }
    if as_json:
        typer.echo(json.dumps(values, indent=2))
        return
    from litecompress.report.terminal import console
    from litecompress.search.table import show

    show(found, scan, console())
    typer.echo(f"Recipe: {output}")
