"""Core ML programs where there is no Core ML: every operator evaluated with NumPy, *emulated*.

This checks the graph and the weights that a package really holds; it says nothing about the
speed of Apple's runtime, nor of the last bits that its kernels give.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from litecompress.errors import InputError, UnsupportedOpError
from litecompress.runtime.mil_batch import batched, shifted
from litecompress.runtime.mil_constexpr import CONSTANT_EXPRESSIONS
from litecompress.runtime.mil_half import rounded_to_half
from litecompress.runtime.mil_ops import OPERATORS, Array
from litecompress.runtime.mil_package import Package, Tensor, tensor_of

Names = str | tuple[str, ...]
STATES = ("read_state", "write_state")
DAMAGED = (KeyError, ValueError, IndexError, TypeError)  # what operators that do not fit raise
MOVES = frozenset(  # give nothing but values that they were given
    {"concat", "expand_dims", "gather", "identity", "maximum", "minimum", "relu", "reshape"}
    | {"slice_by_index", "slice_update", "split", "tile", "transpose"}
)


@dataclass(frozen=True)
class _Operation:
    """One operator: which values it reads, and the names and types that it gives them."""

    run: Callable[..., Any]
    constants: Mapping[str, Any]
    inputs: Mapping[str, Names]
    outputs: tuple[tuple[str, np.dtype[Any]], ...]
    moves: bool
    done: tuple[str, ...] = ()  # values that nobody reads after it

    def __call__(self, values: dict[str, Array]) -> None:
        """Add this operator's results to the values."""
        given = {
            key: values[name] if isinstance(name, str) else [values[n] for n in name]
            for key, name in self.inputs.items()
        }
        results = self.run(**given, **self.constants)
        many = isinstance(results, (tuple, list))
        for (name, dtype), result in zip(self.outputs, results if many else [results], strict=True):
            values[name] = result if self.moves else typed(result, dtype)
        for name in self.done:
            del values[name]


