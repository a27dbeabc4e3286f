"""Lightweight and dynamic convolution (arXiv:1901.10430 sec. 3), the two forms that we compute.

Both give y_t = sum_k softmax(logits)_k x_{t - left + k}, zero outside the sequence; the softmax is
over all K taps, so weights that fall outside are lost, not renormalised. Channels are divided
into H heads that share a kernel: channel c uses head c // (C/H).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def convolve_band(x: Tensor, taps: Tensor, left: int) -> Tensor:
    """Convolve a whole sequence as one T x T band matrix a head; the fast form for training.

    x is (B, T, C); taps, after the softmax, is (H, K), or (B, T, H, K) when predicted a position.
    """
    B, T, C = x.shape
    H, K = taps.shape[-2:]
    position = torch.arange(T, device=x.device)
    tap = position[None, :] - position[:, None] + left  # (T, T): tap k that output t puts on s
    inside = (tap >= 0) & (tap < K)
    tap = tap.clamp(0, K - 1)
    heads = x.view(B, T, H, C // H)
    if taps.dim() == 2:
        band = taps[:, tap] * inside  # (H, T, T)
        return torch.einsum("hts,bshr->bthr", band, heads).reshape(B, T, C)
    taps = taps.transpose(1, 2)  # (B, H, T, K)
    band = taps.gather(3, tap.expand(B, H, T, T)) * inside  # (B, H, T, T)
    return (band @ heads.transpose(1, 2)).transpose(1, 2).reshape(B, T, C)


def convolve_valid(x: Tensor, logits: Tensor) -> Tensor:
    """Convolve a padded sequence by gathering windows; the form that every export target takes.

    x is (B, T+K-1, C); logits, before the softmax, is (H, K) or (B, T, H, K); returns (B, T, C).
    """
    B, padded, C = x.shape
    H, K = logits.shape[-2:]
    T = padded - K + 1
    window = torch.arange(T, device=x.device)[:, None] + torch.arange(K, device=x.device)
    windows = x[:, window].view(B, T, K, H, C // H)
    taps = F.softmax(logits, dim=-1).transpose(-1, -2).unsqueeze(-1)  # (.., K, H, 1)
    return (windows * taps).sum(dim=2).reshape(B, T, C)
