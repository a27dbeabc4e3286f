"""A Core ML package as a session: on macOS by Core ML itself, elsewhere emulated."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from litecompress.errors import InputError
from litecompress.model.config import PAD_ID
from litecompress.runtime.mil_ops import Array
from litecompress.runtime.mil_package import Package, Tensor
from litecompress.runtime.mil_program import Program
from litecompress.runtime.session import Logits, State, Tokens

CACHES = ("key_", "value_", "conv_")  # how the names of a step's caches begin
LONG = ("key_", "value_", "cross_key_", "cross_value_")  # what has room for so many tokens
MASKED = -1e4  # what the encoder adds to the scores of padding
ROWS = 8  # that the encoder takes at a time
ROLES = re.compile(r"(encoder|decoder|step)_(\d{1,9})")


class Function(Protocol):
    """One function of a package, whatever runs it."""

    inputs: dict[str, Tensor]
    states: dict[str, Tensor]

    def __call__(
        self, inputs: Mapping[str, Array], states: dict[str, Array] | None = None
    ) -> dict[str, Array]:
        """What it gives for rows of its inputs, (B, ..) for (1, ..); states are replaced."""


class Step:
    """Steps through the buckets of a package, from the one of the source upwards."""

    def __init__(self, functions: Mapping[int, Function], output: str) -> None:
        self._functions, self._output = functions, output
        self.lengths: Sequence[int] = sorted(functions)

    @property
    def max_target(self) -> int:
        return self.lengths[-1]

    def caches(self, batch: int, length: int) -> dict[str, Array]:
        """Those of a bucket before the first token."""
        function = self._functions[length]
        shapes = {n: t.shape for n, t in (function.inputs | function.states).items()}
        return {
            name: np.zeros((batch, *shape[1:]), np.float32)
            for name, shape in shapes.items()
            if name.startswith(CACHES)
        }

    def bucket(self, tokens: int, side: str) -> int:
        """The smallest that has room; an InputError beyond the largest."""
        found = next((length for length in self.lengths if length >= tokens), None)
        if found is None:
            raise InputError(
                f"coreml: expected at most {self.lengths[-1]} {side} tokens, got {tokens}; "
                f"export with `length: {tokens}` or more, or split the sentence"
            )
        return found

    def step(self, tokens: Tokens, step: int, state: State) -> tuple[Logits, State]:
        """Logits (B, V); where the caches are full, in the next bucket."""
        length = max(self.bucket(step + 1, "target"), self._length_of(state))
        state = State(
            {name: widened(name, value, length) for name, value in state.fixed.items()},
            {name: widened(name, value, length) for name, value in state.caches.items()},
        )
        function, rows = self._functions[length], len(tokens)
        given = {"token": tokens[:, None], "step": np.full(rows, step), **state.fixed}
        states = {n: v for n, v in state.caches.items() if n in function.states}
        plain = {n: v for n, v in state.caches.items() if n not in function.states}
        after = function(given | plain, states if states else None)
        logits = after.pop(self._output)
        states |= {name.removeprefix("next_"): array for name, array in after.items()}
        return logits, State(state.fixed, states)

    def _length_of(self, state: State) -> int:
        """The bucket that a state belongs to; the smallest where nothing has a length."""
        if "memory_bias" in state.fixed:
            return int(state.fixed["memory_bias"].shape[-1])
        keys = [value.shape[2] for name, value in state.caches.items() if name.startswith("key_")]
        return int(keys[0]) if keys else self.lengths[0]


class CoreMLSession(Step):
    """A translation package as a Session."""

    def __init__(self, folder: Path) -> None:
        roles = functions(folder)
        if roles.keys() != {"encoder", "decoder"} or roles["encoder"].keys() != (
            roles["decoder"].keys()
        ):
            raise InputError(
                f"{folder}: expected an encoder and a decoder for each length, got "
                f"{', '.join(sorted(roles)) or 'none'}; export again"
            )
        super().__init__(roles["decoder"], "logits")
        self._encoders = roles["encoder"]

    @property
    def max_source(self) -> int:
        return self.lengths[-1]

    def start(self, source: Tokens, length: int) -> State:
        """Encode in the smallest bucket; caches grow with the target, whatever `length` asks."""
        used = int((source != PAD_ID).any(axis=0).nonzero()[0].max(initial=-1)) + 1
        bucket = self.bucket(used, "source")
        rows = np.full((len(source), bucket), PAD_ID, np.int32)
        rows[:, :used] = source[:, :used]
        encoder = self._encoders[bucket]
        parts = [encoder({"source": rows[i : i + ROWS]}) for i in range(0, len(rows), ROWS)]
        fixed = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return State(fixed, self.caches(len(source), bucket))


class CoreMLLanguageSession(Step):
    """A language model's package as a LanguageSession."""

    def __init__(self, folder: Path) -> None:
        roles = functions(folder)
        if roles.keys() != {"step"}:
            raise InputError(
                f"{folder}: expected a language model's step, got "
                f"{', '.join(sorted(roles)) or 'none'}; use litecompress translate"
            )
        super().__init__(roles["step"], "log_probs")

    def begin(self, batch: int, length: int) -> State:
        """The state before the first token; caches grow, whatever `length` asks."""
        return State({}, self.caches(batch, self.lengths[0]))


def functions(folder: Path) -> dict[str, dict[int, Function]]:
    """The functions of a folder's packages by part and length."""
    found: dict[str, dict[int, Function]] = {}
    packages = sorted(folder.glob("*.mlpackage"))
    if not packages:
        raise InputError(f"{folder}: expected an .mlpackage, got none; export one")
    for path in packages:
        package = Package(path)
        for name in sorted(package.functions):
            match = ROLES.fullmatch(path.stem if name == "main" else name)
            if match is None:
                raise InputError(f"{path}: expected functions of ours, got {name}; export again")
            found.setdefault(match[1], {})[int(match[2])] = _function(package, name)
    return found


def widened(name: str, value: Array, length: int) -> Array:
    """A tensor with room for more tokens, hidden as padding is."""
    if name == "memory_bias" and value.shape[-1] < length:
        more = [(0, 0)] * (value.ndim - 1) + [(0, length - value.shape[-1])]
        return np.pad(value, more, constant_values=MASKED)
    if name.startswith(LONG) and value.shape[2] < length:
        return np.pad(value, ((0, 0), (0, 0), (0, length - value.shape[2]), (0, 0)))
    return value


def _function(package: Package, name: str) -> Function:
    if sys.platform == "darwin":
        from litecompress.runtime.mil_native import NativeFunction

        return NativeFunction(package, name)
    return Program(package, name)
