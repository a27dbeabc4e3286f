"""`verify`: how true a package is to its model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from litecompress.cli.options import AsJson, Quiet, hush, say

BOUNDS, ARM = "Bounds", "Emulated Arm"
Against = Annotated[
    Path | None,
    typer.Option(
        "--against",
        "-m",
        "--model",
        help="Artifact or checkpoint that it was made from; without one the package is held "
        "against itself: padding, batches, cores.",
        show_default=False,
    ),
]
Sentences = Annotated[
    Path | None,
    typer.Option(
        "--sentences",
        "--samples",
        help="One a line, after a tab its reference; by default samples.tsv beside the model.",
        show_default=False,
    ),
]
Count = Annotated[
    int | None,
    typer.Option(help="Sentences; 200, or 20 where emulated.", min=1, show_default=False),
]
Longest = Annotated[
    int | None, typer.Option(help="Longest sequence; the package's.", min=2, show_default=False)
]
Beam = Annotated[int, typer.Option(help="Of whole decodes; 1 is greedy.", min=1)]
Structural = Annotated[
    bool, typer.Option("--structural", help="Look at the files only: no runtime is needed.")
]
Isa = Annotated[
    str | None,
    typer.Option(help="aarch64: run it on emulated cores too.", rich_help_panel=ARM),
]
Cpu = Annotated[
    list[str] | None,
    typer.Option(
        help="cortex-a53, cortex-a72 or cortex-a76; repeatable, all of them by default.",
        rich_help_panel=ARM,
        show_default=False,
    ),
]
CoreSentences = Annotated[
    int, typer.Option(help="Sentences that each core reads.", min=1, rich_help_panel=ARM)
]


def _bound(text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        help=text, rich_help_panel=BOUNDS, show_default=False
    )
    return option


MinPsnr = Annotated[float | None, _bound("Least PSNR of logits; 40, of int4 30.")]
MaxError = Annotated[float | None, _bound("Largest error of a logit; float32 1e-4.")]
MinArgmax = Annotated[float | None, _bound("Least share of equal best tokens; not judged.")]
MinCpu = Annotated[float | None, _bound("The same between processors; 0.995.")]
MaxBleu = Annotated[float | None, _bound("Most difference in BLEU; 0.2.")]
MaxPerplexity = Annotated[float | None, _bound("Most of package over model; 1.01.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(verify)


def verify(
    package: Annotated[Path, typer.Argument(help="Folder that `export` or `run` wrote.")],
    against: Against = None,
    sentences: Sentences = None,
    count: Count = None,
    beam: Beam = 5,
    longest: Longest = None,
    structural: Structural = False,
    isa: Isa = None,
    cpu: Cpu = None,
    cpu_sentences: CoreSentences = 40,
    min_psnr_db: MinPsnr = None,
    max_error: MaxError = None,
    min_argmax: MinArgmax = None,
    min_cpu_argmax: MinCpu = None,
    max_bleu_delta: MaxBleu = None,
    max_perplexity_ratio: MaxPerplexity = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Hold a package against its model, and its processors against each other."""
    from litecompress.arm.cores import cores_asked_for
    from litecompress.report.terminal import console
    from litecompress.verify.table import show
    from litecompress.verify_job import Job

    bounds = {
        "psnr_db": min_psnr_db,
        "max_abs_err": max_error,
        "argmax_agreement": min_argmax,
        "processor_agreement": min_cpu_argmax,
        "bleu_delta": max_bleu_delta,
        "perplexity_ratio": max_perplexity_ratio,
    }
    cores = cores_asked_for(isa, cpu)
    job = Job(
        *(package, against, sentences, count, beam, longest, cores, cpu_sentences, structural),
        bounds=bounds,
    )
    found = job.run(hush if quiet else say)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2, allow_nan=False))
    else:
        show(found.to_dict(), console())
    if found.located:
        typer.echo(f"departs at {found.located}", err=True)
    if not found.passed:
        failed = sum(check.passed is False for check in found.checks)
        typer.echo(f"parity FAILED: {failed} of {len(found.checks)} checks", err=True)
        raise typer.Exit(1)
