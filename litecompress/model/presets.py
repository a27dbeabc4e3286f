"""The paper's configurations by name (arXiv:2004.11886 and its authors' configs); no torch needed.

A name is TASK-embedWIDTH, with `transformer-` or `lightconv-` before it for a baseline. What the
paper leaves open is ours: the vocabulary of CNN/DailyMail, and the baselines' dropouts, which are
those of the Lite Transformer beside them in its table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from litecompress.errors import InputError
from litecompress.model.config import ModelConfig

_SIX = (3, 7, 15, 31, 31, 31)
_TRANSLATION = {"encoder_kernel_sizes": _SIX, "decoder_kernel_sizes": _SIX}
_TASKS: dict[str, dict[str, Any]] = {
    "iwslt14-de-en": {
        **_TRANSLATION,
        "source_vocab_size": 8848,
        "target_vocab_size": 6632,
        "share_embeddings": False,
        "conv_type": "lightweight",
        "conv_glu": False,
        "cross_attention_heads": 4,
    },
    "wmt14-en-fr": {**_TRANSLATION, "vocab_size": 44512, "cross_attention_heads": 8},
    "wmt16-en-de": {**_TRANSLATION, "vocab_size": 32768, "cross_attention_heads": 8},
    "cnndm": {**_TRANSLATION, "vocab_size": 32768, "cross_attention_heads": 8},
    "wikitext103": {
        "encoder_kernel_sizes": (),
        "decoder_kernel_sizes": (15,) * 2 + (31,) * 4 + (63,) * 6,
        "vocab_size": 267744,
        "cross_attention_heads": 8,
        "normalize_before": True,
        "adaptive_cutoffs": (20000, 60000),
        "adaptive_factor": 4,
        "adaptive_dropout": 0.2,
        "max_positions": 3072,
    },
}
_LITE: dict[tuple[str, int], tuple[float, float, float, float]] = {
    ("iwslt14-de-en", 160): (0.2, 0.0, 0.1, 0.0),  # dropout, attention, weight, activation
    ("iwslt14-de-en", 240): (0.2, 0.0, 0.1, 0.0),
    ("iwslt14-de-en", 320): (0.2, 0.0, 0.1, 0.0),
    ("wmt14-en-fr", 200): (0.04, 0.03, 0.03, 0.0),
    ("wmt14-en-fr", 408): (0.08, 0.07, 0.07, 0.0),
    ("wmt14-en-fr", 496): (0.1, 0.08, 0.08, 0.0),
    ("wmt16-en-de", 200): (0.04, 0.03, 0.03, 0.0),
    ("wmt16-en-de", 408): (0.08, 0.06, 0.06, 0.0),
    ("wmt16-en-de", 496): (0.1, 0.08, 0.08, 0.0),
    ("cnndm", 496): (0.15, 0.1, 0.1, 0.0),
    ("wikitext103", 896): (0.21, 0.14, 0.14, 0.1),
}
_TRANSFORMERS = (  # task, width, width of the feed-forward network, the Lite Transformer beside
    ("iwslt14-de-en", 128, 256, 160),
    ("iwslt14-de-en", 192, 384, 240),
    ("iwslt14-de-en", 240, 480, 320),
    *((f"wmt{task}", 128, 512, 200) for task in ("14-en-fr", "16-en-de")),
    *((f"wmt{task}", 256, 1024, 408) for task in ("14-en-fr", "16-en-de")),
    *((f"wmt{task}", 320, 1280, 496) for task in ("14-en-fr", "16-en-de")),
    *((f"wmt{task}", 512, 2048, 496) for task in ("14-en-fr", "16-en-de")),
    ("wmt14-en-fr", 720, 720, 496),
    ("cnndm", 512, 2048, 496),
    ("wikitext103", 512, 2048, 896),
    # The widths of the language models beside it in the paper's figure are inferred from their
    # Mult-Adds; only 512 is published.
    ("wikitext103", 256, 1024, 896),
    ("wikitext103", 320, 1280, 896),
    ("wikitext103", 768, 3072, 896),
)
_LIGHTCONVS = (  # task, width, the Lite Transformer beside
    ("iwslt14-de-en", 128, 160),
    ("iwslt14-de-en", 192, 240),
    ("iwslt14-de-en", 256, 320),
)


def preset(name: str, vocab_size: int | None = None) -> ModelConfig:
    """The configuration of this name, with another vocabulary if `vocab_size` says so.

    `vocab_size` holds for both sides. An unknown name is an InputError that lists near ones.
    """
    if name not in PRESETS:
        near = get_close_matches(name, PRESETS, n=3) or ["wmt14-en-fr-embed496"]
        raise InputError(
            f"expected the name of a preset, such as {', '.join(near)}, got {name!r}; "
            "`litecompress inspect --list` shows all"
        )
    config = PRESETS[name]
    if vocab_size is None:
        return config
    return replace(config, source_vocab_size=vocab_size, target_vocab_size=vocab_size)


def _presets() -> Iterator[tuple[str, ModelConfig]]:
    """Every name with its configuration, task by task."""
    for task in _TASKS:
        for of, width in _LITE:
            if of == task:
                yield f"{task}-embed{width}", _lite(task, width)
        for of, width, ffn_dim, beside in _TRANSFORMERS:
            if of == task:
                yield f"transformer-{task}-embed{width}", _transformer(task, width, ffn_dim, beside)
        for of, width, beside in _LIGHTCONVS:
            if of == task:
                yield f"lightconv-{task}-embed{width}", _lightconv(task, width, beside)


def _lite(task: str, width: int) -> ModelConfig:
    """LSRA layers of 4 heads a branch; a feed-forward network as wide as the embedding."""
    return _config(task, width, embed_dim=width, ffn_dim=width)


def _transformer(task: str, width: int, ffn_dim: int, beside: int) -> ModelConfig:
    """Attention over all channels, with as many heads as over the source; no convolution."""
    values = _TASKS[task]
    return _config(
        task,
        beside,
        embed_dim=width,
        ffn_dim=ffn_dim,
        encoder_kernel_sizes=(0,) * len(values["encoder_kernel_sizes"]),
        decoder_kernel_sizes=(0,) * len(values["decoder_kernel_sizes"]),
        attention_heads=values["cross_attention_heads"],
        weight_dropout=0.0,
    )


def _lightconv(task: str, width: int, beside: int) -> ModelConfig:
    """Convolution of all channels, one more layer in the encoder (arXiv:1901.10430 sec. 5)."""
    return _config(
        task,
        beside,
        embed_dim=width,
        ffn_dim=2 * width,
        encoder_kernel_sizes=(*_SIX, 31),
        attention_heads=0,
    )


def _config(task: str, dropouts_of: int, **changes: Any) -> ModelConfig:
    """A task's configuration with the dropouts of its Lite Transformer of that width."""
    values = dict(_TASKS[task])
    if "vocab_size" in values:
        size = values.pop("vocab_size")
        values |= {"source_vocab_size": size, "target_vocab_size": size}
    kinds = ("dropout", "attention_dropout", "weight_dropout", "activation_dropout")
    values |= zip(kinds, _LITE[task, dropouts_of], strict=True)
    return ModelConfig(**{**values, **changes})


PRESETS: Mapping[str, ModelConfig] = MappingProxyType(dict(_presets()))
