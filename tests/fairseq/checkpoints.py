"""Checkpoints as fairseq would write them, of small models of ours."""

from __future__ import annotations

import argparse
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from litecompress.model.build import network
from litecompress.model.config import ModelConfig

VOCABULARY = 24
PARTS = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "out": "out_proj"}


def arguments(**changes: Any) -> argparse.Namespace:
    """Those of a two-layer Lite Transformer with lightweight convolution and three tables."""
    values = {
        "arch": "transformer_multibranch_v2_iwslt_de_en",
        "share_all_embeddings": False,
        "share_decoder_input_output_embed": False,
        "conv_linear": True,
        "weight_softmax": True,
        "dropout": 0.2,
        "attention_dropout": 0.1,
        "activation_fn": "relu",
        "max_source_positions": 1024,
        "max_target_positions": 1024,
    }
    for side in ("encoder", "decoder"):
        values |= {
            f"{side}_layers": 2,
            f"{side}_embed_dim": 16,
            f"{side}_ffn_embed_dim": 24,
            f"{side}_attention_heads": 4,
            f"{side}_branch_type": ["attn:1:8:2", "lightweight:default:8:2"],
            f"{side}_kernel_size_list": [3, 7, 15],
            f"{side}_glu": False,
            f"{side}_normalize_before": False,
            f"{side}_learned_pos": False,
        }
    return argparse.Namespace(**(values | changes))


def both(**changes: Any) -> dict[str, Any]:
    """The same argument for encoder and decoder."""
    return {f"{side}_{name}": v for side in ("encoder", "decoder") for name, v in changes.items()}


def config(**changes: Any) -> ModelConfig:
    """The config that `arguments` describe."""
    values = {
        "source_vocab_size": VOCABULARY,
        "target_vocab_size": VOCABULARY - 4,
        "embed_dim": 16,
        "ffn_dim": 24,
        "encoder_kernel_sizes": (3, 7),
        "decoder_kernel_sizes": (3, 7),
        "conv_type": "lightweight",
        "conv_glu": False,
        "conv_padding": "leaky",
        "attention_heads": 2,
        "conv_heads": 2,
        "cross_attention_heads": 4,
        "share_embeddings": False,
        "dropout": 0.2,
        "attention_dropout": 0.1,
        "weight_dropout": 0.1,
    }
    return ModelConfig(**(values | changes))


def weights(config: ModelConfig, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights under our names."""
    torch.manual_seed(seed)
    return {n: w + 0.01 * torch.randn_like(w) for n, w in network(config).state_dict().items()}


def theirs(ours: dict[str, torch.Tensor], branched: bool = True) -> OrderedDict:
    """The same weights as the authors' code stores them; written apart from the importer."""
    found = OrderedDict({"encoder.version": torch.tensor([3.0])})
    alone = not any(".attention." in n for n in ours) or not any(".conv." in n for n in ours)
    for name, weight in ours.items():
        stack, *middle = name.split(".")
        if stack in ("encoder", "decoder"):
            layer, component, *rest = middle
            rest = [PARTS.get(part, part) for part in rest]
            place = {
                "cross_attention": "encoder_attn",
                "cross_norm": "encoder_attn_layer_norm",
                "lsra_norm": "self_attn_layer_norm",
                "ffn_norm": "final_layer_norm",
                "attention": "self_attn.branches.0" if branched else "self_attn",
                "conv": f"self_attn.branches.{0 if alone else 1}",
            }.get(component)
            if rest[0] == "kernel":
                rest, weight = ["weight"], weight[:, None, :]
            rest = ["weight_linear", "weight"] if rest[0] == "kernel_predictor" else rest
            name = ".".join([stack, "layers", layer, *([place] if place else []), *rest])
            found[name] = weight
            continue
        for new in {
            "embedding.weight": ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"],
            "source_embedding.weight": ["encoder.embed_tokens.weight"],
            "target_embedding.weight": ["decoder.embed_tokens.weight"],
            "output.weight": ["decoder.embed_out"],
        }[name]:
            found[new] = weight
    return found


def older(state: OrderedDict) -> OrderedDict:
    """The names and the packing of earlier versions."""
    found: OrderedDict = OrderedDict()
    norms = {
        "encoder": ["self_attn_layer_norm", "final_layer_norm"],
        "decoder": ["self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm"],
    }
    for name, weight in state.items():
        for stack, names in norms.items():
            for i, norm in enumerate(names):
                if name.startswith(stack):
                    name = re.sub(rf"(\.\d+\.){norm}\.", rf"\1layer_norms.{i}.", name)
        name = name.replace(".branches.", ".branchs.")
        if ".k_proj." in name or ".v_proj." in name:
            continue
        if ".q_proj." in name:
            plain = name.replace(".branchs.", ".branches.")
            parts = [state[plain.replace("q_proj", f"{p}_proj")] for p in "qkv"]
            name, weight = name.replace("q_proj.", "in_proj_"), torch.cat(parts)
        found[name] = weight
    found["encoder.embed_positions.weights"] = torch.zeros(30, 16)
    found["decoder.embed_positions._float_tensor"] = torch.full((1,), float("nan"))
    return found


def write(path: Path, state: OrderedDict, args: Any = None, *, legacy: bool = False) -> Path:
    """A checkpoint file, in the zip container or the one before it."""
    content = {
        "args": arguments() if args is None else args,
        "model": state,
        "optimizer_history": [{"criterion_name": "X"}],
        "extra_state": {"best": 1.5, "val_loss": 2.0},
    }
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def dictionary(path: Path, rows: int, prefix: str = "w") -> Path:
    """`rows` ids with the special ones."""
    path.write_text("".join(f"{prefix}{i} {max(1, 100 - i)}\n" for i in range(rows - 4)))
    return path


def assert_same(found: dict[str, np.ndarray], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        np.testing.assert_array_equal(found[name], weight.float().numpy(), err_msg=name)
