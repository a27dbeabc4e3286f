"""What each weight becomes in an ONNX package, and the bytes that it takes there."""

from __future__ import annotations

from typing import Literal

import numpy as np

from litecompress.artifact import Artifact
from litecompress.encoding import Dense, Encoding, symmetric_int8
from litecompress.errors import ExportError
from litecompress.export.base import Become, Plan, follow, is_matrix
from litecompress.export.onnx_grids import in_blocks, is_integer_grid, symmetric_int4
from litecompress.export.onnx_stored import StoredWeight

OnnxStorage = Literal["native", "int8", "int4", "float16", "float32"]
LIMIT = float(np.finfo(np.float16).max)  # of a weight, or of a scale


def plan_onnx(artifact: Artifact, storage: OnnxStorage) -> Plan:
    """Keep every encoding, or bring weights into the storage; what fits it is never rounded again.

    An ExportError lists the weights that half precision cannot hold.
    """
    match storage:
        case "native":
            return follow(artifact, lambda _, encoding: ("native", encoding))
        case "float32":
            return follow(artifact, lambda _, encoding: _decoded(encoding))
        case "float16":
            _check_magnitudes(artifact, LIMIT)
            return follow(artifact, lambda _, encoding: _halved(encoding))
        case "int8":
            return follow(artifact, _to_int8)
        case "int4":
            _check_magnitudes(artifact, 8 * LIMIT)
            return follow(artifact, _to_int4)


def payload_bytes(planned: Plan) -> dict[str, int]:
    """Bytes of each weight in `weights.bin`: values, scales, zero points, codebooks and masks.

    What equals a weight before it is stored there, and takes none.
    """
    sizes: dict[str, int] = {}
    seen = set()
    for name, encoding in planned.weights.items():
        sizes[name] = 0
        for array in StoredWeight.of(name, encoding).arrays.values():
            key = array.dtype.str, array.shape, array.tobytes()
            sizes[name] += 0 if key in seen else array.nbytes
            seen.add(key)
    return sizes


def _to_int8(name: str, encoding: Encoding) -> tuple[Become, Encoding]:
    if not is_matrix(name, encoding) or is_integer_grid(encoding):
        return "native", encoding
    return "re_encoded", symmetric_int8(encoding.decode())


def _to_int4(name: str, encoding: Encoding) -> tuple[Become, Encoding]:
    if not is_matrix(name, encoding):
        return "native", encoding
    blockwise = in_blocks(encoding)
    if blockwise is not None:
        return "native", blockwise
    return "re_encoded", symmetric_int4(encoding.decode())


def _decoded(encoding: Encoding) -> tuple[Become, Encoding]:
    if isinstance(encoding, Dense) and encoding.values.dtype == np.float32:
        return "native", encoding
    return "decoded", Dense(encoding.decode())


def _halved(encoding: Encoding) -> tuple[Become, Encoding]:
    if isinstance(encoding, Dense) and encoding.values.dtype == np.float16:
        return "native", encoding
    values = encoding.decode()
    half = values.astype(np.float16)
    return "decoded" if (half == values).all() else "re_encoded", Dense(half)


def _check_magnitudes(artifact: Artifact, most: float) -> None:
    beyond = [n for n, w in artifact.weights.items() if np.abs(w.decode()).max(initial=0) > most]
    if beyond:
        raise ExportError(
            f"onnx: expected weights of at most {most:g}, which half precision holds, got "
            f"{len(beyond)} beyond it: {', '.join(beyond)}; use storage: float32"
        )
