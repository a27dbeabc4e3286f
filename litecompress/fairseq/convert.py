"""From the authors' checkpoints to the config and the weights of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from litecompress.errors import CheckpointError
from litecompress.fairseq.architecture import architecture
from litecompress.fairseq.arguments import Arguments
from litecompress.fairseq.container import Stored, open_stored
from litecompress.fairseq.names import aliases, modern, their_name
from litecompress.fairseq.pickled import Record
from litecompress.fairseq.tensors import Array, Tensor
from litecompress.model.config import ModelConfig
from litecompress.model.shapes import weight_shapes

SHOWN = 3  # of many problems alike
_BAND_TABLE = re.compile(r"decoder\.embed_tokens\.embeddings\.\d+\.0\.weight")


@dataclass(frozen=True)
class Converted:
    """One checkpoint in our names."""

    config: ModelConfig
    weights: Mapping[str, Array]


def read_checkpoints(paths: Sequence[Path]) -> Converted:
    """The mean of checkpoints of one model; what is foreign or differs is a CheckpointError."""
    first = read_checkpoint(paths[0])
    if len(paths) == 1:
        return first
    total: dict[str, NDArray[np.float64]]
    total = {name: w.astype(np.float64) for name, w in first.weights.items()}
    for path in paths[1:]:
        other = read_checkpoint(path)
        differing = [
            f.name
            for f in fields(ModelConfig)
            if getattr(first.config, f.name) != getattr(other.config, f.name)
        ]
        if differing:
            raise CheckpointError(
                f"expected checkpoints of one model, got {paths[0]} and {path}, which differ in "
                f"{', '.join(differing)}"
            )
        for name, weight in other.weights.items():
            total[name] += weight
    mean = {name: (w / len(paths)).astype(np.float32) for name, w in total.items()}
    return Converted(first.config, mean)


def read_checkpoint(path: Path) -> Converted:
    """One checkpoint of fairseq 0.8, as the authors' code writes it."""
    with open_stored(path) as stored:
        arguments, weights = _parts(stored)
        found = architecture(arguments, *_vocabularies(weights))
        config, branched, tied = found.config, found.branched, found.tied
        names = {ours: their_name(ours, config, branched, tied) for ours in weight_shapes(config)}
        second_names = aliases(config, tied)
        _check_names(weights, names, second_names)
        _check_shapes(weights, names, config)
        _check_equal(stored, weights, second_names)
        return Converted(config, _arrays(stored, weights, names, config))


def _parts(stored: Stored) -> tuple[Arguments, dict[str, Tensor]]:
    """Arguments and weights of a checkpoint."""
    content = stored.content if type(stored.content) is dict else {}
    arguments, model = content.get("args"), content.get("model")
    if isinstance(arguments, Record):
        arguments = {} if arguments.state is None else arguments.state
    if type(arguments) is not dict or type(model) is not dict:
        raise CheckpointError(
            "expected a fairseq checkpoint with `args` and `model`, got "
            f"{', '.join(str(k)[:40] for k in list(content)[:8]) or 'something else'}"
        )
    if not all(type(n) is str and isinstance(t, Tensor) for n, t in model.items()):
        raise CheckpointError("expected a model of named tensors, got something else in it")
    if sum(tensor.size for tensor in model.values()) > stored.file_bytes:
        raise CheckpointError("expected tensors that the file has room for, got more numbers")
    return Arguments(arguments, layers_limit=len(model)), modern(model)


def _vocabularies(weights: Mapping[str, Tensor]) -> tuple[int | None, int]:
    """Rows of the source's table (None for a language model) and of the target's."""
    source = weights.get("encoder.embed_tokens.weight")
    bands = [t for n, t in weights.items() if _BAND_TABLE.fullmatch(n)]
    tables = bands or [t for n, t in weights.items() if n == "decoder.embed_tokens.weight"]
    if not tables or any(t.shape == () for t in (*tables, *([source] if source else []))):
        raise CheckpointError(
            "expected an encoder and decoder or a language model, got no table "
            f"decoder.embed_tokens but {_shown(list(weights))}; is it another architecture?"
        )
    return source.shape[0] if source else None, sum(t.shape[0] for t in tables)


def _check_names(
    weights: Mapping[str, Tensor], names: Mapping[str, str], second_names: Mapping[str, str]
) -> None:
    """A CheckpointError where weights are missing, or are there that our model has no use for."""
    missing = sorted(set(names.values()) - weights.keys())
    unexpected = sorted(weights.keys() - set(names.values()) - second_names.keys())
    if missing or unexpected:
        raise CheckpointError(
            "expected the weights that its arguments announce, got another architecture: "
            f"missing {_shown(missing)}; unexpected {_shown(unexpected)}"
        )


def _check_shapes(
    weights: Mapping[str, Tensor], names: Mapping[str, str], config: ModelConfig
) -> None:
    """A CheckpointError where shapes are not those of the config."""
    wrong = [
        f"{names[name]} is {_shape(weights[names[name]])}, not {shape}"
        for name, shape in weight_shapes(config).items()
        if _shape(weights[names[name]]) != shape
    ]
    if wrong:
        raise CheckpointError(f"expected shapes that its arguments announce, got {_shown(wrong)}")


def _shape(tensor: Tensor) -> tuple[int, ...]:
    """The shape of a weight; a kernel that is stored as (H, 1, K) is (H, K)."""
    shape = tensor.shape
    return (shape[0], shape[2]) if len(shape) == 3 and shape[1] == 1 else shape


def _check_equal(
    stored: Stored, weights: Mapping[str, Tensor], second_names: Mapping[str, str]
) -> None:
    """A CheckpointError where what should be one weight under two names is two."""
    unequal = [
        f"{second} and {first}"
        for second, first in second_names.items()
        if second in weights
        and weights[second] != weights[first]
        and not np.array_equal(stored.array(weights[second]), stored.array(weights[first]))
    ]
    if unequal:
        raise CheckpointError(f"expected tied weights, got different {_shown(unequal)}")


def _arrays(
    stored: Stored, weights: Mapping[str, Tensor], names: Mapping[str, str], config: ModelConfig
) -> dict[str, Array]:
    """The numbers under our names; any that are not finite are a CheckpointError."""
    shapes = weight_shapes(config)
    found = {n: stored.array(weights[names[n]]).reshape(shape) for n, shape in shapes.items()}
    infinite = [names[n] for n, values in found.items() if not np.isfinite(values).all()]
    if infinite:
        raise CheckpointError(f"expected finite weights, got others in {_shown(infinite)}")
    return found


def _shown(names: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = f" (and {len(names) - SHOWN} more)" if len(names) > SHOWN else ""
    return (", ".join(name[:100] for name in names[:SHOWN]) or "none") + more
