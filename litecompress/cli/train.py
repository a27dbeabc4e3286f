"""`train`: a checkpoint out of parallel text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from litecompress.cli.options import Force, Output, Quiet


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(train)


def train(
    recipe: Annotated[Path, typer.Argument(help="See recipes/train-multi30k-en-de.yaml.")],
    output: Output,
    data: Annotated[Path | None, typer.Option(help="Folder of the text files.")] = None,
    updates: Annotated[int | None, typer.Option(help="Instead of the recipe's.", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda, instead of auto.")] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write curves to OUTPUT/tensorboard.")
    ] = False,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Train a model; started again on its output it goes on where it was, --force begins anew."""
    from litecompress.checkpoint import save_checkpoint
    from litecompress.output import refuse_existing
    from litecompress.train.loop import Trainer
    from litecompress.train.recipe import load_train_recipe
    from litecompress.train.scoring import validation_score
    from litecompress.train.state import RunFolder

    job = load_train_recipe(recipe, data=data, updates=updates, device=device, seed=seed)
    folder = RunFolder(output)
    if not force and not folder.begun and not folder.may_begin:
        refuse_existing(output, force=False)
    score = validation_score(job)
    trainer = Trainer(job, output, quiet=quiet, fresh=force, tensorboard=tensorboard, score=score)
    checkpoint = trainer.run()
    if trainer.main:
        save_checkpoint(checkpoint, output)
        done = trainer.progress.update
        typer.echo(f"{output}: {checkpoint.nbytes // 4} parameters, {done} updates")
