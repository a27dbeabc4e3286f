"""`export`: a package out of a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from litecompress.cli.options import AsJson, Force, Model, Output

Shortlist = Annotated[
    Path | None,
    typer.Option(help="ONNX: a file of `litecompress shortlist`, for the package to carry."),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(export)


def export(
    model: Model,
    output: Output,
    target: Annotated[str, typer.Option("--target", "-t", help="onnx, coreml or tflite.")],
    storage: Annotated[
        str | None,
        typer.Option(
            help="native, int8 or float32; ONNX and TFLite also int4 and float16. docs/targets.md "
            "says what each does, and which is the target's own."
        ),
    ] = None,
    conv_branch: Annotated[
        str | None, typer.Option("--conv-branch", help="ONNX, TFLite: builtin or custom.")
    ] = None,
    length: Annotated[
        str | None, typer.Option(help="Core ML, TFLite: buckets of tokens, such as 16,32,64.")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="Core ML: float16 or float32.")] = None,
    deployment: Annotated[str | None, typer.Option(help="Core ML: iOS17 or iOS18.")] = None,
    stateful: Annotated[
        bool | None, typer.Option("--stateful", help="Core ML: caches as states (iOS18).")
    ] = None,
    strict: Annotated[
        bool | None,
        typer.Option("--strict", help="Core ML: refuse encodings that it cannot keep exactly."),
    ] = None,
    activations: Annotated[
        str | None,
        typer.Option(help="ONNX: per_tensor or per_block; TFLite: dynamic or float32."),
    ] = None,
    compat: Annotated[
        str | None,
        typer.Option(help="TFLite: only what an old runtime executes rightly: tflite-runtime."),
    ] = None,
    shortlist: Shortlist = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write a package that a device runs."""
    from litecompress.artifact_file import load_model
    from litecompress.backends import load_exporter
    from litecompress.export.lengths import parse_lengths
    from litecompress.export.package import write_package
    from litecompress.export.summary import encoding_row
    from litecompress.output import refuse_existing, replacing
    from litecompress.strict import build

    inputs = [path for path in (model, shortlist) if path is not None]
    refuse_existing(output, force=force, inputs=inputs)
    artifact = load_model(model)
    options = {
        "storage": storage,
        "conv_branch": conv_branch,
        "length": None if length is None else parse_lengths(length),
        "precision": precision,
        "deployment": deployment,
        "stateful": stateful,
        "strict": strict,
        "activations": activations,
        "compat": compat,
        "shortlist": None if shortlist is None else str(shortlist),
    }
    given = {k: v for k, v in options.items() if v is not None}
    exporter = build(load_exporter(target), given, f"export {target}")
    with replacing(output, force=force, inputs=inputs) as partial:
        row = encoding_row(write_package(exporter, artifact, partial))
    size = sum(p.stat().st_size for p in output.rglob("*") if p.is_file())
    show_values({"output": str(output), "package_raw_bytes": size, **row}, as_json)


def show_values(values: dict[str, Any], as_json: bool) -> None:
    """Print what came out, in words or as JSON."""
    if as_json:
        typer.echo(json.dumps(values, indent=2))
        return
    for key, value in values.items():
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items())
        elif isinstance(value, list):
            value = ", ".join(map(str, value)) or "-"
        typer.echo(f"{key.replace('_', ' ')}: {value}")
