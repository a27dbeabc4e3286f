"""Read `../shared/reference`: numbers that the authors' code made for small random models."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from litecompress.fairseq.convert import Converted, read_checkpoint
from litecompress.model.build import from_weights
from litecompress.model.language_model import LanguageModel
from litecompress.model.lite_transformer import LiteTransformer

SHARED = Path(__file__).resolve().parents[2] / "shared"
REFERENCE = SHARED / "reference"
MODELS = ("tiny_iwslt32", "tiny_wmt64")
LANGUAGE_MODEL = "tiny_lm64"

needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="shared/reference is not beside the checkout"
)


def converted(name: str) -> Converted:
    """The reference model's config and weights, as the importer reads them."""
    return read_checkpoint(REFERENCE / name / "checkpoint.pt")


def load(name: str) -> tuple[LiteTransformer | LanguageModel, dict[str, np.ndarray]]:
    """The reference model in our own network, and its `io.npz`."""
    model = converted(name)
    with np.load(REFERENCE / name / "io.npz") as io:
        return from_weights(model.config, model.weights), dict(io)


def generation_config(io: dict[str, np.ndarray], name: str) -> dict[str, Any]:
    return json.loads(str(io[f"G_{name}_cfg"]))


_NAMES = (
    (r"\.layers\.", "."),
    (r"self_attn\.branches\.0\.", "attention."),
    (r"self_attn\.branches\.1\.weight$", "conv.kernel"),
    (r"self_attn\.branches\.1\.weight_linear", "conv.kernel_predictor"),
    (r"self_attn\.branches\.1\.", "conv."),
    (r"self_attn_layer_norm", "lsra_norm"),
    (r"encoder_attn_layer_norm", "cross_norm"),
    (r"encoder_attn", "cross_attention"),
    (r"final_layer_norm", "ffn_norm"),
    (r"\.(fc[12])\.", r".ffn.\1."),
    (r"([qkvo])(?:ut)?_proj", lambda m: dict(zip("qkvo", ("query", "key", "value", "out")))[m[1]]),
    (r"^decoder\.embed_tokens\.embeddings\.(\d+)\.0", r"embedding.bands.\1.table"),
    (r"^decoder\.embed_tokens\.embeddings\.(\d+)\.1", r"embedding.bands.\1.projection"),
    (r"^decoder\.adaptive_softmax\.head\.class_proj", "embedding.classes"),
    (r"^encoder\.embed_tokens", "source_embedding"),
    (r"^decoder\.embed_tokens", "target_embedding"),
    (r"^decoder\.embed_out$", "output.weight"),
)


def our_name(name: str) -> str:
    """The name that our network gives a parameter of theirs; written apart from the importer."""
    for pattern, replacement in _NAMES:
        name = re.sub(pattern, replacement, name)
    return name
