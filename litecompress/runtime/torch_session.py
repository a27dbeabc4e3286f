"""The PyTorch model as a session: the reference that every export is compared with."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from litecompress.artifact import Artifact
from litecompress.model.layers import LayerState
from litecompress.model.lite_transformer import LiteTransformer
from litecompress.runtime.session import Logits, State, Tokens

CACHES = ("key", "value", "conv")
_FIXED = ("cross_key", "cross_value")


class TorchSession:
    """Runs a LiteTransformer; states stay torch tensors between steps."""

    def __init__(self, model: LiteTransformer) -> None:
        self.model = model.eval()
        self.device = next(model.parameters()).device

    @classmethod
    def of(cls, artifact: Artifact) -> TorchSession:
        """The model that an artifact decodes to."""
        return cls(LiteTransformer.from_weights(artifact.config, artifact.decode()))

    @property
    def max_source(self) -> int:
        return self.model.config.max_positions

    @property
    def max_target(self) -> int:
        return self.model.config.max_positions

    @torch.inference_mode()
    def start(self, source: Tokens, length: int) -> State:
        memory, bias = self.model.encode(torch.from_numpy(source).to(self.device))
        states = self.model.start(memory, length)
        fixed = present(states, _FIXED)
        return State({"memory_bias": bias, **fixed}, present(states, CACHES))

    @torch.inference_mode()
    def step(self, tokens: Tokens, step: int, state: State) -> tuple[Logits, State]:
        logits, after = self.model.step(
            torch.from_numpy(tokens).to(self.device)[:, None],
            torch.tensor([step], device=self.device),
            state.fixed["memory_bias"],
            layer_states(state, len(self.model.decoder)),
        )
        caches = present(after, CACHES)
        return logits.cpu().numpy().astype(np.float32), State(state.fixed, caches)


def layer_states(state: State, layers: int) -> list[LayerState]:
    """The state as the layers take it."""
    return [
        LayerState(
            *(state.caches.get(f"{n}_{i}") for n in CACHES),
            *(state.fixed.get(f"{n}_{i}") for n in _FIXED),
        )
        for i in range(layers)
    ]


def present(states: list[LayerState], parts: tuple[str, ...]) -> dict[str, Tensor]:
    """Those parts of the layers' states that are there, by name."""
    named = [(i, n, getattr(state, n)) for i, state in enumerate(states) for n in parts]
    return {f"{n}_{i}": tensor for i, n, tensor in named if tensor is not None}
