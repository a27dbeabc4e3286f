"""Token and position embeddings."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from litecompress.model.config import PAD_ID


def positions(tokens: Tensor) -> Tensor:
    """Position of each token (B, T), counted from 2 past any padding; padding itself has PAD_ID."""
    real = (tokens != PAD_ID).long()
    return real.cumsum(dim=1) * real + PAD_ID


def sinusoids(position: Tensor, dim: int) -> Tensor:
    """Position embedding [sin(p f) | cos(p f)], f_i = 10000^(-i/(dim/2-1)); zero where p is PAD.

    Positions count from PAD_ID + 1 = 2, as in tensor2tensor; (..) becomes (.., dim).
    """
    half = dim // 2
    rates = torch.exp(torch.arange(half, device=position.device) * -(math.log(1e4) / (half - 1)))
    angle = position.unsqueeze(-1).float() * rates  # (.., dim/2)
    table = torch.cat([angle.sin(), angle.cos()], dim=-1)  # (.., dim)
    return table * (position != PAD_ID).unsqueeze(-1).float()


def lookup_table(rows: int, dim: int) -> nn.Embedding:
    """An embedding of N(0, 1/dim), zero for padding."""
    table = nn.Embedding(rows, dim, padding_idx=PAD_ID)
    nn.init.normal_(table.weight, std=dim**-0.5)
    nn.init.zeros_(table.weight[PAD_ID].detach())
    return table
