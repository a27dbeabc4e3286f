"""A language model in PyTorch as a session."""

from __future__ import annotations

import numpy as np
import torch

from litecompress.artifact import Artifact
from litecompress.model.language_model import LanguageModel
from litecompress.runtime.session import Logits, State, Tokens
from litecompress.runtime.torch_session import CACHES, layer_states, present


class TorchLanguageSession:
    """Runs a LanguageModel; states stay torch tensors between steps."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model.eval()
        self.device = next(model.parameters()).device

    @classmethod
    def of(cls, artifact: Artifact) -> TorchLanguageSession:
        """The model that an artifact decodes to."""
        return cls(LanguageModel.from_weights(artifact.config, artifact.decode()))

    @property
    def max_target(self) -> int:
        return self.model.config.max_positions

    @torch.inference_mode()
    def begin(self, batch: int, length: int) -> State:
        return State({}, present(self.model.start(batch, length), CACHES))

    @torch.inference_mode()
    def step(self, tokens: Tokens, step: int, state: State) -> tuple[Logits, State]:
        features, after = self.model.step(
            torch.from_numpy(tokens).to(self.device)[:, None],
            torch.tensor([step], device=self.device),
            layer_states(state, len(self.model.decoder)),
        )
        log_probs = self.model.log_probs(features)  # (B, V)
        return log_probs.cpu().numpy().astype(np.float32), State({}, present(after, CACHES))
