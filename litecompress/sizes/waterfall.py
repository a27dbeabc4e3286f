"""Bytes of every weight after each step of an artifact's history, as its encodings tell them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from math import prod
from typing import Any

import numpy as np

from litecompress.artifact import Artifact, Step
from litecompress.cost import component
from litecompress.encoding import (
    Bands,
    Dense,
    Encoding,
    Sparse,
    float32_bytes,
    packed_bytes,
    stored_values,
)
from litecompress.ledger import ratio, unpacked_bytes
from litecompress.model.shapes import weight_shapes
from litecompress.sizes.sheet import Sheet, stored_bytes

FLOAT32, PACKED, FILE = "float32", "bit-packed", "entropy-coded"


@dataclass(frozen=True)
class State:
    """The model after a step: bytes of each weight."""

    step: str
    weights: Mapping[str, int]

    def components(self) -> Counter[str]:
        """Bytes by component."""
        counts: Counter[str] = Counter()
        for name, size in self.weights.items():
            counts[component(name)] += size
        return counts


def waterfall(model: Artifact, sheet: Sheet) -> dict[str, Any]:
    """Bytes after each of `steps`, by scope and by component, and the ratios.

    `components` add up to `artifact_bytes`; there tokenizers and config count as they are, until
    the last step is the file itself.
    """
    states = history_states(model)
    stored: Counter[str] = Counter()
    for part in sheet.parts:
        if part.name in model.weights:
            stored[part.name] += part.stored_bytes
    states.append(State(FILE, stored))
    components = _components(states, model, sheet)
    weights = {c: sizes for c, sizes in components.items() if c not in ("tokenizer", "container")}
    scopes = {
        "weights_nonembed": _sum({c: s for c, s in weights.items() if c != "embedding"}),
        "weights_all": _sum(weights),
        "artifact_bytes": _sum(components),
    }
    return {
        "steps": [state.step for state in states],
        "scopes": scopes,
        "components": components,
        "ratios": [
            ratio(scope, state.step, sizes[0], size)
            for scope, sizes in scopes.items()
            for state, size in zip(states[1:], sizes[1:], strict=True)
        ],
    }


def history_states(model: Artifact) -> list[State]:
    """Float32, then the weights after each step, bit-packed with masks, codebooks and scales.

    A step whose zeros a later one has added to cannot be told apart from that: both are one
    state. What no step accounts for is a last state, `bit-packed`.
    """
    history, weights = model.history, model.weights
    places = {name: _Place.of(name, w, history) for name, w in weights.items()}
    merged = {i for place in places.values() for i in place.merged}
    states = [State(FLOAT32, _float32_sizes(model))]
    label: list[str] = []
    for i, step in enumerate(history, 1):
        label.append(step.stage)
        if i not in merged:
            after = {n: places[n].bytes_after(i, w) for n, w in weights.items()}
            states.append(State(" + ".join(label), after))
            label = []
    if any(max(place.masked, place.packed) > len(history) for place in places.values()):
        states.append(State(PACKED, {n: w.nbytes for n, w in weights.items()}))
    return states


def _float32_sizes(model: Artifact) -> dict[str, int]:
    """Bytes of each weight as it was trained, before structures were taken out of it."""
    config = model.config
    if any(step.stage == "structured" for step in model.history):
        config = replace(config, encoder_kept=(), decoder_kept=())
    return {name: 4 * prod(shape) for name, shape in weight_shapes(config).items()}


@dataclass(frozen=True)
class _Place:
    """Steps, counted from 1, that gave a weight its mask and its final values; 0 for neither.

    `merged` are earlier steps whose masks are no longer known.
    """

    masked: int
    packed: int
    merged: frozenset[int]

    @classmethod
    def of(cls, name: str, encoding: Encoding, history: Sequence[Step]) -> _Place:
        beyond = len(history) + 1
        masks = [i for i, step in enumerate(history, 1) if _masks(step, name)] or [beyond]
        packs = [i for i, step in enumerate(history, 1) if _quantizes(step, name)] or [beyond]
        kept = [i for i in packs if i < beyond and name not in _skipped(history[i - 1])]
        leaves = _leaves(encoding)
        masked = any(isinstance(leaf, Sparse) for leaf in leaves)
        return cls(
            masks[-1] if masked else 0,
            (kept or packs)[0] if any(_is_packed(leaf) for leaf in leaves) else 0,
            frozenset(masks[:-1] if masked else ()),
        )

    def bytes_after(self, step: int, encoding: Encoding) -> int:
        if step >= max(self.masked, self.packed):
            return encoding.nbytes
        return _pruned_bytes(encoding) if 0 < self.masked <= step else float32_bytes(encoding)


def _masks(step: Step, name: str) -> bool:
    """Whether a step may set zeros in a weight: pruning, or recovery with gradual pruning."""
    if step.stage == "recover":
        return _matches(step.options.get("gradual"), name)
    return step.stage == "prune" and _matches(step.options, name)


def _quantizes(step: Step, name: str) -> bool:
    return step.stage in ("quantize", "rate_distortion") and _matches(step.options, name)


def _matches(options: Any, name: str) -> bool:
    """Whether the globs `targets` without `exclude` mean a weight; no options mean none."""
    if not isinstance(options, Mapping):
        return False
    wanted, left_out = options.get("targets", ["*"]), options.get("exclude", [])
    return any(fnmatchcase(name, p) for p in wanted) and not any(
        fnmatchcase(name, p) for p in left_out
    )


def _skipped(step: Step) -> Any:
    """Weights that a step stored in half precision only."""
    return step.summary.get("skipped", {})


def _leaves(encoding: Encoding) -> Sequence[Encoding]:
    return encoding.parts if isinstance(encoding, Bands) else (encoding,)


def _is_packed(leaf: Encoding) -> bool:
    """Whether a weight's values are anything but float32."""
    values = stored_values(leaf)
    return not isinstance(values, Dense) or values.values.dtype != np.float32


def _pruned_bytes(encoding: Encoding) -> int:
    """Bytes of a mask and of the survivors in float32."""
    survivors = sum(
        prod(leaf.values.shape) if isinstance(leaf, Sparse) else prod(leaf.shape)
        for leaf in _leaves(encoding)
    )
    return packed_bytes(prod(encoding.shape), 1) + 4 * survivors


def _components(states: list[State], model: Artifact, sheet: Sheet) -> dict[str, list[int]]:
    """Bytes of each component after each state, and of tokenizers and what else a file holds."""
    counts = [state.components() for state in states]
    found = {c: [count[c] for count in counts] for c in sheet.groups() if c in counts[0]}
    tokenizers = len(model.tokenizer) + len(model.target_tokenizer or b"")
    groups, unpacked = sheet.groups(), len(states) - 1
    found["tokenizer"] = [tokenizers] * unpacked + [stored_bytes(groups["tokenizer"])]
    config = unpacked_bytes(model, 0) - tokenizers
    found["container"] = [config] * unpacked + [stored_bytes(groups["container"])]
    return found


def _sum(sizes: Mapping[str, Sequence[int]]) -> list[int]:
    return [sum(column) for column in zip(*sizes.values(), strict=True)]
