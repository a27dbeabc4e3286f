"""Small random models, and what tests build of them."""

from __future__ import annotations

from pathlib import Path

import torch

from litecompress.artifact import Artifact
from litecompress.checkpoint import Checkpoint
from litecompress.model.config import ModelConfig
from litecompress.model.lite_transformer import LiteTransformer
from litecompress.stages import Context, Prune, Quantize, apply
from litecompress.tokenizer import Tokenizer

LINES = [
    "a man rides a horse on the beach .",
    "two dogs run through the snow !",
    "Eine Frau trägt einen roten Hut .",
    "Kinder spielen Fußball im Park ?",
]
VOCABULARY = 120
ROOT = Path(__file__).resolve().parents[1]


def tokenizer() -> Tokenizer:
    return Tokenizer.learn(LINES, VOCABULARY)


def config(conv_type: str = "lightweight", **changes) -> ModelConfig:
    vocabulary = tokenizer().vocab_size
    return ModelConfig(
        **{
            "source_vocab_size": vocabulary,
            "target_vocab_size": vocabulary,
            "embed_dim": 32,
            "ffn_dim": 32,
            "encoder_kernel_sizes": (3, 7),
            "decoder_kernel_sizes": (3, 7),
            "conv_type": conv_type,
            "conv_glu": conv_type == "dynamic",
            **changes,
        }
    )


def checkpoint(conv_type: str = "lightweight", seed: int = 0, **changes) -> Checkpoint:
    torch.manual_seed(seed)
    model = LiteTransformer(config(conv_type, **changes))
    with torch.no_grad():  # zero biases would hide what forgets them
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    weights = {name: w.numpy() for name, w in model.state_dict().items()}
    return Checkpoint(model.config, weights, tokenizer().data)


def artifact(conv_type: str = "lightweight", **changes) -> Artifact:
    return Artifact.from_checkpoint(checkpoint(conv_type, **changes))


def compressed(conv_type: str = "lightweight", sparsity: float = 0.5, **changes) -> Artifact:
    pruned = apply(Prune(sparsity), artifact(conv_type, **changes), Context())
    return apply(Quantize(), pruned, Context())
