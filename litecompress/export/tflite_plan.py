"""What each weight becomes in a TFLite package, and the bytes that it takes there."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from litecompress.artifact import Artifact
from litecompress.encoding import Affine, Dense, Encoding, Sparse, symmetric_int8
from litecompress.errors import ExportError
from litecompress.export.base import Become, Plan, follow, is_matrix, kind
from litecompress.export.tflite_grids import (
    in_blocks,
    on_rows,
    symmetric_int4_blocks,
    symmetric_int4_rows,
)
from litecompress.export.tflite_stored import Activations, StoredWeight

TfliteStorage = Literal["native", "int8", "int4", "float16", "float32"]
Outcome = tuple[Become, Encoding]
HALF_LIMIT = float(np.finfo(np.float16).max)


def plan_tflite(
    artifact: Artifact, storage: TfliteStorage, activations: Activations = "dynamic"
) -> Plan:
    """Keep what TFLite carries, or bring weights into the storage; what fits is not rounded again.

    An ExportError lists what `native` cannot carry, and what half precision cannot hold.
    """
    match storage:
        case "native":
            _check_carried(artifact, activations)
            planned = follow(artifact, lambda n, w: _native(n, w, activations))
        case "float32":
            planned = follow(artifact, lambda _, w: _decoded(w))
        case "float16":
            _check_magnitudes(artifact)
            planned = follow(artifact, _halved)
        case "int8":
            planned = follow(artifact, _to_int8)
        case "int4":
            planned = follow(artifact, lambda n, w: _to_int4(n, w, activations))
    return planned


def payload_bytes(planned: Plan) -> dict[str, int]:
    """Bytes of each weight in the file: its values and its scales.

    What equals a weight before it is stored there, and takes none.
    """
    sizes: dict[str, int] = {}
    seen: set[bytes] = set()
    for name, encoding in planned.weights.items():
        sizes[name] = 0
        for content in StoredWeight.of(encoding).contents():
            sizes[name] += 0 if content in seen else len(content)
            seen.add(content)
    return sizes


def quantized_byte_share(planned: Plan) -> float:
    """Share of the weight matrices, by size in float32, that are stored in 8 bits or fewer."""
    sizes = {n: int(np.prod(w.shape)) for n, w in planned.weights.items() if is_matrix(n, w)}
    small = [n for n in sizes if isinstance(planned.weights[n], Affine)]
    return sum(sizes[n] for n in small) / sum(sizes.values()) if sizes else 0.0


def _native(name: str, encoding: Encoding, activations: Activations) -> Outcome:
    if not is_matrix(name, encoding):
        return _decoded(encoding)
    return _carried(name, encoding, activations) or _decoded(encoding)


def _carried(name: str, encoding: Encoding, activations: Activations) -> Outcome | None:
    """A matrix exactly as it is, or None."""
    if isinstance(encoding, Dense):
        return "native", encoding
    rows = on_rows(encoding)
    if rows is not None:
        return "native", rows
    blocks = in_blocks(encoding) if _takes_blocks(name, activations) else None
    return ("native", blocks[0]) if blocks is not None and blocks[1] else None


def _to_int8(name: str, encoding: Encoding) -> Outcome:
    if not is_matrix(name, encoding):
        return _decoded(encoding)
    rows = on_rows(encoding)
    if rows is not None:
        return "native", replace(rows, num_bits=8)
    return "re_encoded", symmetric_int8(encoding.decode())


def _to_int4(name: str, encoding: Encoding, activations: Activations) -> Outcome:
    if not is_matrix(name, encoding):
        return _decoded(encoding)
    rows = on_rows(encoding)
    if rows is not None and rows.num_bits == 4:
        return "native", rows
    if _takes_blocks(name, activations):
        blocks = in_blocks(encoding)
        if blocks is not None:
            return ("native" if blocks[1] else "re_encoded"), blocks[0]
        return "re_encoded", symmetric_int4_blocks(encoding.decode())
    if _is_projection(name) or encoding.shape[1] % 2:
        return _to_int8(name, encoding)
    return "re_encoded", symmetric_int4_rows(encoding.decode())


def _decoded(encoding: Encoding) -> Outcome:
    """In float32; zeros among plain values are written out, which is no decoding."""
    if isinstance(encoding, Dense) and encoding.values.dtype == np.float32:
        return "native", encoding
    plain = isinstance(encoding, Dense | Sparse) and kind(encoding) in ("dense", "sparse_dense")
    return ("native" if plain else "decoded"), Dense(encoding.decode())


def _halved(name: str, encoding: Encoding) -> Outcome:
    if not is_matrix(name, encoding):
        return _decoded(encoding)
    if isinstance(encoding, Dense) and encoding.values.dtype == np.float16:
        return "native", encoding
    values = encoding.decode()
    half = values.astype(np.float16)
    return ("decoded" if (half == values).all() else "re_encoded"), Dense(half)


def _takes_blocks(name: str, activations: Activations) -> bool:
    """Whether LiteRT multiplies with blocks here: it does so with integers only."""
    return activations == "dynamic" and not _is_projection(name)


def _is_projection(name: str) -> bool:
    """Whether a matrix is read transposed as well, and so must be expanded."""
    return name.endswith(".projection.weight")


def _check_carried(artifact: Artifact, activations: Activations) -> None:
    foreign = [
        f"{name} ({kind(encoding)})"
        for name, encoding in artifact.weights.items()
        if _is_foreign(name, encoding, activations)
    ]
    if foreign:
        raise ExportError(
            "tflite: expected grids of at most 8 bits with a scale for all, one a row, or one for "
            f"32, 64, .. of 4 bits in a row, got {len(foreign)} other encodings: "
            f"{', '.join(foreign[:3])}; use storage: int8, int4 or float32"
        )


def _is_foreign(name: str, encoding: Encoding, activations: Activations) -> bool:
    """Whether a quantized weight would have to be decoded."""
    if kind(encoding) in ("dense", "sparse_dense"):
        return False
    return not is_matrix(name, encoding) or _carried(name, encoding, activations) is None


def _check_magnitudes(artifact: Artifact) -> None:
    beyond = [
        name
        for name, encoding in artifact.weights.items()
        if is_matrix(name, encoding) and np.abs(encoding.decode()).max(initial=0) > HALF_LIMIT
    ]
    if beyond:
        raise ExportError(
            f"tflite: expected weights of at most {HALF_LIMIT:g}, which half precision holds, got "
            f"{len(beyond)} beyond it: {', '.join(beyond)}; use storage: float32"
        )
