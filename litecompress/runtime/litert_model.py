"""LiteRT's compiled model: signatures to run, over buffers that are NumPy arrays as well.

Weights that several signatures share are packed once, in a cache in memory; buffers are written
by one run and read by the next without a copy.
"""

from __future__ import annotations

import atexit
import ctypes
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litecompress.backends import load_backend
from litecompress.errors import InputError
from litecompress.silence import silenced

WEIGHT_CACHE = ":memory" if sys.platform == "linux" else ""  # elsewhere it would need a file
_CAPSULE = b"LiteRtTensorBuffer"


class Buffer:
    """A tensor that LiteRT reads or writes, and its array."""

    def __init__(self, tensor: Any, shape: Sequence[int], dtype: str) -> None:
        self.tensor = tensor
        self.array: NDArray[Any] = _array(tensor, tuple(shape), np.dtype(dtype))


class CompiledModel:
    """A file with its signatures, on the CPU."""

    def __init__(self, path: Path, threads: int) -> None:
        with silenced():
            _check(path)
            backend = load_backend("ai_edge_litert.compiled_model")
            options = backend.Options(
                hardware_accelerators=backend.HardwareAccelerator.CPU,
                cpu_options=backend.CpuOptions(
                    num_threads=threads, xnnpack_weight_cache_path=WEIGHT_CACHE
                ),
            )
            self.compiled = backend.CompiledModel.from_file(
                str(path), options=options, environment=_environment()
            )
            self.signatures = {
                name: Signature(self.compiled, name, listed)
                for name, listed in self.compiled.get_signature_list().items()
            }
        atexit.unregister(_silence_the_end)
        atexit.register(_silence_the_end)


class Signature:
    """One graph of a file, run by name; `shapes` are those of its inputs and outputs."""

    def __init__(self, compiled: Any, name: str, listed: Mapping[str, list[str]]) -> None:
        self._compiled, self.name = compiled, name
        self._index = compiled.get_signature_index(name)
        self.inputs, self.outputs = listed["inputs"], listed["outputs"]
        self._details = {
            **compiled.get_input_tensor_details(name),
            **compiled.get_output_tensor_details(name),
        }
        self.shapes = {n: tuple(d["shape"]) for n, d in self._details.items()}

    def buffer(self, name: str) -> Buffer:
        """A buffer for an input or an output, filled with zeros."""
        create = "input" if name in self.inputs else "output"
        make = getattr(self._compiled, f"create_{create}_buffer_by_name")
        buffer = Buffer(make(self.name, name), self.shapes[name], self._details[name]["dtype"])
        buffer.array.fill(0)
        return buffer

    def run(self, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer]) -> None:
        """Read every input and write every output."""
        self._compiled.run_by_index(
            self._index,
            [inputs[name].tensor for name in self.inputs],
            [outputs[name].tensor for name in self.outputs],
        )


def _check(path: Path) -> None:
    """An InputError for what is no TFLite file; a compiled model would crash on a damaged one."""
    backend = load_backend("ai_edge_litert.interpreter")
    plain = backend.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        backend.Interpreter(model_path=str(path), experimental_op_resolver_type=plain)
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"{path}: expected a TFLite file, got damaged content ({error}); export it again"
        ) from error


def _array(tensor: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The memory of a tensor as an array, which must not outlive it."""
    address = ctypes.c_void_p()
    handle = _capsule_pointer()(tensor.capsule, _CAPSULE)
    status = _library().LiteRtGetTensorBufferHostMemory(
        ctypes.c_void_p(handle), ctypes.byref(address)
    )
    if status or not address.value:
        raise InputError(
            f"litert: expected a buffer in the processor's memory, got status {status}; "
            "install ai-edge-litert 2.3"
        )
    size = int(np.prod(shape)) * dtype.itemsize
    content = memoryview((ctypes.c_char * size).from_address(address.value))
    array: NDArray[Any] = np.frombuffer(content, dtype)
    return array.reshape(shape)


@cache
def _environment() -> Any:
    """One for all models of the process; its end is noisy, and so comes but once."""
    backend = load_backend("ai_edge_litert.environment")
    return backend.Environment.create(options=backend.EnvironmentOptions())


@cache
def _library() -> Any:
    """LiteRT's C interface, which has no Python name for a buffer's memory."""
    package = Path(load_backend("ai_edge_litert").__file__).parent
    found = [p for p in package.iterdir() if p.stem == "libLiteRt"]
    return ctypes.CDLL(str(found[0]))


@cache
def _capsule_pointer() -> Any:
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return pointer


def _silence_the_end() -> None:
    """Let LiteRT's destructors speak to nobody; Python's own stderr stays as it is."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.fopen.restype = ctypes.c_void_p
        ctypes.c_void_p.in_dll(libc, "stderr").value = libc.fopen(b"/dev/null", b"w")
