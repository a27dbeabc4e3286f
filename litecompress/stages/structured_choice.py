"""Which heads and channels to remove: those of least importance for what they cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from math import gcd
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from litecompress.model.config import Kept, ModelConfig
from litecompress.model.layer_shape import Stack, kept

Structure = Literal["attention_heads", "conv_heads", "conv_channels", "ffn_channels"]
Cost = Callable[[ModelConfig], int]
_FIELDS: dict[Structure, tuple[tuple[str, str], ...]] = {  # part of a layer, what counts in it
    "attention_heads": (
        ("attention", "attention_heads"),
        ("cross_attention", "cross_attention_heads"),
    ),
    "conv_heads": (("conv", "conv_heads"),),
    "conv_channels": (("conv", "conv_head_dim"),),
    "ffn_channels": (("ffn", "ffn_dim"),),
}
_STACKS: tuple[Stack, ...] = ("encoder", "decoder")


@dataclass(frozen=True)
class Place:
    """One number of one layer that may become smaller, such as its feed-forward channels."""

    stack: Stack
    layer: int
    part: str
    field: str

    @property
    def branch(self) -> str:
        """The module that has it."""
        return f"{self.stack}.{self.layer}.{self.part}"

    def of(self, config: ModelConfig) -> int:
        """The number in a config."""
        return int(getattr(kept(config, self.stack)[self.layer], self.field))

    def smaller(self, config: ModelConfig, by: int) -> ModelConfig:
        """The config with so many fewer."""
        layers: list[Kept] = list(kept(config, self.stack))
        layers[self.layer] = replace(layers[self.layer], **{self.field: self.of(config) - by})
        if self.stack == "encoder":
            return replace(config, encoder_kept=tuple(layers))
        return replace(config, decoder_kept=tuple(layers))


@dataclass(frozen=True)
class Unit:
    """What is removed at once: `count` of a place, which are these channels within its branch."""

    place: Place
    count: int
    channels: tuple[int, ...]
    importance: float


def places(config: ModelConfig, structures: Iterable[Structure]) -> list[Place]:
    """Where a model has such structures."""
    fields = [field for structure in structures for field in _FIELDS[structure]]
    found = [
        Place(stack, layer, *field)
        for stack in _STACKS
        for layer in range(len(kept(config, stack)))
        for field in fields
    ]
    return [place for place in found if place.of(config)]


def units(
    place: Place, config: ModelConfig, importance: NDArray[np.float32], multiple: int
) -> list[Unit]:
    """All that can be removed from a place, least important first; something always stays.

    `importance` is that of each channel of the branch. Channels go in steps that leave a multiple.
    """
    number, heads = place.of(config), _heads(place, config)
    by_head = importance.reshape(heads, -1)  # (H, W)
    channel = np.arange(importance.size).reshape(by_head.shape)
    if place.field.endswith("heads"):
        scores, members, step = by_head.sum(axis=1), channel, 1
    else:  # equally many of every head, the least of each
        order = by_head.argsort(axis=1, kind="stable")
        scores = np.take_along_axis(by_head, order, axis=1).sum(axis=0)
        members = np.take_along_axis(channel, order, axis=1).T
        step = multiple // gcd(multiple, heads)
    order = scores.argsort(kind="stable")
    found = []
    for begin, end in _steps(number, step):
        chosen = order[begin:end]
        channels = tuple(sorted(int(c) for c in members[chosen].reshape(-1)))
        found.append(Unit(place, end - begin, channels, float(scores[chosen].sum())))
    return found


def _heads(place: Place, config: ModelConfig) -> int:
    """Heads that the channels of a place are divided among."""
    layer = kept(config, place.stack)[place.layer]
    return {
        "attention": layer.attention_heads,
        "cross_attention": layer.cross_attention_heads,
        "conv": layer.conv_heads,
    }.get(place.part, 1)


def _steps(number: int, step: int) -> Iterator[tuple[int, int]]:
    """Begin and end of what goes at once, so that a multiple of the step is left each time."""
    begin = 0
    while number - begin > step:
        end = begin + ((number - begin) % step or step)
        yield begin, end
        begin = end


def removed(chosen: Iterable[Unit]) -> dict[str, list[int]]:
    """The channels to remove by branch."""
    channels: dict[str, list[int]] = {}
    for unit in chosen:
        channels.setdefault(unit.place.branch, []).extend(unit.channels)
    return channels


def to_save(
    candidates: Sequence[Sequence[Unit]], config: ModelConfig, cost: Cost, target: float
) -> list[Unit] | int:
    """Units to remove to save the cost of `target`; if all do not reach that, what they save.

    `candidates` are those of each place. The least important for what they cost go first, and of
    each place in its order: what one saves does not depend on other places.
    """
    queue = []
    for number, of_place in enumerate(candidates):
        savings = _savings(of_place, config, cost)
        rates = (unit.importance / s for unit, s in zip(of_place, savings, strict=True))
        ranked = zip(accumulate(rates, max), savings, of_place, strict=True)
        queue += [(rate, number, i, s, unit) for i, (rate, s, unit) in enumerate(ranked)]
    queue.sort(key=lambda entry: entry[:3])
    chosen, saved = [], 0
    for *_, saving, unit in queue:
        if saved >= target:
            break
        chosen.append(unit)
        saved += saving
    return chosen if saved >= target else saved


def _savings(of_place: Sequence[Unit], config: ModelConfig, cost: Cost) -> list[int]:
    """What each unit saves after those before it."""
    costs, count = [cost(config)], 0
    for unit in of_place:
        count += unit.count
        costs.append(cost(unit.place.smaller(config, count)))
    return [before - after for before, after in pairwise(costs)]


def of_each(
    candidates: Mapping[Place, Sequence[Unit]], config: ModelConfig, share: float
) -> list[Unit]:
    """Units to remove so that every place loses at most this share of what it has."""
    chosen = []
    for place, of_place in candidates.items():
        most = share * place.of(config) + 1e-9  # 0.29 of 100 is 29
        counts = accumulate(unit.count for unit in of_place)
        chosen += [unit for unit, n in zip(of_place, counts, strict=True) if n <= most]
    return chosen
