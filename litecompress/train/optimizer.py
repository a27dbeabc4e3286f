"""Optimizers, as recipes name them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Adam:
    """Adam with decoupled weight decay (arXiv:1412.6980, arXiv:1711.05101)."""

    kind: Literal["adam"] = "adam"
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer; its rate is set before every update."""
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
        return NagOptimizer(parameters, self.momentum, self.weight_decay)


class NagOptimizer(torch.optim.Optimizer):
    """v' = m c v - r g;  p' = p + m v' - r g  with rate r and c = r over the previous rate."""

    def __init__(
        self, parameters: Iterable[nn.Parameter], momentum: float, weight_decay: float
    ) -> None:
        defaults = {"lr": 0.0, "momentum": momentum, "weight_decay": weight_decay, "last_rate": 0.0}
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update."""
        del closure
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group)
            group["last_rate"] = group["lr"]

    def _move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        rate, last, state = group["lr"], group["last_rate"], self.state[parameter]
        if "velocity" not in state:
            state["velocity"] = torch.zeros_like(parameter)
        velocity: Tensor = state["velocity"]
        velocity.mul_(group["momentum"] * (rate / last if last else 1.0)).sub_(rate * gradient)
        parameter.mul_(1 - rate * group["weight_decay"])
        parameter.add_(velocity, alpha=group["momentum"]).sub_(rate * gradient)
