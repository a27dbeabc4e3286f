"""Which point of a grid a value takes when points that are rare in the file cost more bits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from litecompress.entropy.code_length import SQUARED_STEPS_PER_BIT


class Thresholds(nn.Module):
    """Between any two neighbours q and q + 1 of a grid, where the choice turns.

    q has the cost (x - q)^2 + SQUARED_STEPS_PER_BIT * its code length, by how often each point was
    taken when last counted.
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
        shift = SQUARED_STEPS_PER_BIT / 2 * bits.diff()
        shift = shift.clamp(-0.499, 0.499)  # never as far as the points
        self.between = (middle + shift).float()

    def forward(self, exact: Tensor) -> Tensor:
        """The chosen points, of the same shape and type."""
        return torch.bucketize(exact, self.between).to(exact.dtype) + self.low
