"""The artifact: a model in some state of compression, and how it got there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litecompress.checkpoint import Checkpoint
from litecompress.cost import component
from litecompress.encoding import Dense, Encoding, float32_bytes
from litecompress.errors import ArtifactError, CheckpointError
from litecompress.model.config import ModelConfig
from litecompress.tokenizer import Tokenizers


@dataclass(frozen=True)
class Step:
    """One stage that was applied: its options, and what it reports of its work."""

    stage: str
    options: Mapping[str, Any]
    summary: Mapping[str, Any]


@dataclass(frozen=True)
class Artifact:
    """Everything needed to translate; immutable, stages return a new one."""

    config: ModelConfig
    weights: Mapping[str, Encoding]
    tokenizer: bytes
    history: tuple[Step, ...] = ()
    target_tokenizer: bytes | None = None  # where it is another

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", MappingProxyType(dict(self.weights)))

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> Artifact:
        """The uncompressed state of a trained model."""
        weights = {name: _dense(name, w) for name, w in checkpoint.weights.items()}
        target = checkpoint.target_tokenizer
        return cls(checkpoint.config, weights, checkpoint.tokenizer, target_tokenizer=target)

    def tokenizers(self) -> Tokenizers:
        """The tokenizers of source and target."""
        return Tokenizers.of(self.tokenizer, self.target_tokenizer)

    def decode(self) -> dict[str, NDArray[np.float32]]:
        """Every weight in float32."""
        return {name: encoding.decode() for name, encoding in self.weights.items()}

    def with_step(self, step: Step) -> Artifact:
        """The same artifact with one more line of history."""
        return replace(self, history=(*self.history, step))

    def nbytes(self, *, embeddings: bool) -> int:
        """Bytes stored, bit-packed; without `embeddings` the paper's scope.

        The look-up tables are left out then, a tied output table with them; an untied one is in.
        """
        return sum(w.nbytes for w in self._scope(embeddings))

    def float32_bytes(self, *, embeddings: bool) -> int:
        """Bytes of the same weights in float32, in the same scopes."""
        return sum(float32_bytes(w) for w in self._scope(embeddings))

    def _scope(self, embeddings: bool) -> list[Encoding]:
        """All encodings, or those that are no look-up table's."""
        named = self.weights.items()
        return [w for name, w in named if embeddings or component(name) != "embedding"]


def _dense(name: str, weight: NDArray[np.float32]) -> Dense:
    try:
        return Dense(weight)
    except ArtifactError as error:
        raise CheckpointError(f"{name}: {error}") from error
