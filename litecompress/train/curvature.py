"""How the loss bends around the trained weights: its gradient and diagonal Fisher information."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from litecompress.batches import Batch, Example
from litecompress.model.build import Network
from litecompress.train.objective import Objective

Told = Callable[[str, int, int], None]  # what, how many are done, of how many


@dataclass(frozen=True)
class Curvature:
    """Of one tensor: the mean gradient a token, and the mean of its square (empirical Fisher).

    The negative log-likelihood has the Fisher information as its Hessian's expectation, of which
    this is the diagonal (arXiv:1412.1193).
    """

    gradient: NDArray[np.float32]
    fisher: NDArray[np.float32]

    def orders(self, change: NDArray[np.float32]) -> tuple[float, float]:
        """First and second term, in nats a token, of what a change of the weights does."""
        first = np.vdot(self.gradient.astype(np.float64), change)
        second = np.vdot(self.fisher.astype(np.float64), change.astype(np.float64) ** 2) / 2
        return float(first), float(second)


def curvatures(
    network: Network, examples: Sequence[Example], names: Sequence[str], told: Told
) -> dict[str, Curvature]:
    """The curvature of each tensor; gradients are squared summed over an example's tokens."""
    objective = Objective(network.config, label_smoothing=0.0).eval()
    objective.network = network
    weights = dict(network.named_parameters())
    chosen = [weights[name] for name in names]
    sums = [torch.zeros_like(w) for w in chosen]
    squares = [torch.zeros_like(w) for w in chosen]
    tokens = 0
    for done, example in enumerate(examples):
        told("gradients", done, len(examples))
        batch = Batch.of([example])
        loss, _ = objective(batch)
        gradients = torch.autograd.grad(loss, chosen, allow_unused=True)
        for gradient, total, square in zip(gradients, sums, squares, strict=True):
            if gradient is not None:
                total.add_(gradient)
                square.addcmul_(gradient, gradient)
        tokens += batch.tokens
    means = [[(t / tokens).numpy() for t in of] for of in (sums, squares)]
    return {n: Curvature(g, f) for n, g, f in zip(names, *means, strict=True)}
