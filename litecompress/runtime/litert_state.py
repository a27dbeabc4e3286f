"""What a LiteRT decoder carries: a row's buffers are written once, then only read.

So hypotheses that grow from the same one share its caches, and reordering copies nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from litecompress.runtime.litert_model import Buffer, Signature
from litecompress.runtime.session import Logits, State

MASKED = -1e4  # a score that must not count, as in the model
KEPT_BYTES = 16 * 2**20  # of buffers that wait to be used again
Named = dict[str, Buffer]


class Held:
    """Buffers that go back to their pool as soon as nobody holds them."""

    def __init__(self, pool: _Pool) -> None:
        self.buffers, self._pool = pool.take(), pool

    def __del__(self) -> None:
        self._pool.give_back(self.buffers)


class _Pool:
    """Sets of buffers of some inputs of a signature."""

    def __init__(self, signature: Signature, names: Sequence[str]) -> None:
        self._signature, self._names = signature, names
        self._free: list[Named] = []

    def take(self) -> Named:
        """A set with anything in it."""
        return self._free.pop() if self._free else self.new()

    def new(self) -> Named:
        """A set of zeros."""
        return {name: self._signature.buffer(name) for name in self._names}

    def give_back(self, buffers: Named) -> None:
        """Keep a set, if they are not too many."""
        size = sum(buffer.array.nbytes for buffer in buffers.values())
        if (len(self._free) + 1) * size <= KEPT_BYTES:
            self._free.append(buffers)


@dataclass(frozen=True)
class Row:
    """One hypothesis: what belongs to its source, and its caches."""

    fixed: Held
    caches: Held


class StepGraph:
    """A decoder step for caches of `length` positions."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.length = int(signature.name.rpartition("_")[2])
        self.scores = signature.outputs[0]
        caches = [n for n in signature.inputs if f"next_{n}" in signature.outputs]
        others = [n for n in signature.inputs if n not in (*caches, "token", "step")]
        self._caches, self._fixed = _Pool(signature, caches), _Pool(signature, others)
        self._token, self._step = signature.buffer("token"), signature.buffer("step")
        self._logits = signature.buffer(self.scores)

    def empty(self) -> Row:
        """Before the first token; what belongs to the source has anything in it."""
        row = Row(Held(self._fixed), Held(self._caches))
        for buffer in row.caches.buffers.values():
            buffer.array.fill(0)
        return row

    def run(self, token: int, step: int, row: Row) -> tuple[Logits, Row]:
        """Scores (V,) after a token, and the row after it."""
        after = Held(self._caches)
        self._token.array.fill(token)
        self._step.array.fill(step)
        inputs = {"token": self._token, "step": self._step}
        outputs = {f"next_{name}": buffer for name, buffer in after.buffers.items()}
        self.signature.run(
            {**inputs, **row.fixed.buffers, **row.caches.buffers},
            {self.scores: self._logits, **outputs},
        )
        return self._logits.array[0].copy(), Row(row.fixed, after)

    def taken_over(self, row: Row) -> Row:
        """A row of a shorter graph with room for more; what is new counts for nothing."""
        longer = self.empty()
        for old, new in ((row.fixed, longer.fixed), (row.caches, longer.caches)):
            for name, buffer in old.buffers.items():
                array = new.buffers[name].array
                array.fill(MASKED if name == "memory_bias" else 0)
                array[tuple(map(slice, buffer.array.shape))] = buffer.array
        return longer


class LiteRTState(State):
    """Rows of one graph."""

    def __init__(self, graph: StepGraph, held: list[Row]) -> None:
        self.graph, self.held = graph, held

    @property
    def fixed(self) -> dict[str, NDArray[np.float32]]:  # type: ignore[override]
        """What belongs to the sources, as arrays of their own."""
        return joined([row.fixed.buffers for row in self.held])

    @property
    def caches(self) -> dict[str, NDArray[np.float32]]:  # type: ignore[override]
        """The caches, as arrays of their own."""
        return joined([row.caches.buffers for row in self.held])

    def rows(self, order: NDArray[np.intp], *, same_sources: bool = False) -> LiteRTState:
        return LiteRTState(self.graph, [self.held[i] for i in order])

    def moved(self, graph: StepGraph) -> LiteRTState:
        """The same in a graph that is as long or longer."""
        if graph is self.graph:
            return self
        moved = {id(row): graph.taken_over(row) for row in self.held}
        return LiteRTState(graph, [moved[id(row)] for row in self.held])


def joined(rows: Sequence[Named]) -> dict[str, NDArray[np.float32]]:
    """Copies of the rows' arrays as those of a batch."""
    return {name: np.concatenate([row[name].array for row in rows]) for name in rows[0]}
