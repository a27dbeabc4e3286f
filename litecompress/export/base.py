"""What an exporter is, and how it decides what each weight becomes on its target."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from litecompress.artifact import Artifact
from litecompress.encoding import Affine, Dense, Encoding, Sparse, symmetric_int8
from litecompress.errors import ExportError

Storage = Literal["native", "int8", "float32"]
Become = Literal["native", "re_encoded", "decoded"]


@dataclass(frozen=True)
class Exported:
    """The files of one target, and what became of the weights and operators on the way.

    `native`, `re_encoded` and `decoded` name weights; `quantized_byte_share` is the share of the
    bytes of all weight matrices, as float32, that the files really hold in 8 bits or fewer.
    """

    target: str
    folder: Path
    files: Mapping[str, str]  # role -> file name in the folder
    ops: Mapping[str, int]
    native: tuple[str, ...]
    re_encoded: tuple[str, ...]
    decoded: tuple[str, ...]
    fallbacks: tuple[str, ...]
    re_encoding_psnr_db: float | None
    quantized_byte_share: float


class Exporter(Protocol):
    """A frozen dataclass whose fields are its recipe's keys."""

    target: ClassVar[str]

    def __call__(self, artifact: Artifact, folder: Path) -> Exported:
        """Write the target's files into a folder that exists and is empty."""


def options_of(exporter: Exporter) -> dict[str, Any]:
    """The recipe's keys of an exporter with their values."""
    return asdict(exporter)  # type: ignore[call-overload, no-any-return]


@dataclass(frozen=True)
class Plan:
    """What each weight becomes: its encoding on the target, and how that came about."""

    weights: Mapping[str, Encoding]
    native: tuple[str, ...]
    re_encoded: tuple[str, ...]
    decoded: tuple[str, ...]
    re_encoding_psnr_db: float | None

    def decode(self) -> dict[str, NDArray[np.float32]]:
        """The weights that the target computes with, in float32."""
        return {name: encoding.decode() for name, encoding in self.weights.items()}


def plan(artifact: Artifact, storage: Storage, target: str, carries: frozenset[str]) -> Plan:
    """Keep what the target carries, re-encode matrices to int8, or decode, as `storage` says.

    `carries` holds kinds of encoding as `kind()` names them. Dense weights are always native.
    With `native`, a quantized encoding that the target cannot carry is an ExportError; zeros among
    plain values are written out.
    """
    foreign = [
        f"{name} ({kind(encoding)})"
        for name, encoding in artifact.weights.items()
        if _how(name, encoding, storage, carries) == "foreign"
    ]
    if foreign:
        raise ExportError(
            f"{target}: expected encodings that the target carries ({', '.join(sorted(carries))}), "
            f"got {len(foreign)} others such as {foreign[0]}; use storage: int8 or float32"
        )

    def become(name: str, encoding: Encoding) -> tuple[Become, Encoding]:
        match _how(name, encoding, storage, carries):
            case "re_encoded":
                return "re_encoded", symmetric_int8(encoding.decode())
            case "decoded":
                return "decoded", Dense(encoding.decode())
        return "native", encoding

    return follow(artifact, become)


def follow(artifact: Artifact, become: Callable[[str, Encoding], tuple[Become, Encoding]]) -> Plan:
    """The plan that makes of each weight, by its name and encoding, what `become` says."""
    weights: dict[str, Encoding] = {}
    names: dict[Become, list[str]] = {"native": [], "re_encoded": [], "decoded": []}
    for name, encoding in artifact.weights.items():
        how, weights[name] = become(name, encoding)
        names[how].append(name)
    return Plan(
        weights,
        native=tuple(names["native"]),
        re_encoded=tuple(names["re_encoded"]),
        decoded=tuple(names["decoded"]),
        re_encoding_psnr_db=_psnr_db(artifact, weights, names["re_encoded"]),
    )


def check_length(target: str, length: int, artifact: Artifact) -> None:
    """An ExportError for a bucket without room for a word and </s>, or beyond all positions."""
    most = artifact.config.max_positions
    if not 2 <= length <= most:
        raise ExportError(
            f"{target}: expected a length from 2 to {most}, got {length}; "
            "choose the longest sentence that the device will see"
        )


def kind(encoding: Encoding) -> str:
    """`dense`, `affine`, `grouped_affine`, `palette`, `bands`, or `sparse_` before one of them."""
    if isinstance(encoding, Sparse):
        return "sparse_" + type(encoding.values).__name__.lower()
    if isinstance(encoding, Affine) and encoding.group_size:
        return "grouped_affine"
    return type(encoding).__name__.lower()


def is_matrix(name: str, encoding: Encoding) -> bool:
    """Whether a weight is a linear layer's or a look-up table's matrix."""
    return name.endswith(".weight") and len(encoding.shape) == 2


def _how(name: str, encoding: Encoding, storage: Storage, carries: frozenset[str]) -> str:
    if storage == "int8" and is_matrix(name, encoding):
        return "re_encoded"
    if isinstance(encoding, Dense):
        return "native"
    if storage == "native" and kind(encoding) in carries:
        return "native"
    exact = isinstance(encoding, Sparse) and isinstance(encoding.values, Dense)
    return "foreign" if storage == "native" and not exact else "decoded"


def _psnr_db(artifact: Artifact, weights: Mapping[str, Encoding], names: list[str]) -> float | None:
    """Second rounding error of the re-encoded weights: peak over RMSE, all of them together."""
    if not names:
        return None
    square, count, peak = 0.0, 0, 0.0
    for name in names:
        before = artifact.weights[name].decode()
        square += float(np.square(before - weights[name].decode(), dtype=np.float64).sum())
        count += before.size
        peak = max(peak, float(np.abs(before).max()))
    return 20 * math.log10(peak / math.sqrt(square / count)) if square and peak else math.inf
