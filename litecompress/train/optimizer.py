"""Optimizers, as recipes name them; torch is imported when one is built."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Adam:
    """Adam with decoupled weight decay (arXiv:1412.6980, arXiv:1711.05101)."""

    kind: Literal["adam"] = "adam"
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer; its rate is set before every update."""
        import torch

        return torch.optim.AdamW(
            parameters, betas=self.betas, eps=self.eps, weight_decay=self.weight_decay, fused=True
        )


@dataclass(frozen=True)
class Nag:
    """Nesterov's accelerated gradient, the momentum rescaled when the rate changes."""

    kind: Literal["nag"] = "nag"
    momentum: float = 0.99
    weight_decay: float = 0.0

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer; its rate is set before every update."""
        from litecompress.train.nag import NagOptimizer

        return NagOptimizer(parameters, self.momentum, self.weight_decay)
