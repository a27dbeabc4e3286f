"""`train`: a checkpoint out of parallel text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from litecompress.cli.options import Force, Output, Quiet, is_terminal


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(train)


def train(
    recipe: Annotated[Path, typer.Argument(help="See recipes/train-multi30k-en-de.yaml.")],
    output: Output,
    data: Annotated[Path | None, typer.Option(help="Folder of the text files.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Instead of the recipe's.", min=1)] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda, instead of auto.")] = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Train a model; on the same output again it goes on after the last epoch, --force anew."""
    from litecompress.output import refuse_existing
    from litecompress.train.loop import STATE, Trainer, load_train_recipe

    job = load_train_recipe(recipe, data=data, epochs=epochs, device=device)
    if not force and not (output / STATE).exists():
        refuse_existing(output, force=False)
    trainer = Trainer(job, output, quiet=quiet or not is_terminal(), fresh=force)
    checkpoint = trainer.run()
    typer.echo(f"{output}: {checkpoint.nbytes // 4} parameters, {trainer.epoch} epochs")
