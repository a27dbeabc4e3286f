"""Read `../shared/reference`: numbers that the authors' code made for small random models.

Their checkpoint is a pickle that names classes of code which is not installed. This loader can
build nothing but tensors and inert records.
"""

from __future__ import annotations

import json
import pickle
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from litecompress.model.config import ModelConfig
from litecompress.model.lite_transformer import LiteTransformer

SHARED = Path(__file__).resolve().parents[2] / "shared"
REFERENCE = SHARED / "reference"
MODELS = ("tiny_iwslt32", "tiny_wmt64")

needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="shared/reference is not beside the checkout"
)

_DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8", "DoubleStorage": "<f8"}


class _Record:
    """Stands for any class of the pickle; runs nothing."""

    def __init__(self, *args: Any) -> None:
        self.args = args

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state if isinstance(state, dict) else {"state": state})


class _Unpickler(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(archive.open(f"{root}/data.pkl"))
        self.archive, self.root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        return type(name, (_Record,), {})

    def persistent_load(self, pid: Any) -> np.ndarray:
        _, kind, key, _, _ = pid
        data = self.archive.read(f"{self.root}/data/{key}")
        return np.frombuffer(data, dtype=_DTYPES[kind.__name__])


def _tensor(storage: np.ndarray, offset: int, size: tuple, stride: tuple, *_: Any) -> np.ndarray:
    item = storage.itemsize
    view = storage[offset:]
    return np.lib.stride_tricks.as_strided(view, size, tuple(s * item for s in stride)).copy()


def load(name: str) -> tuple[LiteTransformer, dict[str, np.ndarray]]:
    """The reference model in our own network, and its `io.npz`."""
    path = REFERENCE / name
    with zipfile.ZipFile(path / "checkpoint.pt") as archive:
        root = archive.namelist()[0].split("/")[0]
        checkpoint = _Unpickler(archive, root).load()
    args, weights = vars(checkpoint["args"]), checkpoint["model"]
    model = LiteTransformer(_config(args, weights)).eval()
    model.load_state_dict({k: torch.from_numpy(v) for k, v in _renamed(weights, model).items()})
    with np.load(path / "io.npz") as io:
        return model, dict(io)


def generation_config(io: dict[str, np.ndarray], name: str) -> dict[str, Any]:
    return json.loads(str(io[f"G_{name}_cfg"]))


def _config(args: dict[str, Any], weights: dict[str, np.ndarray]) -> ModelConfig:
    dynamic = "encoder.layers.0.self_attn.branches.1.weight_linear.weight" in weights
    return ModelConfig(
        source_vocab_size=weights["encoder.embed_tokens.weight"].shape[0],
        target_vocab_size=weights["decoder.embed_tokens.weight"].shape[0],
        embed_dim=args["encoder_embed_dim"],
        ffn_dim=args["encoder_ffn_embed_dim"],
        encoder_kernel_sizes=tuple(args["encoder_kernel_size_list"]),
        decoder_kernel_sizes=tuple(args["decoder_kernel_size_list"]),
        conv_type="dynamic" if dynamic else "lightweight",
        conv_glu=bool(args["encoder_glu"]),
        conv_padding="leaky",
        cross_attention_heads=args["decoder_attention_heads"],
        share_embeddings=bool(args["share_all_embeddings"]),
    )


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
    (r"^encoder\.embed_tokens", "source_embedding"),
    (r"^decoder\.embed_tokens", "target_embedding"),
    (r"^decoder\.embed_out$", "output.weight"),
)


def our_name(name: str) -> str:
    """The name that our network gives a parameter of theirs."""
    for pattern, replacement in _NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _renamed(weights: dict[str, np.ndarray], model: LiteTransformer) -> dict[str, np.ndarray]:
    ours = {our_name(k): v for k, v in weights.items()}
    if model.config.share_embeddings:
        ours["embedding.weight"] = ours["source_embedding.weight"]
    shapes = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    return {k: ours[k].reshape(shape) for k, shape in shapes.items()}
