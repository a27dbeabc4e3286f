"""`prune` and `quantize`: one stage, an artifact in and out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from litecompress.cli.options import AsJson, Exclude, Force, Model, Output, Targets


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(prune)
    app.command()(quantize)


def prune(
    model: Model,
    output: Output,
    sparsity: Annotated[float | None, typer.Option(help="Fraction of zeros, in [0, 1).")] = None,
    sensitivity: Annotated[
        float | None, typer.Option(help="Instead: zero below so many standard deviations.")
    ] = None,
    pattern: Annotated[
        str | None, typer.Option(help="Instead: N:M, keep the N largest of M neighbours.")
    ] = None,
    scope: Annotated[str, typer.Option(help="per_tensor or global.")] = "per_tensor",
    target: Targets = None,
    exclude: Exclude = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Set the smallest weights of each matrix to zero."""
    options = {
        "sparsity": sparsity,
        "sensitivity": sensitivity,
        "pattern": pattern,
        "scope": scope,
        "targets": target,
        "exclude": exclude,
    }
    _stage("prune", options, model, output, force, as_json)


def quantize(
    model: Model,
    output: Output,
    method: Annotated[str, typer.Option(help="kmeans, a codebook, or affine, a grid.")] = "kmeans",
    num_bits: Annotated[int, typer.Option("--num-bits", help="Bits a weight, 1 to 8.")] = 8,
    granularity: Annotated[
        str | None, typer.Option(help="per_tensor, per_channel or per_group.")
    ] = None,
    group_size: Annotated[
        int | None, typer.Option(help="Rows of a codebook, or neighbours on a grid, per_group.")
    ] = None,
    symmetric: Annotated[bool, typer.Option(help="A grid about zero, or of its own range.")] = True,
    clipped: Annotated[bool, typer.Option(help="Leave out what widens a grid too much.")] = True,
    target: Targets = None,
    exclude: Exclude = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Replace each matrix by codes of a codebook or points of a grid; zeros survive."""
    options = {
        "method": method,
        "num_bits": num_bits,
        "granularity": granularity,
        "group_size": group_size,
        "symmetric": symmetric,
        "clipped": clipped,
        "targets": target,
        "exclude": exclude,
    }
    _stage("quantize", options, model, output, force, as_json)


def _stage(
    name: str, options: dict[str, Any], model: Path, output: Path, force: bool, as_json: bool
) -> None:
    from litecompress.artifact_file import load_model, save_artifact
    from litecompress.errors import InputError
    from litecompress.output import make_parent, refuse_existing
    from litecompress.stages import STAGES, Context, apply
    from litecompress.strict import build

    refuse_existing(output, force=force, inputs=[model])
    if output.is_dir():
        raise InputError(f"expected a file to write, got the folder {output}; name a .litec in it")
    given = {k: v for k, v in options.items() if v is not None}
    stage = build(STAGES[name], given, name)
    artifact = apply(stage, load_model(model), Context())
    make_parent(output)
    save_artifact(artifact, output)
    summary = {
        "output": str(output),
        "float32_bytes": artifact.float32_bytes(embeddings=True),
        "weights_bytes": artifact.nbytes(embeddings=True),
        "artifact_bytes": output.stat().st_size,
        **artifact.history[-1].summary,
    }
    typer.echo(json.dumps(summary, indent=2) if as_json else _text(summary))


def _text(summary: dict[str, Any]) -> str:
    skipped = summary.pop("skipped", {})
    lines = [f"{key.replace('_', ' ')}: {value}" for key, value in summary.items()]
    reasons: dict[str, int] = {}
    for reason in skipped.values():
        reasons[reason] = reasons.get(reason, 0) + 1
    return "\n".join([*lines, *(f"skipped {n} ({reason})" for reason, n in reasons.items())])
