"""Small random models of every kind, by our network and by its adapter."""

from __future__ import annotations

from typing import Any

import torch

from litecompress.hf import (
    LiteTransformerConfig,
    LiteTransformerForCausalLM,
    LiteTransformerForSeq2SeqLM,
)
from litecompress.model.build import network
from litecompress.model.config import EOS_ID, PAD_ID, ModelConfig

VOCABULARY = 60
DYNAMIC = {"conv_type": "dynamic", "conv_glu": True}
SEQ2SEQ = {
    "lightweight": {},
    "dynamic, leaky": {**DYNAMIC, "conv_padding": "leaky"},
    "pre-norm": {**DYNAMIC, "normalize_before": True},
    "two vocabularies": {"share_embeddings": False, "source_vocab_size": 70},
    "Transformer": {"encoder_kernel_sizes": (0, 0), "decoder_kernel_sizes": (0, 0)},
    "LightConv": {"attention_heads": 0, "decoder_kernel_sizes": (3, 1)},
}
CAUSAL = {
    "tied": DYNAMIC,
    "adaptive": {**DYNAMIC, "adaptive_cutoffs": (20, 40), "adaptive_factor": 2},
    "pre-norm, leaky": {**DYNAMIC, "normalize_before": True, "conv_padding": "leaky"},
    "LightConv": {"attention_heads": 0, "decoder_kernel_sizes": (3, 1)},
    "Transformer": {"decoder_kernel_sizes": (0, 0)},
}


def random_network(seed: int = 0, **changes: Any) -> Any:
    """A network whose outputs depend on all that it should depend on."""
    torch.manual_seed(seed)
    values = {
        "source_vocab_size": VOCABULARY,
        "target_vocab_size": VOCABULARY,
        "embed_dim": 32,
        "ffn_dim": 32,
        "encoder_kernel_sizes": (3, 7),
        "decoder_kernel_sizes": (3, 7),
        "conv_type": "lightweight",
        "conv_glu": False,
        **changes,
    }
    net = network(ModelConfig(**values)).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return net


def random_language_model(seed: int = 0, **changes: Any) -> Any:
    return random_network(seed, **{"encoder_kernel_sizes": (), **changes})


def adapted(net: Any) -> Any:
    """The model of transformers with the network's weights."""
    language_model = net.config.is_language_model
    kind = LiteTransformerForCausalLM if language_model else LiteTransformerForSeq2SeqLM
    model = kind(LiteTransformerConfig(**net.config.to_dict()))
    model.load_state_dict(net.state_dict())
    return model.eval()


def padded(rows: list[list[int]], side: str = "right") -> torch.Tensor:
    longest = max(map(len, rows))
    fill = [[PAD_ID] * (longest - len(row)) for row in rows]
    pairs = zip(fill, rows) if side == "left" else zip(rows, fill)
    return torch.tensor([a + b for a, b in pairs])


def texts(lengths: tuple[int, ...] = (9, 4, 7), seed: int = 1) -> list[list[int]]:
    """Random sentences that end in </s>."""
    generator = torch.Generator().manual_seed(seed)
    return [
        [*torch.randint(4, VOCABULARY, (n - 1,), generator=generator).tolist(), EOS_ID]
        for n in lengths
    ]


def prompts(lengths: tuple[int, ...] = (9, 4, 7), seed: int = 2) -> list[list[int]]:
    """Random beginnings of text behind </s>."""
    return [[EOS_ID, *row[:-1]] for row in texts(lengths, seed)]
