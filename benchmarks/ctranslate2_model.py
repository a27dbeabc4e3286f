"""A Transformer of the family, with random weights, as a CTranslate2 model.

Weights go into `ctranslate2.specs.TransformerSpec` as its own converters put them: queries, keys
and values of self-attention in one matrix, keys and values of cross-attention in another. Both
programs then compute the same function: `log_probs` is to be compared with those of our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from ctranslate2 import Translator
from ctranslate2.specs import TransformerSpec
from numpy.typing import NDArray

from litecompress.model.config import ModelConfig
from litecompress.shortlist import Shortlist
from litecompress.tokenizer import SPECIAL_TOKENS

Weights = Mapping[str, NDArray[np.float32]]
FIRST_POSITION = 2  # of the paper's code: arXiv:2004.11886, fairseq counts from the padding's id
VOCABULARY_MAP = "vmap.txt"


def words(vocab: int) -> list[str]:
    """A name for every id, the special ones by their own."""
    named = {i: token for token, i in SPECIAL_TOKENS.items()}
    return [named.get(i, f"w{i}") for i in range(vocab)]


def write_model(config: ModelConfig, weights: Weights, folder: Path, quantization: str) -> None:
    """Write the folder of a post-norm Transformer; `quantization` as CTranslate2 names it."""
    layers = len(config.encoder_kernel_sizes), len(config.decoder_kernel_sizes)
    spec = TransformerSpec.from_config(layers, config.attention_heads, pre_norm=False)
    table = weights["embedding.weight"].copy()  # it is quantized in place
    positions = sinusoids(config.max_positions, config.embed_dim)
    for side in (spec.encoder, spec.decoder):
        side.scale_embeddings = True
        side.position_encodings.encodings = positions
    spec.encoder.embeddings[0].weight = table
    spec.decoder.embeddings.weight = table
    spec.decoder.projection.weight = table
    for name, stack in (("encoder", spec.encoder), ("decoder", spec.decoder)):
        for i, layer in enumerate(stack.layer):
            fill(layer, {n.removeprefix(f"{name}.{i}."): w for n, w in weights.items()})
    spec.register_source_vocabulary(words(config.source_vocab_size))
    spec.register_target_vocabulary(words(config.target_vocab_size))
    spec.config.decoder_start_token = spec.config.eos_token
    spec.validate()
    spec.optimize(quantization)
    folder.mkdir(parents=True)
    spec.save(str(folder))


def fill(layer, weights: Weights) -> None:
    """Give one layer its weights, by our names within a layer."""
    linear(
        layer.self_attention.linear[0],
        weights,
        *(f"attention.{p}" for p in ("query", "key", "value")),
    )
    linear(layer.self_attention.linear[1], weights, "attention.out")
    norm(layer.self_attention.layer_norm, weights, "lsra_norm")
    if hasattr(layer, "attention"):
        linear(layer.attention.linear[0], weights, "cross_attention.query")
        linear(layer.attention.linear[1], weights, "cross_attention.key", "cross_attention.value")
        linear(layer.attention.linear[2], weights, "cross_attention.out")
        norm(layer.attention.layer_norm, weights, "cross_norm")
    linear(layer.ffn.linear_0, weights, "ffn.fc1")
    linear(layer.ffn.linear_1, weights, "ffn.fc2")
    norm(layer.ffn.layer_norm, weights, "ffn_norm")


def linear(spec, weights: Weights, *names: str) -> None:
    """One matrix of all outputs, one below the other."""
    spec.weight = np.concatenate([weights[f"{name}.weight"] for name in names])
    spec.bias = np.concatenate([weights[f"{name}.bias"] for name in names])


def norm(spec, weights: Weights, name: str) -> None:
    spec.gamma, spec.beta = weights[f"{name}.weight"], weights[f"{name}.bias"]


def sinusoids(count: int, dim: int) -> NDArray[np.float32]:
    """Sines, then cosines, of the positions that our models count (P, D)."""
    frequencies = np.exp(-np.arange(dim // 2) * np.log(1e4) / (dim // 2 - 1))
    angles = (FIRST_POSITION + np.arange(count))[:, None] * frequencies
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def write_vocabulary_map(folder: Path, shortlist: Shortlist) -> None:
    """The candidates of a shortlist as CTranslate2's map, a source word a line; none are copied."""
    names = words(shortlist.vocab_size)
    ends = np.cumsum(shortlist.counts)
    rows = np.split(shortlist.targets, ends[:-1])
    lines = ["\t" + " ".join(names[i] for i in shortlist.always)]
    lines += [f"{names[s]}\t" + " ".join(names[i] for i in row) for s, row in enumerate(rows)]
    (folder / VOCABULARY_MAP).write_text("\n".join(lines) + "\n")


class Decoder:
    """Greedy decoding of one sentence of ids, on one thread.

    Exactly `length` tokens are written: </s> is ruled out before (`min_decoding_length`), and after
    them it stops (`max_decoding_length`).
    """

    def __init__(self, folder: Path, vocab: int, *, use_map: bool) -> None:
        self._translator = Translator(
            str(folder), compute_type="int8", inter_threads=1, intra_threads=1
        )
        self._words, self._use_map = words(vocab), use_map

    def __call__(self, source: list[int], length: int) -> int:
        """How many tokens were written."""
        (result,) = self._translator.translate_batch(
            [[self._words[i] for i in source]],
            beam_size=1,
            min_decoding_length=length,
            max_decoding_length=length,
            use_vmap=self._use_map,
        )
        return len(result.hypotheses[0])


def log_probs(
    folder: Path, vocab: int, source: list[int], target: list[int]
) -> NDArray[np.float64]:
    """Of each target id in turn, computed in float32; both sides end in </s>."""
    scorer = Translator(str(folder), compute_type="float32", inter_threads=1, intra_threads=1)
    names = words(vocab)
    texts = [[names[i] for i in ids] for ids in (source, target[:-1])]  # it adds </s> itself
    (result,) = scorer.score_batch([texts[0]], [texts[1]])
    return np.array(result.log_probs)
