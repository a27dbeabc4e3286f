"""What each weight becomes in a Core ML package, and the bytes that it takes there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from litecompress.artifact import Artifact
from litecompress.encoding import Affine, Array, Dense, Encoding, Sparse, symmetric_int8
from litecompress.errors import ExportError
from litecompress.export.base import Become, Plan, Storage, follow, is_matrix, kind
from litecompress.export.coreml_forms import is_carried, smallest
from litecompress.export.coreml_stored import (
    IN_FILE,
    NUMBERS,
    Constant,
    Deployment,
    Number,
    Stored,
)

Precision = Literal["float16", "float32"]
LIMIT = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Layout:
    """How a package holds weights: each either as constant expressions or as plain numbers."""

    planned: Plan
    stored: dict[str, Stored]
    number: Number

    def plain(self, name: str) -> Array:
        """A weight as numbers of the program; of a convolution's kernel its softmax."""
        values = self.planned.weights[name].decode()
        if is_kernel(name):
            values = kernel_softmax(values)
        return values.astype(NUMBERS[self.number])

    def constants(self, name: str) -> list[Constant]:
        """The arrays of a weight that are in the file of weights."""
        if name in self.stored:
            return list(self.stored[name].constants())
        values = self.plain(name)
        return [Constant(values, self.number)] if values.size >= IN_FILE else []

    def written_out(self) -> list[str]:
        """Compressed weights that are plain numbers here, because those take no more bytes."""
        return [
            name
            for name, encoding in self.planned.weights.items()
            if name not in self.stored and not isinstance(encoding, Dense)
        ]

    def payload_bytes(self) -> dict[str, int]:
        """Bytes of each weight in the file of weights; equal arrays take them once."""
        sizes: dict[str, int] = {}
        seen = set()
        for name in self.planned.weights:
            sizes[name] = 0
            for constant in self.constants(name):
                key = constant.kind, constant.values.size, constant.values.tobytes()
                sizes[name] += 0 if key in seen else constant.nbytes
                seen.add(key)
        return sizes

    def rounded(self) -> list[str]:
        """Weights whose codebooks, scales or plain numbers half precision does not hold exactly."""
        if self.number == "fp32":
            return []
        encodings = self.planned.weights.items()
        return [n for n, e in encodings if not all(map(_is_half, parameters(e)))]


def layout(
    artifact: Artifact,
    storage: Storage,
    deployment: Deployment,
    precision: Precision,
    *,
    strict: bool,
) -> Layout:
    """Keep what programs carry exactly; re-encode other matrices to int8, decode what is left.

    An ExportError lists weights that half precision cannot hold and, if `strict`, all that would
    not be kept.
    """
    number: Number = "fp16" if precision == "float16" else "fp32"
    if number == "fp16":
        _check_magnitudes(artifact)
    if strict and storage == "native":
        _check_carried(artifact, deployment)
    planned = follow(artifact, lambda name, encoding: _become(name, encoding, storage, deployment))
    found = {
        name: smallest(encoding, number, deployment)
        for name, encoding in planned.weights.items()
        if not is_kernel(name)
    }
    return Layout(planned, {n: form for n, form in found.items() if form is not None}, number)


def parameters(encoding: Encoding) -> list[Array]:
    """The floating-point numbers that an encoding consists of."""
    own = [getattr(encoding, name, None) for name in ("codebook", "scale")]
    if isinstance(encoding, Dense):
        own = [encoding.values]
    inner = [encoding.values] if isinstance(encoding, Sparse) else getattr(encoding, "parts", ())
    found = [array for array in own if array is not None]
    return found + [array for part in inner for array in parameters(part)]


def is_kernel(name: str) -> bool:
    """Whether a weight is a lightweight convolution's kernel, whose softmax a program holds."""
    return name.endswith(".conv.kernel")


def kernel_softmax(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """The taps (K, H, 1) of a kernel (H, K), as a program multiplies with them."""
    raised = np.exp(kernel - kernel.max(axis=-1, keepdims=True), dtype=np.float64)
    taps = raised / raised.sum(axis=-1, keepdims=True)
    return np.ascontiguousarray(taps.T[..., None].astype(np.float32))


def _become(
    name: str, encoding: Encoding, storage: Storage, deployment: Deployment
) -> tuple[Become, Encoding]:
    if isinstance(encoding, Dense) and not (storage == "int8" and is_matrix(name, encoding)):
        return "native", encoding
    match storage:
        case "float32":
            return "decoded", Dense(encoding.decode())
        case "int8" if is_matrix(name, encoding) and not _is_integer_grid(encoding, deployment):
            return "re_encoded", symmetric_int8(encoding.decode())
    if is_carried(encoding, deployment):
        return "native", encoding
    if is_matrix(name, encoding):
        return "re_encoded", symmetric_int8(encoding.decode())
    return "decoded", Dense(encoding.decode())


def _is_integer_grid(encoding: Encoding, deployment: Deployment) -> bool:
    """Whether a weight is on a grid with one scale or one a channel, which is kept as it is."""
    plain = isinstance(encoding, Affine) and not encoding.group_size
    return plain and is_carried(encoding, deployment)


def _is_half(array: Array) -> bool:
    return bool((array.astype(np.float16) == array).all())


def _check_magnitudes(artifact: Artifact) -> None:
    beyond = [n for n, w in artifact.weights.items() if np.abs(w.decode()).max(initial=0) > LIMIT]
    if beyond:
        raise ExportError(
            f"coreml: expected weights of at most {LIMIT:g}, which half precision holds, got "
            f"{len(beyond)} beyond it: {', '.join(beyond)}; use precision: float32"
        )


def _check_carried(artifact: Artifact, deployment: Deployment) -> None:
    foreign = [
        f"{name} ({kind(encoding)})"
        for name, encoding in artifact.weights.items()
        if not isinstance(encoding, Dense) and not is_carried(encoding, deployment)
    ]
    if foreign:
        raise ExportError(
            f"coreml: expected encodings that {deployment} programs carry, got {len(foreign)} "
            f"others: {', '.join(foreign)}; "
            f"{'use deployment: iOS18, ' if deployment == 'iOS17' else ''}"
            "leave out strict, or use storage: int8 or float32"
        )
