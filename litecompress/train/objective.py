"""What training minimises, as one module, so that wrappers for many processes see every weight."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from litecompress.batches import Batch
from litecompress.model.adaptive import AdaptiveEmbedding
from litecompress.model.build import network
from litecompress.model.config import PAD_ID, ModelConfig
from litecompress.model.language_model import LanguageModel
from litecompress.train.consistency import consistent_cross_entropy
from litecompress.train.loss import Teaching, table_cross_entropy


class Objective(nn.Module):
    """A network and its loss; with `consistency` that of two passes with other dropout."""

    prefix = "network."

    def __init__(
        self, config: ModelConfig, label_smoothing: float, consistency: float = 0.0
    ) -> None:
        super().__init__()
        self.network = network(config)
        self.smoothing = 0.0 if config.adaptive_cutoffs else label_smoothing
        self.consistency = consistency

    def forward(self, batch: Batch, teacher: Teaching | None = None) -> tuple[Tensor, Tensor]:
        """The loss and the negative log-likelihood in nats, each summed over the real tokens."""
        twice = bool(self.consistency) and self.training and teacher is None
        if twice:
            batch = batch.doubled()
        real = batch.target != PAD_ID  # (B, T)
        features = self.features(batch)[real]  # (N, D)
        target = batch.target[real]  # (N,)
        if self.table_name is None:
            assert isinstance(self.network, LanguageModel)
            nll = -self.network.target_log_probs(features, target).float().sum()
            return nll, nll.detach()
        if twice:
            of_one = target[: len(target) // 2]
            return consistent_cross_entropy(
                features, self.table(), of_one, self.smoothing, self.consistency
            )
        return table_cross_entropy(features, self.table(), target, self.smoothing, teacher)

    @torch.no_grad()
    def teaching(self, batch: Batch, share: float) -> Teaching:
        """What this model, as a teacher, has to say of every real token of a batch."""
        return Teaching(self.features(batch)[batch.target != PAD_ID], self.table(), share)

    def features(self, batch: Batch) -> Tensor:
        """What the output layer sees, (B, T, D)."""
        if isinstance(self.network, LanguageModel):
            return self.network.features(batch.previous)
        assert batch.source is not None
        return self.network.decode(batch.previous, *self.network.encode(batch.source))

    @property
    def table_name(self) -> str | None:
        """The name of the output table; an adaptive softmax has none."""
        if isinstance(self.network, LanguageModel) or self.network.config.share_embeddings:
            adaptive = isinstance(self.network.embedding, AdaptiveEmbedding)
            return None if adaptive else "embedding.weight"
        return "output.weight"

    def table(self) -> Tensor:
        """The output table (V, D)."""
        assert self.table_name is not None
        of = getattr(self.network, self.table_name.removesuffix(".weight"))
        return of.weight  # type: ignore[no-any-return]
