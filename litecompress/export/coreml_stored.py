"""A weight as a Core ML program writes it down: constant expressions over packed arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from litecompress.encoding import Array, packed_bytes

Deployment = Literal["iOS17", "iOS18"]
Number = Literal["fp16", "fp32"]

WIDTHS = {"fp16": 16, "fp32": 32, "int32": 32, "uint32": 32, "int8": 8}
NUMBERS: dict[str, np.dtype[Any]] = {"fp16": np.dtype(np.float16), "fp32": np.dtype(np.float32)}
IN_FILE = 10  # elements from which an array is in the file of weights, not in the graph
OPERATOR_BYTES = 192  # what an operator and the headers of its arrays cost, as measured


@dataclass(frozen=True, eq=False)
class Constant:
    """An array in one of MIL's types, whose integers may have fewer than 8 bits."""

    values: Array
    kind: str

    @property
    def nbytes(self) -> int:
        return packed_bytes(self.values.size, width(self.kind))


@dataclass(frozen=True)
class Step:
    """One `constexpr_*` operator; `feeds` names the inputs that the step before it gives."""

    operator: str
    constants: dict[str, Constant]
    feeds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stored:
    """A weight as operators one after another; the last one's result is the weight."""

    steps: tuple[Step, ...]

    def constants(self) -> Iterator[Constant]:
        """The arrays that are in the file of weights."""
        for step in self.steps:
            yield from (c for c in step.constants.values() if c.values.size >= IN_FILE)

    @property
    def nbytes(self) -> int:
        """Bytes of arrays and, about, of what belongs to them."""
        return OPERATOR_BYTES * len(self.steps) + sum(
            c.nbytes for step in self.steps for c in step.constants.values()
        )


def width(kind: str) -> int:
    """Bits of a number of that type."""
    return WIDTHS.get(kind) or int(kind.removeprefix("uint").removeprefix("int"))
