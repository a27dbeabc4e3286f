"""From arrays to a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from litecompress.model.config import ModelConfig
from litecompress.model.shapes import check_shapes

Network = TypeVar("Network", bound=nn.Module)


def load_weights(
    network: Network, config: ModelConfig, weights: Mapping[str, NDArray[np.float32]]
) -> Network:
    """The network with these weights, in evaluation mode; misfits are a CheckpointError."""
    check_shapes(config, {name: w.shape for name, w in weights.items()})
    network.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
    return network.eval()
