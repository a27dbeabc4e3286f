"""What a scan found, as `scan.json` holds it; no torch needed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from litecompress.errors import InputError
from litecompress.scan.settings import Setting
from litecompress.strict import plain, tried

SCHEMA_VERSION = 1
LIMIT_BYTES = 2**28
FILE = "scan.json"
SHOWN = 3
Finite = Annotated[float, Field(allow_inf_nan=False)]
Bytes = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Cost:
    """One tensor in one setting.

    `coded_bytes` at the order-0 entropy of its symbols, codebook included; first and second order
    in nats a token by the curvature; `loss` the measured increase with its standard error, where
    it was measured.
    """

    sparsity: Finite
    num_bits: int
    coded_bytes: Bytes
    first_order: Finite
    second_order: Finite
    loss: Finite | None = None
    stderr: Finite | None = None

    @property
    def setting(self) -> Setting:
        """What was done."""
        return Setting(self.sparsity, self.num_bits)

    @property
    def estimate(self) -> float:
        """The increase of the loss as measured, else by both orders of the curvature."""
        return self.first_order + self.second_order if self.loss is None else self.loss


@dataclass(frozen=True)
class Tensor:
    """A weight, its bytes as it is, and what each setting costs."""

    name: str
    shape: tuple[int, ...]
    kept_bytes: Bytes
    costs: tuple[Cost, ...]

    @property
    def size(self) -> int:
        """Number of weights."""
        return prod(self.shape)

    def cost(self, setting: Setting) -> Cost | None:
        """Of one setting, if it was scanned."""
        return next((cost for cost in self.costs if cost.setting == setting), None)

    def predicted(self, setting: Setting) -> float:
        """The increase of the loss to reckon with, in nats a token.

        What pruning and quantizing cost apart, where they were measured, but no less than the
        second order says: on a sample a change may cost little or even gain by its first order,
        and what many tensors gain in that way does not add up (docs/scan.md).
        """
        losses = [cost.loss for part in setting.parts if (cost := self.cost(part)) is not None]
        measured = sum(loss for loss in losses if loss is not None)
        cost = self.cost(setting)
        return max(measured, 0.0 if cost is None else cost.second_order)


@dataclass(frozen=True)
class TextInfo:
    """What losses were measured on: its files, and how much of them."""

    files: tuple[str, ...]
    sha256: str
    sentences: int
    tokens: int


@dataclass(frozen=True)
class MetricScore:
    """The metric with one tensor in a setting."""

    tensor: str
    sparsity: Finite
    num_bits: int
    score: Finite

    @property
    def setting(self) -> Setting:
        """What was done."""
        return Setting(self.sparsity, self.num_bits)


@dataclass(frozen=True)
class Metric:
    """The task's metric by greedy decoding: of the model as it is, and in chosen settings."""

    name: str
    score: Finite
    scores: tuple[MetricScore, ...]


@dataclass(frozen=True)
class Scan:
    """Every tensor in every setting; `skipped` are the weights left out, with the reason."""

    model: str
    model_sha256: str
    text: TextInfo
    loss: Finite
    tensors: tuple[Tensor, ...]
    skipped: dict[str, str]
    quantize: dict[str, Any] = field(default_factory=dict)
    metric: Metric | None = None
    schema_version: int = SCHEMA_VERSION

    @property
    def measured(self) -> bool:
        """Whether losses were measured, not only estimated."""
        return any(cost.loss is not None for t in self.tensors for cost in t.costs)

    @property
    def ordered(self) -> list[Tensor]:
        """Tensors in the order of the network: tables, encoder, decoder; layer 10 after layer 9."""
        return sorted(self.tensors, key=lambda tensor: _place(tensor.name))

    @property
    def alone(self) -> list[Setting]:
        """Settings of pruning or of quantization alone, the former first."""
        found = {c.setting for t in self.tensors for c in t.costs if len(c.setting.parts) == 1}
        return sorted(found, key=lambda s: (s.num_bits, s.sparsity))


def _place(name: str) -> tuple[int, list[tuple[int, str]]]:
    """A sorting key of a weight's name."""
    parts = re.split(r"(\d+)", name)
    stack = {"encoder.": 1, "decoder.": 2}.get(parts[0], 0)
    return stack, [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def write_scan(scan: Scan, folder: Path) -> None:
    """Write `scan.json`, whole or not at all."""
    path = folder / FILE
    partial = path.with_name(FILE + ".partial")
    partial.write_text(json.dumps(plain(scan), indent=1, allow_nan=False) + "\n", "utf-8")
    partial.replace(path)


def read_scan(path: Path) -> Scan:
    """Read a scan's folder or its `scan.json`; anything else is an InputError."""
    path = path / FILE if path.is_dir() else path
    if not path.is_file() or path.stat().st_size > LIMIT_BYTES:
        got = "one too large" if path.is_file() else "none"
        raise InputError(f"expected a scan at {path}, got {got}; `litecompress scan` writes one")
    try:
        values = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected the JSON of a scan, got {error}; scan again") from error
    version = values.get("schema_version") if isinstance(values, dict) else None
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path}: expected a scan of version {SCHEMA_VERSION}, got {version}; scan again"
        )
    problems: list[str] = []
    scan = tried(Scan, values, "", problems)
    if scan is None:
        more = f" (and {len(problems) - SHOWN} more)" if len(problems) > SHOWN else ""
        raise InputError(f"{path}: {'; '.join(problems[:SHOWN])}{more}; scan again")
    return scan
