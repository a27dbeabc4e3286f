"""Magnitude pruning: the smallest weights become zeros (arXiv:1506.02626)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from litecompress.artifact import Artifact
from litecompress.encoding import Dense, Sparse, is_floating_point, sparsity
from litecompress.errors import StageError
from litecompress.masks import Mask, largest_of_neighbours, magnitude_mask
from litecompress.stages.base import Context, Outcome, matching

_PATTERN = re.compile(r"([1-9]\d*):([1-9]\d*)")


@dataclass(frozen=True)
class Prune:
    """Set weights of the matched matrices to zero, smallest magnitude first.

    How many, exactly one of these says: `sparsity`, a fraction, of each tensor or over all of them
    together (`scope: global`); `sensitivity` s, every weight below s standard deviations of its
    tensor (arXiv:1506.02626 sec. 3); `pattern` N:M, all but the N largest of M neighbours in a
    row (arXiv:2104.08378). Vectors are left alone and listed as skipped. Lightweight kernels are
    softmax scores, of which a zero saves nothing, so the default pattern passes them by.
    """

    name: ClassVar[str] = "prune"
    sparsity: float | None = None
    sensitivity: float | None = None
    pattern: str | None = None
    scope: Literal["per_tensor", "global"] = "per_tensor"
    targets: tuple[str, ...] = ("*.weight",)
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ways = (self.sparsity, self.sensitivity, self.pattern)
        if sum(way is not None for way in ways) != 1:
            raise StageError(
                "prune: expected one of sparsity, sensitivity and pattern, got "
                f"{', '.join(map(str, ways))}"
            )
        if self.sparsity is not None and not 0 <= self.sparsity < 1:
            raise StageError(f"prune: expected a sparsity in [0, 1), got {self.sparsity}")
        if self.sensitivity is not None and not 0 <= self.sensitivity < 10:
            raise StageError(f"prune: expected a sensitivity in [0, 10), got {self.sensitivity}")
        if self.pattern is not None:
            kept, group = _kept_of(self.pattern)
            if kept >= group:
                raise StageError(f"prune: expected to keep fewer than all, got {self.pattern}")
        if self.scope == "global" and self.sparsity is None:
            raise StageError("prune: expected a sparsity with scope global, got none")

    def __call__(self, artifact: Artifact, context: Context) -> Outcome:
        left_out = set(matching(self.exclude, artifact))
        names = [n for n in matching(self.targets, artifact) if n not in left_out]
        skipped = {n: "vector" for n in names if len(artifact.weights[n].shape) < 2}
        before = {n: _pruned_so_far(n, artifact) for n in names if n not in skipped}
        if not before:
            raise StageError(
                f"prune: expected matrices to prune, got none or only vectors for targets "
                f"{list(self.targets)} without {list(self.exclude)}; widen `targets`"
            )
        pruned = self._pruned(before)
        zeros = sum(sparsity(e) * prod(e.shape) for e in pruned.values())
        total = sum(prod(e.shape) for e in pruned.values())
        return Outcome(
            pruned,
            {"tensors": len(pruned), "sparsity": round(zeros / total, 6), "skipped": skipped},
        )

    def _pruned(self, before: Mapping[str, Dense | Sparse]) -> dict[str, Sparse]:
        """What survives of every weight; what was zero by a mask before stays zero."""
        if self.scope == "global" and self.sparsity is not None:
            weights = {n: encoding.decode() for n, encoding in before.items()}
            known = {n: mask_of(encoding) for n, encoding in before.items()}
            masks = _global_masks(weights, known, self.sparsity)
            return {n: Sparse(mask, Dense(weights[n][mask])) for n, mask in masks.items()}
        pruned = {}
        for name, encoding in before.items():  # one by one, and nothing twice: tables are large
            weight = _float32(encoding)
            mask = self._mask(weight, mask_of(encoding))
            pruned[name] = Sparse(mask, Dense(weight[mask]))
        return pruned

    def _mask(self, weight: NDArray[np.float32], before: Mask) -> Mask:
        if self.sensitivity is not None:
            threshold = self.sensitivity * weight[before].std() if before.any() else 0.0
            return before & (np.abs(weight) >= threshold)
        if self.pattern is not None:
            return before & largest_of_neighbours(weight, *_kept_of(self.pattern))
        assert self.sparsity is not None
        return magnitude_mask(weight, before, self.sparsity)


def mask_of(encoding: Dense | Sparse) -> Mask:
    """Where a weight is not zero by a mask."""
    return encoding.mask if isinstance(encoding, Sparse) else np.ones(encoding.shape, bool)


def _float32(encoding: Dense | Sparse) -> NDArray[np.float32]:
    """The weight, to be read only; without a copy where it is stored so."""
    if isinstance(encoding, Dense) and encoding.values.dtype == np.float32:
        return encoding.values
    return encoding.decode()


def _global_masks(
    weights: Mapping[str, NDArray[np.float32]], before: Mapping[str, Mask], sparsity: float
) -> dict[str, Mask]:
    """One threshold for all tensors."""
    flat = np.concatenate([w.reshape(-1) for w in weights.values()])
    known = np.concatenate([before[name].reshape(-1) for name in weights])
    mask = magnitude_mask(flat, known, sparsity)
    ends = np.cumsum([w.size for w in weights.values()])[:-1]
    parts = zip(weights.items(), np.split(mask, ends), strict=True)
    return {name: part.reshape(weight.shape) for (name, weight), part in parts}


def _pruned_so_far(name: str, artifact: Artifact) -> Dense | Sparse:
    """The weight, which must still be in floating point."""
    encoding = artifact.weights[name]
    if not isinstance(encoding, Dense | Sparse) or not is_floating_point(encoding):
        raise StageError(
            f"prune: expected {name} in floating point, got a "
            f"{type(encoding).__name__.lower()} of quantized values; prune before quantize"
        )
    return encoding


def _kept_of(pattern: str) -> tuple[int, int]:
    """N and M of `N:M`."""
    match = _PATTERN.fullmatch(pattern)
    if match is None:
        raise StageError(f"prune: expected a pattern N:M such as 2:4, got {pattern!r}")
    return int(match[1]), int(match[2])
