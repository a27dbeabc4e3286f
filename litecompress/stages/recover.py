"""Recovery: a compressed model is trained on, in its stored form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from litecompress.artifact import Artifact
from litecompress.errors import StageError
from litecompress.model.config import DROPOUTS
from litecompress.stages.base import Context, Outcome
from litecompress.train.gradual import Gradual
from litecompress.train.recipe import TrainRecipe


@dataclass(frozen=True)
class Recover:
    """Fine-tune what the earlier stages left free: survivors, centroids, scales.

    Zeros stay zeros. With `assignment: fixed` a weight keeps its code, and its centroid learns
    (arXiv:1510.00149 sec. 3.3); with `nearest` weights have full-precision values beneath, begun at
    those before quantization, and may change their code; with `entropy` also by how many bits a
    point of a grid takes in the file, so that it stays about as small. `distillation` is the share
    of the target that is the parent's distribution. With `gradual` more and more of what is not yet
    quantized becomes zero on the way. `training` says the text and the updates, as a training
    recipe does, and in `model` the dropout where it is not to be the parent's; with a `folder` an
    interrupted run goes on where it was.
    """

    name: ClassVar[str] = "recover"
    training: TrainRecipe
    assignment: Literal["fixed", "nearest", "entropy"] = "nearest"
    distillation: float = 0.0
    gradual: Gradual | None = None
    folder: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.distillation <= 1:
            raise StageError(
                f"recover: expected a distillation share in [0, 1], got {self.distillation}"
            )
        if self.training.consistency:
            raise StageError("recover: expected training without consistency; use distillation")
        if self.training.init or not set(self.training.model) <= set(DROPOUTS):
            raise StageError(
                "recover: expected training whose model, which is the artifact's, says nothing but "
                f"{', '.join(DROPOUTS)}, got {', '.join(self.training.model) or 'init'}"
            )

    def __call__(self, artifact: Artifact, context: Context) -> Outcome:
        if context.parent is None and self.distillation:
            raise StageError("recover: expected an uncompressed parent to learn from, got none")
        from litecompress.train.recovery import recover

        weights, summary = recover(
            artifact,
            context,
            self.training,
            assignment=self.assignment,
            distillation=self.distillation,
            gradual=self.gradual,
            folder=self.folder,
        )
        return Outcome(weights, summary)
