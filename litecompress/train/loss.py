"""Label-smoothed cross-entropy of an output table, a slice of rows at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

SLICE_LOGITS = 2**21  # logits held at once: few enough for a processor's cache


class Teaching(NamedTuple):
    """A teacher's features (N, D') and output table (V, D'), and its `share` of the target.

    The target of a token is (1 - share) of the smoothed reference and `share` of the teacher's
    distribution (arXiv:1503.02531, temperature 1).
    """

    features: Tensor
    table: Tensor
    share: float


class _TableCrossEntropy(torch.autograd.Function):
    """Loss and gradient in one pass over each slice of logits, which are never all in memory."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        table: Tensor,
        target: Tensor,
        smoothing: float,
        teacher: Teaching | None,
    ) -> tuple[Tensor, Tensor]:
        d_features = torch.empty_like(features)  # (N, D)
        d_table = torch.zeros_like(table)  # (V, D)
        found = _sums(features, table, target, smoothing, teacher, (d_features, d_table))
        ctx.save_for_backward(d_features, d_table)
        ctx.mark_non_differentiable(found[1])
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        d_features, d_table = ctx.saved_tensors
        return d_features * grads[0], d_table * grads[0], None, None, None


def _sums(
    features: Tensor,
    table: Tensor,
    target: Tensor,
    smoothing: float,
    teacher: Teaching | None,
    gradients: tuple[Tensor, Tensor] | None,
) -> tuple[Tensor, Tensor]:
    """Loss and nll summed over N tokens; d loss / d features and d table go into `gradients`."""
    rows = slice_rows(features, table)
    loss = nll = features.new_zeros((), dtype=torch.float32)
    for start in range(0, len(target), rows):
        part = slice(start, start + rows)
        x, y = features[part], target[part, None]
        logits = F.linear(x, table).float()  # (n, V)
        log_sum = logits.logsumexp(dim=1, keepdim=True)
        nll = nll + (log_sum - logits.gather(1, y)).sum()
        wanted = None if teacher is None else _taught(teacher, part)
        loss = loss + _loss(logits, log_sum, y, smoothing, wanted, teacher)
        if gradients is not None:
            d_logits = logits.sub_(log_sum).exp_()
            own = 1.0 if teacher is None else 1 - teacher.share
            if smoothing:
                d_logits.sub_(own * smoothing / table.shape[0])
            d_logits.scatter_add_(1, y, d_logits.new_full(y.shape, own * (smoothing - 1)))
            if wanted is not None:
                d_logits.sub_(wanted)
            d_logits = d_logits.to(x.dtype)
            gradients[0][part] = d_logits @ table.to(x.dtype)
            gradients[1].add_(d_logits.t() @ x)
    return loss, nll


def slice_rows(features: Tensor, table: Tensor) -> int:
    """How many tokens' logits are held at once."""
    most = SLICE_LOGITS if features.device.type == "cpu" else 2**27
    return max(1, most // table.shape[0])


def _taught(teacher: Teaching, part: slice) -> Tensor:
    """The teacher's share of the target (n, V)."""
    logits = F.linear(teacher.features[part], teacher.table).float()
    return logits.softmax(dim=1).mul_(teacher.share)


def _loss(
    logits: Tensor,
    log_sum: Tensor,
    target: Tensor,
    smoothing: float,
    wanted: Tensor | None,
    teacher: Teaching | None,
) -> Tensor:
    """Cross-entropy of (n, V) logits to the smoothed reference and what the teacher wants."""
    loss = (1 - smoothing) * (log_sum - logits.gather(1, target)).sum()
    if smoothing:
        loss = loss + smoothing * (log_sum[:, 0] - logits.mean(dim=1)).sum()
    if wanted is None or teacher is None:
        return loss
    return (1 - teacher.share) * loss + (wanted * (log_sum - logits)).sum()


def table_cross_entropy(
    features: Tensor,
    table: Tensor,
    target: Tensor,
    smoothing: float,
    teacher: Teaching | None = None,
) -> tuple[Tensor, Tensor]:
    """Sums over N tokens of (1-e) nll + e/V sum(-log p) (arXiv:1512.00567 sec. 7), and of nll.

    `features` (N, D) and the output table (V, D) give the logits. Where gradients are wanted they
    are computed along with the loss (as in arXiv:2410.10989 sec. 3.2).
    """
    if not torch.is_grad_enabled():
        return _sums(features, table, target, smoothing, teacher, None)
    found: tuple[Tensor, Tensor] = _TableCrossEntropy.apply(  # type: ignore[no-untyped-call]
        features, table, target, smoothing, teacher
    )
    return found
