"""What training text tells of each weight: how the loss bends, and what the weight multiplies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from litecompress.artifact import Artifact
from litecompress.corpus import TrainingText
from litecompress.model.build import from_weights
from litecompress.train.calibration import calibration_examples
from litecompress.train.curvature import curvatures
from litecompress.train.input_moments import input_moments


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """Of one weight: the diagonal Fisher information, in its shape, in nats a token.

    And the `moments` (C, C) of a matrix's inputs, where it multiplies any.
    """

    fisher: NDArray[np.float32]
    moments: NDArray[np.float32] | None


def text_sensitivities(
    artifact: Artifact, text: TrainingText, lines: int, names: Sequence[str]
) -> dict[str, Sensitivity]:
    """Of each tensor, on so many lines of the training split."""
    examples = calibration_examples(artifact, text, lines)
    network = from_weights(artifact.config, artifact.decode())
    moments = input_moments(network, examples)
    found = curvatures(network, examples, names, lambda *_: None)
    return {name: Sensitivity(found[name].fisher, moments.get(name)) for name in names}
