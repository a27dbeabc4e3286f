"""What `litecompress inspect` says of a preset, a checkpoint or an artifact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from litecompress.cost import all_macs, component, nonembed, paper_macs, parameters
from litecompress.errors import InputError
from litecompress.model.config import ModelConfig
from litecompress.model.layer_shape import kept
from litecompress.model.presets import PRESETS, preset

if TYPE_CHECKING:
    from litecompress.artifact import Artifact

LENGTH = 30
"""Tokens of source and of target where none are named: the paper's."""


def inspect_model(
    model: str, source_length: int | None = None, target_length: int | None = None
) -> dict[str, Any]:
    """Costs by component of a preset, or of a checkpoint or artifact at this path.

    `total` sums the components, `paper` what the paper counts of them; of a model that was pruned
    in structure `kept` says what each layer has left. A path goes before a preset of the same
    name. Lengths below 1 or a language model's source are an InputError.
    """
    _check_lengths(source_length, target_length)
    config, kind, stored = _open(model)
    if config.is_language_model and source_length is not None:
        raise InputError(
            f"expected no source length, as {model} is a language model, got {source_length}; "
            "leave --source-length out"
        )
    source = 0 if config.is_language_model else source_length or LENGTH
    target = target_length or LENGTH
    counts = _counts(config, source, target) | ({"stored_bytes": stored} if stored else {})
    return {
        "model": model,
        "kind": kind,
        **_shape(config),
        **_kept(config),
        "source_length": source or None,
        "target_length": target,
        "components": {
            name: {measure: values[name] for measure, values in counts.items()}
            for name in counts["parameters"]
        },
        "total": {measure: sum(values.values()) for measure, values in counts.items()},
        "paper": {
            measure: sum(values.values()) if measure == "paper_macs" else nonembed(values)
            for measure, values in counts.items()
            if measure != "all_macs"
        },
    }


def inspect_presets() -> list[dict[str, Any]]:
    """Every preset with its costs in the paper's scope at 30 tokens."""
    return [
        {
            "preset": name,
            **_shape(config),
            "nonembed_parameters": nonembed(parameters(config)),
            "parameters": sum(parameters(config).values()),
            "paper_macs": sum(paper_macs(config, LENGTH, LENGTH).values()),
            "all_macs": sum(all_macs(config, LENGTH, LENGTH).values()),
        }
        for name, config in PRESETS.items()
    ]


def family(config: ModelConfig) -> str:
    """What the field calls a model of these layers."""
    kernels = {*config.encoder_kernel_sizes, *config.decoder_kernel_sizes}
    name = "Lite Transformer"
    if not config.attention_heads:
        name = "LightConv" if config.conv_type == "lightweight" else "DynamicConv"
    elif not any(kernels):
        name = "Transformer"
    return f"{name} language model" if config.is_language_model else name


def _shape(config: ModelConfig) -> dict[str, Any]:
    """What a reader recognises a configuration by."""
    return {
        "family": family(config),
        "layers": [len(config.encoder_kernel_sizes), len(config.decoder_kernel_sizes)],
        "embed_dim": config.embed_dim,
        "ffn_dim": config.ffn_dim,
        "vocab_sizes": [config.source_vocab_size, config.target_vocab_size],
    }


def _kept(config: ModelConfig) -> dict[str, Any]:
    """What is left of every layer, where structured pruning left less than all."""
    if not config.encoder_kept and not config.decoder_kept:
        return {}
    layers = {"encoder": kept(config, "encoder"), "decoder": kept(config, "decoder")}
    return {"kept": {stack: [asdict(layer) for layer in of] for stack, of in layers.items()}}


def _counts(config: ModelConfig, source: int, target: int) -> dict[str, Mapping[str, int]]:
    """Every measure of every component."""
    numbers = parameters(config)
    return {
        "parameters": numbers,
        "float32_bytes": {name: 4 * n for name, n in numbers.items()},
        "paper_macs": paper_macs(config, source, target),
        "all_macs": all_macs(config, source, target),
    }


def _open(model: str) -> tuple[ModelConfig, str, dict[str, int] | None]:
    """Config and kind of a model; of an artifact also the bytes stored a component."""
    path = Path(model)
    if not path.exists() and path.name == model and path.suffix != ".litec":
        try:
            return preset(model), "preset", None
        except InputError as error:
            raise InputError(f"{model}: no such file or folder; {error}") from error
    from litecompress.artifact_file import load_model

    artifact = load_model(path)
    if path.is_dir():
        return artifact.config, "checkpoint", None
    return artifact.config, "artifact", _stored_bytes(artifact)


def _stored_bytes(artifact: Artifact) -> dict[str, int]:
    """Bytes of each component as stored, bit-packed, before the entropy coder."""
    stored = dict.fromkeys(parameters(artifact.config), 0)
    for name, encoding in artifact.weights.items():
        stored[component(name)] += encoding.nbytes
    return stored


def _check_lengths(source_length: int | None, target_length: int | None) -> None:
    """An InputError that names every length below 1."""
    given = {"--source-length": source_length, "--target-length": target_length}
    wrong = [f"{name} {value}" for name, value in given.items() if value is not None and value < 1]
    if wrong:
        raise InputError(f"expected lengths of at least 1 token, got {', '.join(wrong)}")
