"""What a stage is, and the one function that applies it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Protocol

from litecompress.artifact import Artifact, Step
from litecompress.encoding import Encoding, is_floating_point
from litecompress.errors import CheckpointError, StageError
from litecompress.model.config import ModelConfig
from litecompress.model.shapes import check_shapes
from litecompress.strict import plain


@dataclass(frozen=True)
class Context:
    """What a stage may use beside the artifact.

    `parent` is the uncompressed model; `exact` the last state before anything was quantized.
    """

    seed: int = 0
    parent: Artifact | None = None
    exact: Artifact | None = None
    quiet: bool = True

    def after(self, artifact: Artifact) -> Context:
        """The context of the stage after this state."""
        weights = artifact.weights.values()
        return replace(self, exact=artifact) if all(map(is_floating_point, weights)) else self


@dataclass(frozen=True)
class Outcome:
    """The new weights of a stage, and what it says of its work, skipped tensors included.

    `config` is another one only where the model's structure changed.
    """

    weights: Mapping[str, Encoding]
    summary: Mapping[str, Any]
    config: ModelConfig | None = None


class Stage(Protocol):
    """A frozen dataclass; calling it changes nothing and returns the weights that it replaces."""

    name: ClassVar[str]

    def __call__(self, artifact: Artifact, context: Context) -> Outcome:
        """Compute new encodings for some weights."""


def apply(stage: Stage, artifact: Artifact, context: Context) -> Artifact:
    """Run a stage, check that names and shapes are the config's, and write the history."""
    outcome = stage(artifact, context)
    config = outcome.config or artifact.config
    weights = {**artifact.weights, **outcome.weights}
    try:
        check_shapes(config, {name: encoding.shape for name, encoding in weights.items()})
    except CheckpointError as error:
        raise StageError(f"{stage.name}: {error}; this is a bug in the stage") from error
    changed = replace(artifact, config=config, weights=weights)
    return changed.with_step(Step(stage.name, plain(stage), dict(outcome.summary)))


def matching(patterns: Iterable[str], artifact: Artifact) -> list[str]:
    """Names that any of the glob patterns match; a pattern without a match is a StageError."""
    names = sorted(artifact.weights)
    patterns = list(patterns)
    useless = [p for p in patterns if not any(fnmatchcase(n, p) for n in names)]
    if useless:
        raise StageError(
            f"expected patterns that match weights, got none for {', '.join(map(repr, useless))}; "
            f"names look like {names[0]!r} and {names[-1]!r}"
        )
    return [n for n in names if any(fnmatchcase(n, p) for p in patterns)]
