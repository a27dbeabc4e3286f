"""R-Drop (arXiv:2106.14448): two passes with other dropout shall give the same distribution."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from litecompress.train.loss import slice_rows


def consistent_cross_entropy(
    features: Tensor, table: Tensor, target: Tensor, smoothing: float, weight: float
) -> tuple[Tensor, Tensor]:
    """Sums over N tokens of the smoothed cross-entropy plus `weight` times the divergence, and nll.

    `features` (2N, D) are of one pass and then of the other, `target` (N,). Cross-entropy and nll
    are means of both passes; the divergence is the mean of both Kullback-Leibler divergences,
    halved. With the weight a this is half of the paper's loss for its alpha a.
    """
    found: tuple[Tensor, Tensor] = _Consistent.apply(  # type: ignore[no-untyped-call]
        features, table, target, smoothing, weight
    )
    return found


class _Consistent(torch.autograd.Function):
    """Loss and gradient in one pass over each slice of logits, as in `loss.py`."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, table: Tensor, target: Tensor, smoothing: float, weight: float
    ) -> tuple[Tensor, Tensor]:
        d_features, d_table = torch.empty_like(features), torch.zeros_like(table)
        rows = max(1, slice_rows(features, table) // 2)
        sums = torch.zeros(2, device=features.device)
        for start in range(0, len(target), rows):
            y = target[start : start + rows, None]
            first = torch.arange(start, start + len(y), device=features.device)
            both = torch.cat([first, first + len(target)])
            x = features[both]
            logits = F.linear(x, table).float()  # (2n, V)
            found, d_logits = _slice(logits, y, smoothing, weight)
            sums += found
            d_features[both] = d_logits.to(x.dtype) @ table.to(x.dtype)
            d_table.add_(d_logits.to(x.dtype).t() @ x)
        ctx.save_for_backward(d_features, d_table)
        loss, nll = sums.unbind()
        ctx.mark_non_differentiable(nll)
        return loss, nll

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        d_features, d_table = ctx.saved_tensors
        return d_features * grads[0], d_table * grads[0], None, None, None


def _slice(
    logits: Tensor, target: Tensor, smoothing: float, weight: float
) -> tuple[Tensor, Tensor]:
    """Sums (2,) of loss and nll for logits (2n, V) and target (n, 1), and d loss / d logits."""
    log = logits.log_softmax(dim=1)
    y = target.repeat(2, 1)
    nll = -log.gather(1, y).sum() / 2
    smooth = -log.mean(dim=1).sum() / 2 if smoothing else log.new_zeros(())
    one, other = log.chunk(2)
    p, q = log.exp().chunk(2)
    apart = one - other  # log of the ratio (n, V)
    forth, back = (p * apart).sum(1, keepdim=True), -(q * apart).sum(1, keepdim=True)
    loss = (1 - smoothing) * nll + smoothing * smooth + weight / 4 * (forth + back).sum()
    d_p = p * (apart - forth) + (p - q)
    d_q = q * (-apart - back) + (q - p)
    d_logits = torch.cat([p, q]) / 2
    if smoothing:
        d_logits -= smoothing / 2 / logits.shape[1]
    d_logits.scatter_add_(1, y, d_logits.new_full(y.shape, (smoothing - 1) / 2))
    d_logits += weight / 4 * torch.cat([d_p, d_q])
    return torch.stack([loss, nll]), d_logits
