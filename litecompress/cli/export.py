"""`export` and `verify`: a package out of a model, and how true it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from litecompress.cli.options import AsJson, Force, Model, Output


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(export)
    app.command()(verify)


def export(
    model: Model,
    output: Output,
    target: Annotated[str, typer.Option("--target", "-t", help="onnx, coreml or tflite.")],
    storage: Annotated[
        str | None, typer.Option(help="native, int8 or float32; the target's own by default.")
    ] = None,
    conv_branch: Annotated[
        str | None, typer.Option("--conv-branch", help="ONNX: builtin or custom.")
    ] = None,
    length: Annotated[
        int | None, typer.Option(help="Core ML, TFLite: the one bucket of tokens.")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="Core ML: float16 or float32.")] = None,
    activations: Annotated[str | None, typer.Option(help="TFLite: dynamic or float32.")] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write a package that a device runs."""
    from litecompress.artifact_file import load_model
    from litecompress.backends import load_exporter
    from litecompress.export.package import write_package
    from litecompress.output import refuse_existing, replacing
    from litecompress.pipeline import encoding_row
    from litecompress.strict import build

    refuse_existing(output, force=force, inputs=[model])
    artifact = load_model(model)
    options = {
        "storage": storage,
        "conv_branch": conv_branch,
        "length": length,
        "precision": precision,
        "activations": activations,
    }
    given = {k: v for k, v in options.items() if v is not None}
    exporter = build(load_exporter(target), given, f"export {target}")
    with replacing(output, force=force, inputs=[model]) as partial:
        row = encoding_row(write_package(exporter, artifact, partial))
    size = sum(p.stat().st_size for p in output.rglob("*") if p.is_file())
    _print({"output": str(output), "package_raw_bytes": size, **row}, as_json)


def verify(
    package: Annotated[Path, typer.Argument(help="Folder that `export` or `run` wrote.")],
    model: Model,
    samples: Annotated[
        Path, typer.Option(help="Sentences to compare on, one a line; after a tab, ignored.")
    ],
    sentences: Annotated[int, typer.Option(help="How many, of several lengths.", min=1)] = 8,
    min_parity_db: Annotated[
        float, typer.Option("--min-parity-db", help="Least PSNR; below it the exit code is 1.")
    ] = 40.0,
    as_json: AsJson = False,
) -> None:
    """Compare a package with its model on real sentences."""
    from litecompress.pipeline import verify_package

    row = verify_package(package, model, samples, sentences)
    _print(row, as_json)
    if row["psnr_db"] is not None and row["psnr_db"] < min_parity_db:
        typer.echo(f"parity FAILED: {row['psnr_db']:.1f} dB < {min_parity_db} dB", err=True)
        raise typer.Exit(1)


def _print(values: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(values, indent=2))
        return
    for key, value in values.items():
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items())
        elif isinstance(value, list):
            value = ", ".join(map(str, value)) or "-"
        typer.echo(f"{key.replace('_', ' ')}: {value}")
