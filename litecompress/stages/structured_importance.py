"""How much each channel within a branch matters, from its weights alone or from text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from litecompress.batches import Batch, Example, batches
from litecompress.model.build import Network
from litecompress.train.objective import Objective

BATCH_TOKENS = 2048
Importance = dict[str, NDArray[np.float32]]


@torch.no_grad()
def magnitude(outgoing: Mapping[str, nn.Linear]) -> Importance:
    """The sum of squares of the weights through which a channel reaches the residual sum.

    With channels alike in size and independent this is the squared error of leaving one out.
    """
    return {name: linear.weight.square().sum(0).numpy() for name, linear in outgoing.items()}


def taylor(
    network: Network, outgoing: Mapping[str, nn.Linear], examples: Sequence[Example]
) -> Importance:
    """The squared change of an example's loss, to first order, where a channel is left out.

    Summed over examples (arXiv:1906.10771 sec. 3, a gate on each channel).
    """
    objective = Objective(network.config, label_smoothing=0.0).eval()
    objective.network = network
    sums = {name: torch.zeros(linear.in_features) for name, linear in outgoing.items()}
    seen: dict[str, Tensor] = {}
    hooks = [
        linear.register_forward_pre_hook(_noting(name, seen)) for name, linear in outgoing.items()
    ]
    for group in batches(examples, BATCH_TOKENS, np.random.default_rng(0)):
        loss, _ = objective(Batch.of([examples[i] for i in group]))
        gradients = torch.autograd.grad(loss, list(seen.values()))
        for (name, x), gradient in zip(seen.items(), gradients, strict=True):
            change = (x * gradient).sum(dim=1)  # (B, C)
            sums[name] += change.detach().square().sum(dim=0)
    for hook in hooks:
        hook.remove()
    return {name: total.numpy() for name, total in sums.items()}


def _noting(name: str, seen: dict[str, Tensor]) -> Callable[[nn.Module, tuple[Tensor]], None]:
    """A hook that keeps what a layer is given."""

    def note(_: nn.Module, inputs: tuple[Tensor]) -> None:
        seen[name] = inputs[0]

    return note
