"""Label-smoothed cross-entropy of an output table, a slice of rows at a time."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

SLICE_LOGITS = 2**21  # logits held at once: few enough for a processor's cache


class _TableCrossEntropy(torch.autograd.Function):
    """Loss and gradient in one pass over each slice of logits, which are never all in memory."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, table: Tensor, target: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        d_features = torch.empty_like(features)  # (N, D)
        d_table = torch.zeros_like(table)  # (V, D)
        loss, nll = _sums(features, table, target, smoothing, (d_features, d_table))
        ctx.save_for_backward(d_features, d_table)
        ctx.mark_non_differentiable(nll)
        return loss, nll

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        d_features, d_table = ctx.saved_tensors
        return d_features * grads[0], d_table * grads[0], None, None


def _sums(
    features: Tensor,
    table: Tensor,
    target: Tensor,
    smoothing: float,
    gradients: tuple[Tensor, Tensor] | None,
) -> tuple[Tensor, Tensor]:
    """Loss and nll summed over N tokens; d loss / d features and d table go into `gradients`."""
    rows = max(1, (SLICE_LOGITS if features.device.type == "cpu" else 2**27) // table.shape[0])
    loss = nll = features.new_zeros((), dtype=torch.float32)
    for start in range(0, len(target), rows):
        x, y = features[start : start + rows], target[start : start + rows, None]
        logits = F.linear(x, table).float()  # (n, V)
        log_sum = logits.logsumexp(dim=1, keepdim=True)
        right = (log_sum - logits.gather(1, y)).sum()
        nll = nll + right
        loss = loss + (1 - smoothing) * right
        if smoothing:
            loss = loss + smoothing * (log_sum[:, 0] - logits.mean(dim=1)).sum()
        if gradients is not None:
            d_logits = logits.sub_(log_sum).exp_()
            if smoothing:
                d_logits.sub_(smoothing / table.shape[0])
            d_logits.scatter_add_(1, y, d_logits.new_full(y.shape, smoothing - 1))
            d_logits = d_logits.to(x.dtype)
            gradients[0][start : start + rows] = d_logits @ table.to(x.dtype)
            gradients[1].add_(d_logits.t() @ x)
    return loss, nll


def table_cross_entropy(
    features: Tensor, table: Tensor, target: Tensor, smoothing: float
) -> tuple[Tensor, Tensor]:
    """Sums over N tokens of (1-e) nll + e/V sum(-log p) (arXiv:1512.00567 sec. 7), and of nll.

    `features` (N, D) and the output table (V, D) give the logits. Where gradients are wanted they
    are computed along with the loss (as in arXiv:2410.10989 sec. 3.2).
    """
    if not torch.is_grad_enabled():
        return _sums(features, table, target, smoothing, None)
    found: tuple[Tensor, Tensor] = _TableCrossEntropy.apply(features, table, target, smoothing)  # type: ignore[no-untyped-call]
    return found
