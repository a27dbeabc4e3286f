"""Caches for ONNX Runtime that lie still: two sets of arrays, read and written by turns.

Bound to the decoder once, they spare it the checks, copies and allocations of every step. They
begin small and grow, because a decoder works on all positions that its caches have room for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from litecompress.errors import InputError
from litecompress.runtime.session import Logits, State, Tokens

Arrays = dict[str, NDArray[Any]]
FIRST_ROOM = 16  # positions; doubled whenever they are full
KEPT_BYTES = 16 * 2**20  # of buffers that wait for another sentence
TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class Buffers:
    """Everything that a decoder step reads and writes, but for what belongs to the sources."""

    def __init__(self, graph: DecoderGraph, capacity: int, room: int) -> None:
        self._graph, self.capacity, self.room = graph, capacity, room
        self._sides = graph.zeros(capacity, room), graph.zeros(capacity, room)
        self._token = np.zeros((capacity, 1), np.int64)
        self._step = np.zeros(1, np.int64)
        self._scores = np.zeros(0, graph.dtype)  # room for scores of any width
        self._own_bytes = 2 * sum(array.nbytes for array in self._sides[0].values())
        self.turn = 0  # caches are read from side turn % 2
        self.use(capacity)

    @property
    def nbytes(self) -> int:
        """Bytes of the caches, and of what belongs to the sources last bound."""
        return self._own_bytes + sum(array.nbytes for array in (self._fixed or {}).values())

    def use(self, rows: int) -> None:
        """Bind the first `rows` rows only, on both sides."""
        self.rows = rows
        self._fixed: Arrays | None = None
        self._used = tuple({n: a[:rows] for n, a in side.items()} for side in self._sides)
        self._tokens, self._logits = self._token[:rows], np.empty((rows, 0), self._graph.dtype)
        self._bindings = self._bound(0), self._bound(1)

    def caches(self, ahead: int = 0) -> Arrays:
        """What is read next, or `ahead` turns later; of the rows in use."""
        return self._used[(self.turn + ahead) % 2]

    def run(self, tokens: Tokens, step: int, fixed: Arrays) -> Logits:
        """Scores (R, V) after the newest tokens; the caches change sides."""
        if self._fixed is not fixed:
            self._bind(fixed)
        self._tokens[:, 0] = tokens
        self._step[0] = step
        self._graph.session.run_with_iobinding(self._bindings[self.turn % 2])
        self.turn += 1
        return self._logits.astype(np.float32)

    def _bind(self, fixed: Arrays) -> None:
        """Bind what belongs to the sources, and scores as wide as that makes them."""
        for binding in self._bindings:
            for name, array in fixed.items():
                binding.bind_cpu_input(name, array)
        self._fixed, width = fixed, self._graph.width(fixed)
        if self._logits.shape[1] == width:
            return
        count = self.rows * width
        if len(self._scores) < count:
            self._scores = np.zeros(count, self._graph.dtype)
        self._logits = self._scores[:count].reshape(self.rows, width)
        value = onnxruntime.OrtValue.ortvalue_from_numpy(self._logits)
        for binding in self._bindings:
            binding.bind_ortvalue_output(self._graph.scores, value)

    def _bound(self, side: int) -> onnxruntime.IOBinding:
        """Inputs from one side, outputs to the other."""
        binding = self._graph.session.io_binding()
        inputs = {"token": self._tokens, "step": self._step, **self._used[side]}
        outputs = {f"next_{name}": array for name, array in self._used[1 - side].items()}
        for name, array in inputs.items():
            binding.bind_cpu_input(name, array)
        for name, array in outputs.items():
            value = onnxruntime.OrtValue.ortvalue_from_numpy(array)
            binding.bind_ortvalue_output(name, value)
        return binding


class DecoderGraph:
    """A decoder step with its buffers, those in use and those that wait to be used again."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self.session = session
        scores, *after = session.get_outputs()
        self.scores, self._width, self.dtype = scores.name, scores.shape[1], TYPES[scores.type]
        self.shared = {i.name for i in session.get_inputs() if i.shape[0] != "batch"}
        names = {output.name.removeprefix("next_") for output in after}
        self._caches = [i for i in session.get_inputs() if i.name in names]
        self._kept: dict[tuple[int, int], list[Buffers]] = {}
        self._kept_bytes = 0

    def width(self, fixed: Arrays) -> int:
        """Columns of the scores: those of the vocabulary, or as many as rows are handed in."""
        return self._width if isinstance(self._width, int) else len(fixed["output_rows"])

    def state(
        self,
        fixed: Arrays,
        rows: int,
        length: int,
        candidates: NDArray[np.intp] | None = None,
    ) -> BoundState:
        """Empty caches, with room for `length` positions in the end."""
        buffers = self.take(rows, min(FIRST_ROOM, length))
        for array in buffers.caches().values():
            array.fill(0)
        return BoundState(self, fixed, buffers, length, candidates)

    def zeros(self, rows: int, room: int) -> Arrays:
        """One side of new buffers."""
        named = {"batch": rows, "target_length": room}
        return {
            i.name: np.zeros([named.get(n, n) for n in i.shape], TYPES[i.type])
            for i in self._caches
        }

    def take(self, rows: int, room: int) -> Buffers:
        """Buffers of exactly that size, with anything in them."""
        kept = self._kept.get((rows, room))
        if not kept:
            return Buffers(self, rows, room)
        buffers = kept.pop()
        self._kept_bytes -= buffers.nbytes
        if buffers.rows != rows:
            buffers.use(rows)
        return buffers

    def give_back(self, buffers: Buffers) -> None:
        """Keep buffers for another sentence, if they are not too many."""
        buffers.turn += 1  # so that no state may use them further
        self._kept_bytes += buffers.nbytes
        if self._kept_bytes > KEPT_BYTES:
            self._kept, self._kept_bytes = {}, 0
        else:
            self._kept.setdefault((buffers.capacity, buffers.room), []).append(buffers)


