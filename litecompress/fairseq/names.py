"""Names of weights: theirs of every age, and ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from litecompress.errors import CheckpointError
from litecompress.fairseq.tensors import Tensor
from litecompress.model.config import ModelConfig

_IGNORED = re.compile(r"(.*\.)?(version|_float_tensor|embed_positions\.weights)")
_OLD_NORMS = {
    "encoder": {"0": "self_attn_layer_norm", "1": "final_layer_norm"},
    "decoder": {
        "0": "self_attn_layer_norm",
        "1": "encoder_attn_layer_norm",
        "2": "final_layer_norm",
    },
}
_WORDS = {  # of a layer: ours, theirs
    "cross_attention": "encoder_attn",
    "cross_norm": "encoder_attn_layer_norm",
    "lsra_norm": "self_attn_layer_norm",
    "ffn_norm": "final_layer_norm",
    "query": "q_proj",
    "key": "k_proj",
    "value": "v_proj",
    "out": "out_proj",
    "kernel": "weight",
    "kernel_predictor": "weight_linear",
}
_TABLES = {
    "source_embedding.weight": "encoder.embed_tokens.weight",
    "target_embedding.weight": "decoder.embed_tokens.weight",
    "output.weight": "decoder.embed_out",
    "embedding.classes.weight": "decoder.adaptive_softmax.head.class_proj.weight",
}
_PARTS = {"table": "0", "projection": "1"}


def modern(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under the names of the authors' last version, without what is no weight."""
    found: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if _IGNORED.fullmatch(name):
            continue
        for new, part in _modern(name.replace(".branchs.", ".branches."), tensor):
            if new in found:
                raise CheckpointError(f"expected each weight once, got {new[:100]} twice")
            found[new] = part
    return found


def _modern(name: str, tensor: Tensor) -> Iterable[tuple[str, Tensor]]:
    """One weight, or the three that were packed into one (query, key, value)."""
    old_norm = re.fullmatch(r"((encoder|decoder)\.layers\.\d+\.)layer_norms\.([012])\.(\w+)", name)
    packed = re.fullmatch(r"(.*\.)in_proj_(weight|bias)", name)
    if old_norm and old_norm[3] in _OLD_NORMS[old_norm[2]]:
        yield f"{old_norm[1]}{_OLD_NORMS[old_norm[2]][old_norm[3]]}.{old_norm[4]}", tensor
    elif packed and tensor.shape and tensor.shape[0] % 3 == 0:
        rows = tensor.shape[0] // 3
        for i, part in enumerate("qkv"):
            yield f"{packed[1]}{part}_proj.{packed[2]}", tensor.rows(i * rows, (i + 1) * rows)
    elif name == "decoder.output_projection.weight":
        yield "decoder.embed_out", tensor
    else:
        yield name, tensor


def their_name(name: str, config: ModelConfig, branched: bool, tied: bool) -> str:
    """What the authors call a weight of ours.

    `branched` where self-attention is a list of branches, `tied` where the output is the target's
    look-up table.
    """
    if name == "output.weight" and tied:
        return _TABLES["target_embedding.weight"]
    if name == "embedding.weight":
        side = "target" if config.is_language_model else "source"
        return _TABLES[f"{side}_embedding.weight"]
    if name in _TABLES:
        return _TABLES[name]
    band = re.fullmatch(r"embedding\.bands\.(\d+)\.(\w+)\.weight", name)
    if band:
        return f"decoder.embed_tokens.embeddings.{band[1]}.{_PARTS[band[2]]}.weight"
    stack, layer, *words = name.split(".")
    theirs = [_WORDS.get(word, word) for word in words if word != "ffn"]
    if words[0] in ("attention", "conv"):
        second = words[0] == "conv" and config.attention_heads > 0
        theirs[0] = f"self_attn.branches.{int(second)}" if branched else "self_attn"
    return ".".join([stack, "layers", layer, *theirs])


def aliases(config: ModelConfig, tied: bool) -> dict[str, str]:
    """Names under which the authors store a weight a second time, and the first name."""
    target = "decoder.embed_tokens.weight"
    if config.adaptive_cutoffs:
        softmax, bands = "decoder.adaptive_softmax.", "decoder.embed_tokens.embeddings."
        found = {f"{softmax}head.word_proj.weight": f"{bands}0.0.weight"}
        for i in range(len(config.adaptive_cutoffs)):
            found[f"{softmax}tail.{i}.0.weight"] = f"{bands}{i + 1}.1.weight"
            found[f"{softmax}tail.{i}.2.weight"] = f"{bands}{i + 1}.0.weight"
        return found
    found = {"decoder.embed_out": target} if tied else {}
    if config.share_embeddings and not config.is_language_model:
        first = "encoder.embed_tokens.weight"
        return {target: first, "decoder.embed_out": first}
    return found
