"""Quantization and pruning at once, by what each weight matters and what its symbol costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from litecompress.artifact import Artifact
from litecompress.artifact_file import dump_artifact
from litecompress.corpus import TrainingText
from litecompress.cost import component
from litecompress.encoding import Affine, Bands, Dense, Encoding, is_floating_point
from litecompress.errors import StageError
from litecompress.stages.base import Context, Outcome, matching
from litecompress.stages.compensation import compensated, rise
from litecompress.stages.half_precision import half_precision
from litecompress.stages.rdo import rounded

if TYPE_CHECKING:
    from litecompress.train.sensitivity import Sensitivity

OF_WEIGHT, OF_ROW = 0.3, 0.5  # share of the mean that is added to what few sentences show
LEAST_SIZE = 32  # fewer weights than that are not worth a grid
ROUNDS = 16  # of looking for the slope
CLOSE = 0.002  # share of max_bytes that may be left
STEEPNESS = 3.0  # of the slope over the bytes, on logarithmic scales, to begin with
SLOPES = 1e-12, 1e-4  # nats a bit
ROOM_BYTES = 512  # for this step's line of history, which the file will hold too

Weights = NDArray[np.float32]


@dataclass(frozen=True)
class RateDistortion:
    """Round every weight to a uniform grid, its step and its point chosen by rate and distortion.

    Distortion is the second-order rise of the loss, by the diagonal Fisher information from
    `sentences` of the training text (what a weight matters); rate is the symbol's code length in
    the entropy-coded file. All weights share one `slope`, nats a token for a bit, given or found so
    that the artifact takes at most `max_bytes` with everything in. Weights that matter little
    become zero. The rows of look-up and output tables are divided into `bands` by how much they
    matter, which follows the frequency of their tokens, each with a step of its own. A matrix is
    rounded column after column, later ones making good the errors of those before.
    """

    name: ClassVar[str] = "rate_distortion"
    data: TrainingText
    max_bytes: int | None = None
    slope: float | None = None
    sentences: int = 800
    bands: int = 8
    targets: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = []
        if (self.max_bytes is None) == (self.slope is None):
            problems.append("expected either max_bytes or a slope")
        if self.slope is not None and not SLOPES[0] <= self.slope <= SLOPES[1]:
            low, high = SLOPES
            problems.append(f"expected a slope from {low:g} to {high:g}, got {self.slope:g}")
        if self.sentences < 1 or not 1 <= self.bands <= 256:
            problems.append(
                "expected sentences of at least 1 and 1 to 256 bands, "
                f"got {self.sentences} and {self.bands}"
            )
        if problems:
            raise StageError("rate_distortion: " + "; ".join(problems))

    def __call__(self, artifact: Artifact, context: Context) -> Outcome:
        names, skipped = self._names(artifact)
        known = self._sensitivities(artifact, names)
        halves: dict[str, Encoding] = {n: self._half(n, artifact) for n in skipped}
        if self.slope is not None:
            slope, weights = self.slope, self._encoded(artifact, known, self.slope) | halves
        else:
            assert self.max_bytes is not None
            slope, weights = self._within(self.max_bytes, artifact, known, halves)
        loss = sum(_rise(artifact.weights[n], weights[n], known[n]) for n in names)
        return Outcome(
            weights, {"slope": slope, "predicted_loss": round(loss, 6), "skipped": skipped}
        )

    def _names(self, artifact: Artifact) -> tuple[list[str], dict[str, str]]:
        """What is quantized, and what is left in half precision with the reason."""
        left_out = set(matching(self.exclude, artifact))
        names = [n for n in matching(self.targets, artifact) if n not in left_out]
        coded = [n for n in names if not is_floating_point(artifact.weights[n])]
        if coded or not names:
            got = f"{coded[0]}, which is quantized already" if coded else "none"
            raise StageError(
                f"rate_distortion: expected weights in floating point, got {got}; change targets"
            )
        small = [n for n in names if int(np.prod(artifact.weights[n].shape)) < LEAST_SIZE]
        reason = f"fewer than {LEAST_SIZE} weights: half precision"
        return [n for n in names if n not in set(small)], dict.fromkeys(small, reason)

    def _half(self, name: str, artifact: Artifact) -> Dense:
        return Dense(half_precision(artifact.weights[name].decode(), name, self.name))

    def _sensitivities(self, artifact: Artifact, names: list[str]) -> dict[str, Sensitivity]:
        """Of each tensor, made smoother: few sentences do not show every token."""
        from litecompress.train.sensitivity import text_sensitivities

        found = text_sensitivities(artifact, self.data, self.sentences, names)
        smooth = {}
        for name, known in found.items():
            fisher = known.fisher
            if _is_table(name, fisher):
                fisher = fisher + OF_ROW * fisher.mean()
            fisher = (fisher + OF_WEIGHT * fisher.mean()) / (1 + OF_WEIGHT)
            smooth[name] = replace(known, fisher=fisher)
        return smooth

    def _encoded(
        self, artifact: Artifact, known: Mapping[str, Sensitivity], slope: float
    ) -> dict[str, Encoding]:
        return {n: self._one(n, artifact.weights[n].decode(), known[n], slope) for n in known}

    def _one(self, name: str, weight: Weights, known: Sensitivity, slope: float) -> Encoding:
        if not _is_table(name, weight) or self.bands == 1:
            return _on_grid(weight, known.fisher, known.moments, slope)
        matters = known.fisher.mean(axis=1)
        inner = np.quantile(matters, np.arange(1, self.bands) / self.bands)
        band = np.unique(np.searchsorted(inner, matters), return_inverse=True)[1].astype(np.uint8)
        rows = [band == i for i in range(int(band.max()) + 1)]
        return Bands(
            band, tuple(_on_grid(weight[r], known.fisher[r], known.moments, slope) for r in rows)
        )

    def _within(
        self,
        limit: int,
        artifact: Artifact,
        known: Mapping[str, Sensitivity],
        halves: Mapping[str, Encoding],
    ) -> tuple[float, dict[str, Encoding]]:
        """A slope whose file is small enough, and hardly smaller, with its weights."""
        low, high = SLOPES
        slope, size = float(np.sqrt(low * high)), 0
        best: tuple[float, dict[str, Encoding]] | None = None
        for _ in range(ROUNDS):
            weights = self._encoded(artifact, known, slope) | dict(halves)
            size = _file_bytes(artifact, weights) + ROOM_BYTES
            if size <= limit:
                best, high = (slope, weights), slope
            else:
                low = slope
            if limit * (1 - CLOSE) <= size <= limit:
                break
            slope *= (size / limit) ** STEEPNESS
            if not low < slope < high:
                slope = float(np.sqrt(low * high))
        if best is None:
            raise StageError(
                f"rate_distortion: expected max_bytes of at least about {size}, the fewest that "
                f"this stage can reach, got {limit}"
            )
        return best


def _is_table(name: str, weight: Weights) -> bool:
    """Whether the rows of a weight belong to tokens."""
    return weight.ndim == 2 and component(name) in ("embedding", "output")


def _on_grid(weight: Weights, fisher: Weights, moments: Weights | None, slope: float) -> Affine:
    if moments is None:
        found = rounded(weight, fisher, slope)
    else:
        found = compensated(weight, fisher, moments, slope)
    return Affine(found.values, np.array([found.step]), np.zeros(1, np.int8))


def _rise(before: Encoding, after: Encoding, known: Sensitivity) -> float:
    """Second-order rise of the loss, nats a token."""
    change = before.decode() - after.decode()
    if known.moments is not None:
        return rise(change, known.fisher, known.moments)
    return float((known.fisher.astype(np.float64) * change**2).sum() / 2)


def _file_bytes(artifact: Artifact, weights: Mapping[str, Encoding]) -> int:
    return len(dump_artifact(replace(artifact, weights={**artifact.weights, **weights})))
