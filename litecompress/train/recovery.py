"""Training of a compressed model in its stored form, perhaps taught by its uncompressed parent."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from litecompress.artifact import Artifact
from litecompress.batches import Batch
from litecompress.checkpoint import Checkpoint
from litecompress.encoding import Encoding
from litecompress.model.config import ModelConfig
from litecompress.train.encoded import Assignment, Trainable, TrainableDense, trainable
from litecompress.train.gradual import Gradual
from litecompress.train.loop import Subject, Trainer
from litecompress.train.objective import Objective
from litecompress.train.recipe import TrainRecipe
from litecompress.train.scoring import validation_score

if TYPE_CHECKING:
    from litecompress.stages.base import Context

Weights = Mapping[str, NDArray[np.float32]]


class EncodedObjective(nn.Module):
    """The loss of a network whose weights are encodings.

    With a `parent`, whose config may be another, the share `distillation` of every target is the
    parent's distribution. Values beneath codes, as `nearest` assignment has them, begin at `exact`.
    """

    prefix = "encodings."

    def __init__(
        self,
        config: ModelConfig,
        encodings: Mapping[str, Encoding],
        label_smoothing: float,
        assignment: Assignment = "fixed",
        exact: Weights | None = None,
        parent: Artifact | None = None,
        distillation: float = 0.0,
    ) -> None:
        super().__init__()
        before = exact or {}
        self.encodings = nn.ModuleDict(
            {_key(n): trainable(e, assignment, before.get(n)) for n, e in encodings.items()}
        )
        with torch.device("meta"):
            hollow = Objective(config, label_smoothing)
        self._hollow = (hollow,)  # in a tuple: its own weights are never used
        self._teacher: tuple[Objective, ...] = ()
        if parent is not None and distillation:
            teacher = Objective(parent.config, label_smoothing)
            weights = {n: torch.from_numpy(np.array(w)) for n, w in parent.decode().items()}
            teacher.network.load_state_dict(weights)
            self._teacher = (teacher.eval(),)
        self.distillation = distillation

    def prune(self, gradual: Gradual, update: int) -> None:
        """Bring the matched weights to the sparsity of an update, counted from 1."""
        for key, module in self.encodings.items():
            matrix = isinstance(module, TrainableDense) and module.values.dim() > 1
            if matrix and gradual.matches(_name(key)):
                module.prune_to(gradual.sparsity_at(update))  # type: ignore[operator]

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """As Objective's."""
        weights = {f"network.{_name(key)}": encoded() for key, encoded in self.encodings.items()}
        teaching = None
        if self._teacher and self.training:
            teaching = self._teacher[0].teaching(batch, self.distillation)
        found: tuple[Tensor, Tensor] = functional_call(self._hollow[0], weights, (batch, teaching))
        return found

    def train(self, mode: bool = True) -> EncodedObjective:
        """Also of the network that borrows the weights; the teacher never trains."""
        self._hollow[0].train(mode)
        return super().train(mode)

    def _apply(self, fn: Any, recurse: bool = True) -> EncodedObjective:
        """Also move the teacher, which is no part of what trains."""
        for teacher in self._teacher:
            teacher._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]

    def load(self, parameters: Weights) -> None:
        """Take on parameters as a run saves them."""
        tensors = {self.prefix + n: torch.from_numpy(p) for n, p in parameters.items()}
        self.load_state_dict(tensors)

    def encoded(self) -> dict[str, Encoding]:
        """Every weight as it is stored now."""
        found = {}
        for key, module in self.encodings.items():
            assert isinstance(module, Trainable)
            found[_name(key)] = module.encoding()
        return found


def recover(
    artifact: Artifact,
    context: Context,
    recipe: TrainRecipe,
    *,
    assignment: Assignment,
    distillation: float,
    gradual: Gradual | None,
    folder: str | None,
) -> tuple[dict[str, Encoding], dict[str, Any]]:
    """The encodings after training, and what came of the validation text's nll."""
    objective = EncodedObjective(
        replace(artifact.config, **recipe.model),
        artifact.weights,
        recipe.label_smoothing,
        assignment,
        None if context.exact is None else context.exact.decode(),
        context.parent,
        distillation,
    )

    if gradual is not None:
        objective.prune(gradual, 1)  # masks are part of what is saved

    def model(parameters: Weights) -> Checkpoint:
        objective.load(parameters)
        weights = {n: e.decode() for n, e in objective.encoded().items()}
        return Checkpoint(artifact.config, weights, artifact.tokenizer, artifact.target_tokenizer)

    def prune(update: int) -> None:
        if gradual is not None and gradual.due(update):
            objective.prune(gradual, update)

    with ExitStack() as stack:
        place = Path(folder or stack.enter_context(TemporaryDirectory()))
        subject = Subject(objective, artifact.tokenizers(), model, prune)
        score = validation_score(recipe)
        trainer = Trainer(recipe, place, quiet=context.quiet, score=score, subject=subject)
        before = trainer.engine.nll(trainer.valid)
        trainer.run()  # leaves the mean of what was saved in the objective
        if gradual is not None:
            objective.prune(gradual, recipe.updates)
        summary = {
            "updates": trainer.progress.update,
            "valid_nll_at_start": round(before, 4),
            "valid_nll": round(trainer.engine.nll(trainer.valid), 4),
        }
    return objective.encoded(), summary


def _key(name: str) -> str:
    """A weight's name as a module's, which may hold no dots."""
    return name.replace(".", "/")


def _name(key: str) -> str:
    return key.replace("/", ".")
