"""Label-smoothed cross-entropy and token negative log-likelihood."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _SmoothedCrossEntropy(torch.autograd.Function):
    """Its gradient in closed form, softmax minus target, spares passes over (N, V)."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, smoothing: float) -> Tensor:
        log_probs = torch.log_softmax(logits, dim=-1)  # (N, V)
        ctx.save_for_backward(log_probs, target)
        ctx.smoothing = smoothing
        nll = -log_probs.gather(1, target[:, None]).sum()
        return (1 - smoothing) * nll - smoothing * log_probs.mean(dim=1).sum()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        log_probs, target = ctx.saved_tensors
        gradient = log_probs.exp_().sub_(ctx.smoothing / log_probs.shape[1])  # (N, V)
        gradient[torch.arange(len(target), device=target.device), target] -= 1 - ctx.smoothing
        return gradient.mul_(grads[0]), None, None


def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float) -> Tensor:
    """Sum over N tokens of (1-e) nll + e/V sum(-log p) (arXiv:1512.00567 sec. 7); logits (N, V)."""
    loss: Tensor = _SmoothedCrossEntropy.apply(logits, target, smoothing)  # type: ignore[no-untyped-call]
    return loss
