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
        features = self._features(batch)[real]  # (N, D)
        target = batch.target[real]  # (N,)
        if isinstance(self.network, LanguageModel) and isinstance(
            self.network.embedding, AdaptiveEmbedding
        ):
            nll = -self.network.target_log_probs(features, target).float().sum()
            return nll, nll.detach()
        if twice:
            of_one = target[: len(target) // 2]
            return consistent_cross_entropy(
                features, self._table(), of_one, self.smoothing, self.consistency
            )
        return table_cross_entropy(features, self._table(), target, self.smoothing, teacher)

    @torch.no_grad()
    def teaching(self, batch: Batch, share: float) -> Teaching:
        """What this model, as a teacher, has to say of every real token of a batch."""
        return Teaching(self._features(batch)[batch.target != PAD_ID], self._table(), share)

    def _features(self, batch: Batch) -> Tensor:
        """What the output layer sees, (B, T, D)."""
        if isinstance(self.network, LanguageModel):
            return self.network.features(batch.previous)
        assert batch.source is not None
        return self.network.decode(batch.previous, *self.network.encode(batch.source))

    def _table(self) -> Tensor:
        """The output table (V, D)."""
        if isinstance(self.network, LanguageModel) or self.network.config.share_embeddings:
            return self.network.embedding.weight  # type: ignore[return-value]
        return self.network.output.weight
