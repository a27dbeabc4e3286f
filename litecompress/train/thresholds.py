"""Which point of a grid a value takes when points that are rare in the file cost more bits."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

BITS = math.log(2) / 6  # squared steps that a bit is worth: as for a fine grid, see stages/rdo.py


class Thresholds(nn.Module):
    """Between any two neighbours q and q + 1 of a grid, where the choice turns.

    q has the cost (x - q)^2 + BITS * its code length, by how often each point was taken when last
    counted.
    """

    between: Tensor

    def __init__(self, values: Tensor, low: int, high: int) -> None:
        super().__init__()
        self.low, self.high = low, high
        self.register_buffer("between", torch.zeros(high - low))
        self.count(values)

    def count(self, points: Tensor) -> None:
        """Take the frequencies from these points of the grid."""
        index = (points.detach() - self.low).long().flatten()
        counts = torch.bincount(index, minlength=self.high - self.low + 1).double() + 0.5
        bits = -counts.log2()  # and the same for all
        middle = torch.arange(self.low, self.high, device=points.device) + 0.5
        shift = (BITS / 2 * bits.diff()).clamp(-0.499, 0.499)  # never as far as the points
        self.between = (middle + shift).float()

    def forward(self, exact: Tensor) -> Tensor:
        """The chosen points, of the same shape and type."""
        return torch.bucketize(exact, self.between).to(exact.dtype) + self.low
