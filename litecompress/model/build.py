"""Which network a config describes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from litecompress.model.config import ModelConfig
from litecompress.model.language_model import LanguageModel
from litecompress.model.lite_transformer import LiteTransformer
from litecompress.model.weights import load_weights

Network = LiteTransformer | LanguageModel


def network(config: ModelConfig) -> Network:
    """A freshly initialised network: a language model where there is no encoder."""
    return LanguageModel(config) if config.is_language_model else LiteTransformer(config)


def from_weights(config: ModelConfig, weights: Mapping[str, NDArray[np.float32]]) -> Network:
    """The network in evaluation mode; weights that do not fit are a CheckpointError."""
    return load_weights(network(config), config, weights)
