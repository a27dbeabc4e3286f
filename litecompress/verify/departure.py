"""Where two runs of a model part: the first output that differs more than it may."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litecompress.verify.parity import psnr_db

Array = NDArray[Any]
FALL_DB = 10.0  # below everything before it
_LAYER = re.compile(r"((?:encoder|decoder)\.\d+)\.")
_CACHE = re.compile(r"(?:key|value|conv)_(\d+)")
_CROSS = re.compile(r"cross_(?:key|value)_(\d+)")


@dataclass(frozen=True)
class Output:
    """One inner output in both runs; `place` is a module's name, or that of a state."""

    place: str
    when: str  # `encoder`, or `step N`
    reference: Array
    other: Array

    @property
    def psnr_db(self) -> float:
        """As for logits."""
        return psnr_db(self.reference, self.other)


@dataclass(frozen=True)
class Departure:
    """The first output beyond the bound, with both values where they are farthest apart.

    `layer` is what a reader looks for: `encoder.2`, `decoder.0`, `embedding`; `before_db` the
    least PSNR of the outputs before it, None where there are none.
    """

    layer: str
    place: str
    when: str
    psnr_db: float
    expected: float
    got: float
    before_db: float | None

    @classmethod
    def of(cls, output: Output, before_db: float) -> Departure:
        """With both values of the output where they are farthest apart."""
        expected, got = _worst(output)
        before = before_db if math.isfinite(before_db) else None
        layer = layer_of(output.place)
        return cls(layer, output.place, output.when, output.psnr_db, expected, got, before)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: null for what is not finite."""
        return {
            name: value if not isinstance(value, float) or math.isfinite(value) else None
            for name, value in vars(self).items()
        }

    def __str__(self) -> str:
        return (
            f"{self.layer}: the output of {self.place} is the first to depart ({self.when}, "
            f"{self.psnr_db:.1f} dB): expected {self.expected:.6g}, got {self.got:.6g}"
        )


def first_departure(outputs: Iterator[Output], floor_db: float) -> Departure | None:
    """The first output below the floor, or well below all before it; else the worst of all.

    Inner outputs of a sound int8 package lie up to 20 dB below and above its logits, without
    falling by more than 7 dB below those that came before (measured on the shipped model).
    """
    lowest, worst = math.inf, None
    for output in outputs:
        found = output.psnr_db
        fell = math.isfinite(lowest) and found < lowest - FALL_DB
        if fell or found < floor_db:
            return Departure.of(output, lowest)
        if found < lowest:
            lowest, worst = found, output
    return Departure.of(worst, math.inf) if worst else None


def layer_of(place: str) -> str:
    """The layer of a module, or as much as a state tells of it."""
    if layer := _LAYER.match(place):
        return layer[1]
    if cross := _CROSS.fullmatch(place):
        return f"encoder, or decoder.{cross[1]}.cross_attention"
    if cache := _CACHE.fullmatch(place):
        return _before_cache(int(cache[1]))
    return place.split(".", maxsplit=1)[0]


def shared(reference: Mapping[str, Array], other: Mapping[str, Array], when: str) -> list[Output]:
    """What both have, cut to the size that both have, in the order of the other."""
    found = []
    for place, array in other.items():
        if place not in reference or reference[place].ndim != array.ndim:
            continue
        both = map(min, reference[place].shape, array.shape)
        cut = tuple(slice(0, size) for size in both)
        found.append(Output(place, when, reference[place][cut], array[cut]))
    return found


def _before_cache(layer: int) -> str:
    """A layer's caches come of its input and of its first weights."""
    before = f"decoder.{layer - 1}" if layer else "embedding"
    return f"decoder.{layer}, or {before} before it"


def _worst(output: Output) -> tuple[float, float]:
    """Both values where the error is largest; what is not finite is largest of all."""
    error = np.abs(np.subtract(output.reference, output.other, dtype=np.float64))
    place = np.unravel_index(int(np.nan_to_num(error, nan=np.inf).argmax()), error.shape)
    return float(output.reference[place]), float(output.other[place])
