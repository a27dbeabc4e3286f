"""Magnitude pruning: the smallest weights of each tensor become zeros (arXiv:1506.02626)."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from litecompress.artifact import Artifact
from litecompress.encoding import Dense, Sparse, sparsity
from litecompress.errors import StageError
from litecompress.stages.base import Context, Outcome, matching


@dataclass(frozen=True)
class Prune:
    """Set the fraction `sparsity` of each matched matrix to zero, smallest magnitude first.

    Vectors are left alone and listed as skipped. Lightweight kernels are softmax scores, of which
    a zero saves nothing, so the default pattern passes them by.
    """

    name: ClassVar[str] = "prune"
    sparsity: float
    targets: tuple[str, ...] = ("*.weight",)
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.sparsity < 1:
            raise StageError(f"prune: expected a sparsity in [0, 1), got {self.sparsity}")

    def __call__(self, artifact: Artifact, context: Context) -> Outcome:
        left_out = set(matching(self.exclude, artifact))
        names = [n for n in matching(self.targets, artifact) if n not in left_out]
        skipped = {n: "vector" for n in names if len(artifact.weights[n].shape) < 2}
        pruned = {}
        for name in (n for n in names if n not in skipped):
            encoding = artifact.weights[name]
            if not isinstance(encoding, (Dense, Sparse)) or not _is_dense(encoding):
                raise StageError(
                    f"prune: expected {name} in floating point, got a "
                    f"{type(encoding).__name__.lower()} of quantized values; prune before quantize"
                )
            already = round(sparsity(encoding) * prod(encoding.shape))
            pruned[name] = magnitude_pruned(encoding.decode(), self.sparsity, already)
        if not pruned:
            raise StageError(
                f"prune: expected matrices to prune, got none or only vectors for targets "
                f"{list(self.targets)} without {list(self.exclude)}; widen `targets`"
            )
        zeros = sum(sparsity(e) * e.mask.size for e in pruned.values())
        total = sum(e.mask.size for e in pruned.values())
        return Outcome(
            pruned,
            {"tensors": len(pruned), "sparsity": round(zeros / total, 6), "skipped": skipped},
        )


def magnitude_pruned(weight: NDArray[np.float32], sparsity: float, already: int = 0) -> Sparse:
    """Zero exactly floor(sparsity * size) weights, `already` or more; of equals the later stay."""
    count = max(int(sparsity * weight.size), already)
    order = np.argsort(np.abs(weight), axis=None, kind="stable")
    mask = np.ones(weight.size, bool)
    mask[order[:count]] = False
    survivors = weight.reshape(-1)[mask]
    return Sparse(mask.reshape(weight.shape), Dense(survivors))


def _is_dense(encoding: Dense | Sparse) -> bool:
    return isinstance(encoding, Dense) or isinstance(encoding.values, Dense)
