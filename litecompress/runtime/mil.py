"""Core ML programs where there is no Core ML: every operator evaluated with NumPy, *emulated*.

This checks the graph and the weights that a package really holds; it says nothing about the
speed of Apple's runtime, nor of the last bits that its kernels give.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litecompress.backends import load_backend
from litecompress.errors import InputError, UnsupportedOpError
from litecompress.model.config import PAD_ID
from litecompress.runtime.mil_ops import OPERATORS
from litecompress.runtime.session import Logits, State, Tokens
from litecompress.silence import silenced

ct = load_backend("coremltools")
mil = load_backend("coremltools.converters.mil.mil")
milproto = load_backend("coremltools.converters.mil.frontend.milproto.load")

Array = NDArray[Any]
WEIGHTS = "Data/com.apple.CoreML/weights"
CACHES = ("key_", "value_", "conv_")  # how the names of the decoder's caches begin


@dataclass(frozen=True)
class _Operation:
    """One operator: which values it reads, and the names and types that it gives them."""

    run: Callable[..., Any]
    inputs: Mapping[str, str | tuple[str, ...]]
    outputs: tuple[tuple[str, np.dtype[Any]], ...]

    def __call__(self, values: dict[str, Array]) -> None:
        """Add this operator's results to the values."""
        arguments = {
            key: values[name] if isinstance(name, str) else tuple(values[n] for n in name)
            for key, name in self.inputs.items()
        }
        results = self.run(**arguments)
        many = isinstance(results, (tuple, list))
        for (name, dtype), result in zip(self.outputs, results if many else [results], strict=True):
            values[name] = _rounded(result, dtype)


class Program:
    """The `main` function of an `.mlpackage`: arrays in and out by name.

    Half-precision values are rounded to float16 after every operator and computed in float32, as
    with wide accumulators. An UnsupportedOpError names every operator that is not known here.
    """

    def __init__(self, package: Path) -> None:
        function = _load(package)
        self.inputs = {name: _type(var) for name, var in function.inputs.items()}
        self.shapes: dict[str, tuple[int, ...]] = {
            name: tuple(var.shape) for name, var in function.inputs.items()
        }
        self._outputs = {var.name: _type(var) for var in function.outputs}
        self.constants: dict[str, Array] = {}
        self._operations: list[_Operation] = []
        _refuse_unknown(package, {op.op_type for op in function.operations})
        for op in function.operations:
            if op.op_type == "const":
                self.constants[op.outputs[0].name] = _constant(op.outputs[0].val)
            elif op.op_type.startswith("constexpr_"):
                _operation(op)(self.constants)
            else:
                self._operations.append(_operation(op))

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run once; inputs have exactly the program's shapes."""
        values = dict(self.constants)
        values.update((name, _rounded(inputs[name], kind)) for name, kind in self.inputs.items())
        with np.errstate(over="ignore"):  # beyond float16 is infinite, here as on a device
            for operation in self._operations:
                operation(values)
        return {name: values[name] for name in self._outputs}


class CoreMLSession:
    """The two packages of a folder as a Session, emulated; rows of a batch run one by one."""

    def __init__(self, folder: Path) -> None:
        self._encoder = Program(folder / "encoder.mlpackage")
        self._decoder = Program(folder / "decoder.mlpackage")
        self._length: int = self._encoder.shapes["source"][1]

    @property
    def max_source(self) -> int:
        return self._length

    @property
    def max_target(self) -> int:
        return self._length

    def start(self, source: Tokens, length: int) -> State:
        """Encode; caches always have the packages' length, whatever `length` asks for."""
        used = int((source != PAD_ID).any(axis=0).nonzero()[0].max(initial=-1)) + 1
        if used > self._length:
            raise InputError(
                f"coreml: expected at most {self._length} source tokens, got {used}; "
                f"export with `length: {used}` or more, or split the sentence"
            )
        rows = np.full((len(source), self._length), PAD_ID, np.int32)
        rows[:, :used] = source[:, :used]
        encoded = [self._encoder({"source": row[None]}) for row in rows]
        fixed = {name: np.concatenate([row[name] for row in encoded]) for name in encoded[0]}
        caches = {
            name: np.zeros((len(source), *shape[1:]), np.float32)
            for name, shape in self._decoder.shapes.items()
            if name.startswith(CACHES)
        }
        return State(fixed, caches)

    def step(self, tokens: Tokens, step: int, state: State) -> tuple[Logits, State]:
        if step >= self._length:
            raise InputError(
                f"coreml: expected at most {self._length} target tokens, got a step {step}; "
                f"export with `length: {step + 1}` or more"
            )
        arrays = {"token": tokens[:, None], **state.fixed, **state.caches}
        shared = {"step": np.array([step])}
        rows = [
            self._decoder({name: array[i : i + 1] for name, array in arrays.items()} | shared)
            for i in range(len(tokens))
        ]
        after = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
        logits = after.pop("logits")
        caches = {name.removeprefix("next_"): array for name, array in after.items()}
        return logits, State(state.fixed, caches)


def _load(package: Path) -> Any:
    """The program as coremltools reads it from disk."""
    if not package.is_dir():
        raise InputError(f"expected a Core ML package, got nothing at {package}; export it first")
    with silenced():
        spec = ct.utils.load_spec(str(package))
        version, weights = spec.specificationVersion, str(package / WEIGHTS)
        program = milproto.load_mil_proto(spec.mlProgram, version, weights)
    return program.functions["main"]


def _refuse_unknown(package: Path, types: set[str]) -> None:
    unknown = sorted(types - OPERATORS.keys() - {"const"})
    if unknown:
        raise UnsupportedOpError(
            f"emulated Core ML: expected operators that are written in NumPy here, got "
            f"{', '.join(unknown)} in {package.name}; such a program runs on a device only"
        )


def _operation(op: Any) -> _Operation:
    inputs = {
        key: tuple(v.name for v in var) if isinstance(var, (tuple, list)) else var.name
        for key, var in op.inputs.items()
        if var is not None
    }
    outputs = tuple((var.name, _type(var)) for var in op.outputs)
    return _Operation(OPERATORS[op.op_type], inputs, outputs)


def _type(var: Any) -> np.dtype[Any]:
    """The NumPy type that a program declares for a value."""
    dtype: np.dtype[Any] = np.dtype(mil.types.nptype_from_builtin(var.dtype))
    return dtype


def _constant(value: Any) -> Any:
    """A constant as operators read it: half precision is widened."""
    return _rounded(value, value.dtype) if isinstance(value, np.ndarray) else value


def _rounded(value: Array, dtype: np.dtype[Any]) -> Array:
    """A value in its declared type, but half precision in float32 after rounding."""
    typed = np.asarray(value).astype(dtype, copy=False)
    return typed.astype(np.float32) if dtype == np.float16 else typed
