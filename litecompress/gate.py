"""Budgets of a recipe against what was measured: a verdict a line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from litecompress.errors import RecipeError


@dataclass(frozen=True)
class Gate:
    """Limits; a line that is left out is not checked.

    `min_ratio` is the float32 checkpoint over the artifact file; `max_nll_increase` is in nats a
    token; `min_parity_db` holds for every target against the decoded artifact.
    """

    min_ratio: float | None = None
    max_artifact_bytes: int | None = None
    max_nll_increase: float | None = None
    min_parity_db: float | None = None
    min_quantized_byte_share: float | None = None

    def __post_init__(self) -> None:
        limits = {k: v for k, v in vars(self).items() if v is not None}
        wrong = [f"{k}: {v}" for k, v in limits.items() if not math.isfinite(v)]
        if wrong or limits.get("min_ratio", 1) <= 0:
            got = ", ".join(wrong) or f"min_ratio: {self.min_ratio}"
            raise RecipeError(f"expected finite limits and min_ratio above 0, got {got}")


@dataclass(frozen=True)
class Check:
    """One line of the verdict."""

    name: str
    limit: float
    actual: float | None
    passed: bool


def judge(gate: Gate, report: Mapping[str, Any]) -> list[Check]:
    """Hold a report's figures against the limits; what was not measured does not pass."""
    artifact = report["sizes"]["artifact_bytes"]
    checks = [
        _least("min_ratio", gate.min_ratio, artifact["baseline"] / artifact["compressed"]),
        _most("max_artifact_bytes", gate.max_artifact_bytes, artifact["compressed"]),
        _most("max_nll_increase", gate.max_nll_increase, report["quality"]["delta"]),
    ]
    for row in report["parity"]:
        # an infinite PSNR, outputs all equal, is written as null
        db = float("inf") if row["psnr_db"] is None else row["psnr_db"]
        name = f"min_parity_db.{row['target']}.{row['precision']}"
        checks.append(_least(name, gate.min_parity_db, db))
    for row in report["encodings"]:
        name = f"min_quantized_byte_share.{row['target']}"
        checks.append(_least(name, gate.min_quantized_byte_share, row["quantized_byte_share"]))
    return [c for c in checks if c is not None]


def passed(checks: Sequence[Check]) -> bool:
    """Whether every line passed."""
    return all(c.passed for c in checks)


def _least(name: str, limit: float | None, actual: float) -> Check | None:
    if limit is None:
        return None
    return Check(name, limit, None if actual == float("inf") else actual, actual >= limit)


def _most(name: str, limit: float | None, actual: float) -> Check | None:
    return None if limit is None else Check(name, limit, actual, actual <= limit)
