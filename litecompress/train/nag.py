"""Nesterov's accelerated gradient as the authors' code has it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


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
