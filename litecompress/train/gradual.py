"""Gradual pruning: sparsity rises along a cubic while the model trains (arXiv:1710.01878)."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from litecompress.errors import StageError


@dataclass(frozen=True)
class Gradual:
    """From `initial` to `sparsity` within the first `updates`, in steps of `every`."""

    sparsity: float
    updates: int
    initial: float = 0.0
    every: int = 50
    targets: tuple[str, ...] = ("*.weight",)

    def __post_init__(self) -> None:
        if not 0 <= self.initial <= self.sparsity < 1 or self.updates < 1 or self.every < 1:
            raise StageError(
                "gradual: expected 0 <= initial <= sparsity < 1, updates and every of at least 1, "
                f"got {self.initial}, {self.sparsity}, {self.updates} and {self.every}"
            )

    def sparsity_at(self, update: int) -> float:
        """Fraction of zeros at an update, counted from 1."""
        left = max(0.0, 1 - (update - 1) / self.updates)
        return self.sparsity + (self.initial - self.sparsity) * left**3

    def due(self, update: int) -> bool:
        """Whether weights are pruned before this update."""
        last = update == self.updates + 1
        return last or (update <= self.updates and (update - 1) % self.every == 0)

    def matches(self, name: str) -> bool:
        """Whether a weight is meant."""
        return any(fnmatchcase(name, pattern) for pattern in self.targets)
