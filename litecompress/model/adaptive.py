"""Adaptive input and softmax over a large vocabulary (arXiv:1809.10853, arXiv:1609.04309).

The vocabulary is divided into bands, frequent words first. Band b has a table of width d/4^b and
a projection between it and d; input and output share both. The output first chooses among the
words of band 0 and one class for each other band, then a word of the chosen band.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from litecompress.model.config import ModelConfig
from litecompress.model.dropout import dropout
from litecompress.model.embedding import lookup_table


class Band(nn.Module):
    """The words of one band: a narrow table (n, w) and its projection to d."""

    def __init__(self, rows: int, width: int, embed_dim: int) -> None:
        super().__init__()
        self.table = nn.Embedding(rows, width)
        nn.init.normal_(self.table.weight, std=width**-0.5)
        self.projection = nn.Linear(width, embed_dim, bias=False)
        nn.init.xavier_uniform_(self.projection.weight)

    def forward(self, rows: Tensor) -> Tensor:
        """Embedding (.., d) of rows of this band."""
        return self.projection(self.table(rows))  # type: ignore[no-any-return]

    def logits(self, features: Tensor, p: float) -> Tensor:
        """Scores (N, n) of this band's words for features (N, d); `p` is the dropout within."""
        narrow = F.linear(features, self.projection.weight.t())  # (N, w)
        return F.linear(dropout(narrow, p, self.training), self.table.weight)


class AdaptiveEmbedding(nn.Module):
    """Input embedding and output distribution of an adaptive vocabulary."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed_dim, self.dropout = config.embed_dim, config.adaptive_dropout
        bands = config.adaptive_bands()
        self.bands = nn.ModuleList(Band(n, width, config.embed_dim) for n, width in bands)
        self.starts = [0, *config.adaptive_cutoffs]
        self.ends = [*config.adaptive_cutoffs, config.target_vocab_size]
        self.classes = nn.Linear(config.embed_dim, len(bands) - 1, bias=False)
        nn.init.xavier_uniform_(self.classes.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T) to (B, T, d), not yet scaled."""
        x = self.classes.weight.new_zeros(*tokens.shape, self.embed_dim)
        for band, start, end in zip(self.bands, self.starts, self.ends, strict=True):
            inside = (tokens >= start) & (tokens < end)
            x = x.masked_scatter(inside.unsqueeze(-1), band(tokens[inside] - start).to(x.dtype))
        return x

    def head_logits(self, features: Tensor) -> Tensor:
        """Scores of band 0's words, then of the other bands, for features (.., d)."""
        words = F.linear(features, self.bands[0].table.weight)  # type: ignore[arg-type, union-attr]
        return torch.cat([words, self.classes(features)], dim=-1)

    def log_probs(self, features: Tensor) -> Tensor:
        """Log-probability (.., V) of every word, from features (.., d)."""
        head = F.log_softmax(self.head_logits(features), dim=-1)
        first = self.ends[0]
        parts = [head[..., :first]]
        for i, band in enumerate(list(self.bands)[1:]):
            words = F.log_softmax(band.logits(features, 0.0), dim=-1)  # type: ignore[operator]
            parts.append(words + head[..., first + i : first + i + 1])
        return torch.cat(parts, dim=-1)

    def target_log_probs(self, features: Tensor, target: Tensor) -> Tensor:
        """Log-probability (N,) of the target words (N,); only the bands that occur are computed."""
        features = dropout(features, self.dropout, self.training)
        chosen = target.clone()  # index into the head: a word, or its band's class
        tail = torch.zeros_like(target, dtype=features.dtype)
        for i, start in enumerate(self.starts[1:]):
            inside = (target >= start) & (target < self.ends[i + 1])  # (N,)
            chosen = chosen.masked_fill(inside, self.ends[0] + i)
            band: Band = self.bands[i + 1]  # type: ignore[assignment]
            words = F.log_softmax(band.logits(features[inside], self.dropout), dim=-1)
            found = words.gather(1, (target[inside] - start)[:, None])[:, 0]
            tail = tail.masked_scatter(inside, found.to(tail.dtype))
        head = F.log_softmax(self.head_logits(features), dim=-1)
        return head.gather(1, chosen[:, None])[:, 0] + tail


class TiedEmbedding(nn.Module):
    """One table for input and output."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.weight = lookup_table(config.target_vocab_size, config.embed_dim).weight

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T) to (B, T, d), not yet scaled."""
        return F.embedding(tokens, self.weight)

    def log_probs(self, features: Tensor) -> Tensor:
        """Log-probability (.., V) of every word, from features (.., d)."""
        return F.log_softmax(F.linear(features, self.weight), dim=-1)

    def target_log_probs(self, features: Tensor, target: Tensor) -> Tensor:
        """Log-probability (N,) of the target words (N,)."""
        return self.log_probs(features).gather(1, target[:, None])[:, 0]