class Program:
    """One function of an `.mlpackage`: arrays in and out by name, the rows of a batch first.

    Half-precision values are rounded to float16 after every operator and computed in float32, as
    with wide accumulators. An UnsupportedOpError names every operator that is not known here.
    """

    def __init__(self, package: Package, function: str) -> None:
        self.inputs, self.states = package.inputs(function)
        self.outputs = package.outputs(function)
        self.constants: dict[str, Any] = {}
        self._package = package
        self._ranks = {n: len(t.shape) for n, t in (self.inputs | self.states).items()}
        self._operations: list[_Operation] = []
        _refuse_unknown(package)
        for op in package.operations(function):
            try:
                self._add(op)
            except DAMAGED as error:
                raise InputError(
                    f"{package.path}: expected operators that fit together, got {op.type} in "
                    f"{function} ({error!r}); export again"
                ) from error
        self._forget()

    def __call__(
        self, inputs: Mapping[str, Array], states: dict[str, Array] | None = None
    ) -> dict[str, Array]:
        """Run once for rows (B, ..) of what the program takes as (1, ..); states change."""
        values = dict(self.constants)
        for kinds, given in ((self.inputs, inputs), (self.states, states or {})):
            for name, tensor in kinds.items():
                rows = np.reshape(given[name], (-1, *tensor.shape))
                values[name] = typed(rows, tensor.dtype)
        try:
            with np.errstate(over="ignore"):  # beyond float16 is infinite, here as on a device
                for operation in self._operations:
                    operation(values)
        except DAMAGED as error:
            raise InputError(
                f"{self._package.path}: expected operators that fit together ({error!r}); "
                "export again"
            ) from error
        if states is not None:
            states.update((name, values[name].squeeze(1)) for name in self.states)
        return {name: values[name].squeeze(1) for name in self.outputs}

    def _add(self, op: Any) -> None:
        """One operator: its constants now, all else when the program runs."""
        if op.type == "const":
            self.constants[op.outputs[0].name] = _wide(self._package.value(op.attributes["val"]))
            return
        outputs = tuple((o.name, tensor_of(o.type)) for o in op.outputs)
        constants, inputs = self._arguments(op)
        if op.type in STATES:
            self._add_state(op, inputs, outputs)
        elif not inputs:
            self._evaluate(op.type, constants, outputs)
        else:
            self._later(op.type, constants, inputs, outputs)

    def _arguments(self, op: Any) -> tuple[dict[str, Any], dict[str, Names]]:
        """Options and operands that are constants, and those that depend on an input."""
        found = {key: [self._bound(b) for b in a.arguments] for key, a in op.inputs.items()}
        constants, inputs = {}, {}
        for key, bound in found.items():
            known = all(name is None or name in self.constants for name, _ in bound)
            several = key == "values"
            if known:
                each = [self.constants[n] if n is not None else v for n, v in bound]
                constants[key] = tuple(each) if several else each[0]
            else:
                names = tuple(str(name) for name, _ in bound)
                inputs[key] = names if several else names[0]
        if op.type.startswith("constexpr_"):
            own = {k: v for k, v in op.attributes.items() if k != "name"}
            constants |= {key: self._package.value(value) for key, value in own.items()}
        return constants, inputs

    def _bound(self, binding: Any) -> tuple[str | None, Any]:
        """The name of a value, or a constant that stands in the operator itself."""
        if binding.WhichOneof("binding") == "name":
            return binding.name, None
        return None, self._package.value(binding.value)

    def _evaluate(
        self, kind: str, constants: dict[str, Any], outputs: Sequence[tuple[str, Tensor]]
    ) -> None:
        """What depends on constants alone; widened only where a program computes with it."""
        is_expression = kind in CONSTANT_EXPRESSIONS
        results = (CONSTANT_EXPRESSIONS if is_expression else OPERATORS)[kind](**constants)
        many = isinstance(results, (tuple, list))
        for (name, tensor), result in zip(outputs, results if many else [results], strict=True):
            if tuple(np.shape(result)) != tensor.shape:
                raise ValueError(f"{name} of shape {tensor.shape}, not {np.shape(result)}")
            self.constants[name] = _wide(result) if is_expression else typed(result, tensor.dtype)

    def _later(
        self,
        kind: str,
        constants: dict[str, Any],
        inputs: dict[str, Names],
        outputs: Sequence[tuple[str, Tensor]],
    ) -> None:
        ranks = {
            key: self._rank(name) if isinstance(name, str) else tuple(map(self._rank, name))
            for key, name in inputs.items()
        }
        declared = tuple((name, tensor.dtype) for name, tensor in outputs)
        run = batched(kind, ranks)
        operation = _Operation(run, shifted(kind, constants), inputs, declared, kind in MOVES)
        self._operations.append(operation)
        self._ranks.update((name, len(tensor.shape)) for name, tensor in outputs)

    def _rank(self, name: str) -> int:
        """Of a value that depends on inputs; -1 for a constant."""
        return -1 if name in self.constants else self._ranks[name]

    def _add_state(
        self, op: Any, inputs: dict[str, Names], outputs: Sequence[tuple[str, Tensor]]
    ) -> None:
        """Reading gives a state's value a name; writing gives the state another value."""
        state = str(inputs["input"])
        if op.type == "read_state":
            (name, tensor), source = outputs[0], state
        else:
            name, tensor, source = state, self.states[state], str(inputs["data"])
        named = ((name, tensor.dtype),)
        self._operations.append(_Operation(lambda x: x, {}, {"x": source}, named, moves=True))
        self._ranks[name] = len(tensor.shape)

    def _forget(self) -> None:
        """Note after which operator each value may go."""
        kept = {*self.constants, *self.outputs, *self.states}
        for i in range(len(self._operations) - 1, -1, -1):
            operation = self._operations[i]
            read = operation.inputs.values()
            named = {n for v in read for n in ((v,) if isinstance(v, str) else v)}
            mine = ({name for name, _ in operation.outputs} | named) - kept
            kept |= mine
            self._operations[i] = replace(operation, done=tuple(sorted(mine)))


def typed(value: Array, dtype: np.dtype[Any]) -> Array:
    """A value in its declared type, but half precision in float32 after rounding."""
    array = np.asarray(value)
    if dtype != np.float16:
        return array.astype(dtype, copy=False)
    return rounded_to_half(array.astype(np.float32, copy=False))


def _wide(value: Any) -> Any:
    """A constant as operators compute with it: half precision in float32."""
    if isinstance(value, np.ndarray) and value.dtype == np.float16:
        return value.astype(np.float32)
    return value


def _refuse_unknown(package: Package) -> None:
    known = OPERATORS.keys() | CONSTANT_EXPRESSIONS.keys() | {"const", *STATES}
    types = {op.type for name in package.functions for op in package.operations(name)}
    if unknown := sorted(types - known):
        raise UnsupportedOpError(
            f"emulated Core ML: expected operators that are written in NumPy here, got "
            f"{', '.join(unknown)} in {package.path.name}; such a program runs on a device only"
        )
