"""`import`: a checkpoint of ours out of another program's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from litecompress.cli.options import AsJson, Force, Output

if TYPE_CHECKING:
    from litecompress.checkpoint import Checkpoint


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Take over a model that another program trained.")
    group.command()(fairseq)
    app.add_typer(group, name="import", no_args_is_help=True)


def fairseq(
    checkpoint: Annotated[
        list[Path], typer.Argument(help="Files of fairseq 0.8; several are averaged.")
    ],
    output: Output,
    source_dict: Annotated[
        Path | None, typer.Option("--source-dict", help="dict.SOURCE.txt, or the only one.")
    ] = None,
    target_dict: Annotated[
        Path | None, typer.Option("--target-dict", help="dict.TARGET.txt.")
    ] = None,
    bpe_codes: Annotated[
        Path | None, typer.Option("--bpe-codes", help="subword-nmt's codes: raw text goes in.")
    ] = None,
    pretokenized: Annotated[
        bool, typer.Option("--pretokenized", help="Text comes with blanks around punctuation.")
    ] = False,
    lowercase: Annotated[
        bool, typer.Option("--lowercase", help="The model knows lower-cased text only.")
    ] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Turn a checkpoint of Lite Transformer's authors, or of fairseq, into a checkpoint folder.

    With --bpe-codes raw text is divided at punctuation much as by the Moses tokenizer, with escapes
    and divided compounds where the dictionary has them, and written without them again. Without
    codes a word of the text is a token of the dictionary.
    """
    from litecompress.checkpoint import save_checkpoint
    from litecompress.fairseq.job import ImportJob
    from litecompress.fairseq.tokens import TextForm
    from litecompress.output import refuse_existing, replacing

    form = TextForm(pretokenized=pretokenized, lowercase=lowercase)
    job = ImportJob(tuple(checkpoint), source_dict, target_dict, bpe_codes, form)
    refuse_existing(output, force=force, inputs=job.inputs)
    imported = job.run()
    with replacing(output, force=force, inputs=job.inputs) as partial:
        partial.mkdir()
        save_checkpoint(imported, partial)
    summary = {"output": str(output), "checkpoints": len(checkpoint), **_summary(imported)}
    text = f"{output}: {summary['parameters']} parameters, {summary['tokenizers']} tokenizer(s)"
    typer.echo(json.dumps(summary, indent=2) if as_json else text)


def _summary(imported: Checkpoint) -> dict[str, Any]:
    return {
        "language_model": imported.config.is_language_model,
        "parameters": imported.nbytes // 4,
        "source_vocab_size": imported.config.source_vocab_size,
        "target_vocab_size": imported.config.target_vocab_size,
        "tokenizers": 1 if imported.target_tokenizer is None else 2,
    }