class BoundState(State):
    """A state in buffers: used up by the next step, or by choosing rows of it."""

    def __init__(
        self,
        graph: DecoderGraph,
        fixed: Arrays,
        buffers: Buffers,
        length: int,
        candidates: NDArray[np.intp] | None = None,
    ) -> None:
        super().__init__(fixed, buffers.caches(), candidates)
        self._graph, self._buffers, self._length = graph, buffers, length
        self._turn = buffers.turn

    def step(self, tokens: Tokens, step: int) -> tuple[Logits, BoundState]:
        """Scores after the newest tokens, and the state after them."""
        buffers = self._current()
        if step >= buffers.room:
            buffers = self._grown(step + 1)
        scores = buffers.run(tokens, step, self.fixed)
        return scores, self._next(self.fixed, buffers)

    def rows(self, order: NDArray[np.intp], *, same_sources: bool = False) -> BoundState:
        fixed = self.fixed
        if not same_sources:
            shared = self._graph.shared
            fixed = {n: a if n in shared else a.take(order, 0) for n, a in fixed.items()}
        buffers = self._current()
        if len(order) > buffers.capacity:
            buffers = self._graph.take(len(order), buffers.room)
        elif len(order) != buffers.rows:
            buffers.use(len(order))
        into = buffers.caches(ahead=1)
        for name, array in self.caches.items():
            array.take(order, 0, into[name], "clip")
        buffers.turn += 1
        self._leave(buffers)
        return self._next(fixed, buffers)

    def release(self) -> None:
        self._graph.give_back(self._current())

    def _next(self, fixed: Arrays, buffers: Buffers) -> BoundState:
        return BoundState(self._graph, fixed, buffers, self._length, self.candidates)

    def _current(self) -> Buffers:
        """The buffers, as long as they hold this state."""
        if self._turn != self._buffers.turn:
            raise ValueError("expected the newest state, got one that a later step has used up")
        return self._buffers

    def _grown(self, needed: int) -> Buffers:
        """Buffers with more room and the same content."""
        if needed > self._length:
            raise InputError(
                f"onnx: expected at most {self._length} target tokens, as asked for, got {needed}"
            )
        room = self._buffers.room
        while room < needed:
            room *= 2
        buffers = self._graph.take(self._buffers.rows, min(room, self._length))
        for name, array in buffers.caches().items():
            array.fill(0)
            array[tuple(map(slice, self.caches[name].shape))] = self.caches[name]
        self._leave(buffers)
        return buffers

    def _leave(self, buffers: Buffers) -> None:
        """Give back what this state lay in, if the next one lies in others."""
        if buffers is not self._buffers:
            self._graph.give_back(self._buffers)
