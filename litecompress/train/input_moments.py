"""What the matrices of a network are multiplied with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from litecompress.batches import Batch, Example
from litecompress.model.build import Network
from litecompress.train.objective import Objective

Moments = NDArray[np.float32]


@torch.no_grad()
def input_moments(network: Network, examples: Sequence[Example]) -> dict[str, Moments]:
    """By the name of each weight (R, C): the mean of x x^T, (C, C), over its inputs x.

    Of linear layers and of the output table; what never had an input is left out.
    """
    objective = Objective(network.config, label_smoothing=0.0).eval()
    objective.network = network
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def note(name: str, x: Tensor) -> None:
        x = x.reshape(-1, x.shape[-1])
        sums[name] = sums.get(name, 0) + x.mT @ x
        counts[name] = counts.get(name, 0) + len(x)

    layers = {n: m for n, m in network.named_modules() if isinstance(m, nn.Linear)}
    hooks = [m.register_forward_pre_hook(_hook(f"{n}.weight", note)) for n, m in layers.items()]
    table = objective.table_name
    for example in examples:  # one at a time: no padding
        features = objective.features(Batch.of([example]))
        if table is not None:
            note(table, features)
    for hook in hooks:
        hook.remove()
    return {name: (total / counts[name]).numpy() for name, total in sums.items()}


def _hook(
    name: str, note: Callable[[str, Tensor], None]
) -> Callable[[nn.Module, tuple[Tensor]], None]:
    return lambda _, inputs: note(name, inputs[0])
