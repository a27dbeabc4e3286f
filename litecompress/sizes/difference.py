"""What grew and what shrank between two models, and whether that is more than a limit allows."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from litecompress.errors import InputError
from litecompress.gate import Check, passed
from litecompress.sizes.sheet import Sheet


@dataclass(frozen=True)
class Change:
    """A tensor, or what else a file holds, in bytes before and after; 0 where it is not there."""

    name: str
    file: str
    before: int
    after: int

    @property
    def growth(self) -> int:
        """Bytes more, below 0 for fewer."""
        return self.after - self.before


@dataclass(frozen=True)
class Limits:
    """How much the total may grow, in percent and in bytes; below 0 it has to shrink by that."""

    percent: float | None = None
    size_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.percent is not None and not math.isfinite(self.percent):
            raise InputError(f"expected a finite --fail-above, got {self.percent}")

    def judge(self, before: int, after: int) -> list[Check]:
        """Hold two totals against the limits."""
        growths = (
            ("growth_percent", self.percent, 100 * (after - before) / before),
            ("growth_bytes", self.size_bytes, after - before),
        )
        return [Check(n, most, got, got <= most) for n, most, got in growths if most is not None]


def compare(before: Sheet, after: Sheet) -> list[Change]:
    """Every tensor and file of either, those that grew most first.

    Packages go by file and tensor, artifacts and checkpoints by tensor. An InputError for two
    that have no tensors or files in common.
    """
    _check_comparable(before, after)
    sizes = [_by_key(sheet) for sheet in (before, after)]
    changes = [
        Change(*key, *(s[key] for s in sizes)) for key in dict.fromkeys([*sizes[0], *sizes[1]])
    ]
    return sorted(changes, key=lambda change: -change.growth)


def difference_values(before: Sheet, after: Sheet, limits: Limits) -> dict[str, Any]:
    """The comparison as plain values: what `diff --json` prints (docs/sizes.md)."""
    changes = compare(before, after)
    checks = limits.judge(before.total_bytes, after.total_bytes)
    return {
        "before": _side(before),
        "after": _side(after),
        "growth_bytes": after.total_bytes - before.total_bytes,
        "changes": [
            {**vars(change), "growth": change.growth} for change in changes if change.growth
        ],
        "unchanged": sum(not change.growth for change in changes),
        "gate": {"passed": passed(checks), "checks": [vars(check) for check in checks]},
    }


def _side(sheet: Sheet) -> dict[str, Any]:
    """Path, kind and total of one of the two, and which total it is."""
    named = {"path": sheet.path, "kind": sheet.kind, "target": sheet.target}
    total = {"scope": sheet.scope, "total_bytes": sheet.total_bytes}
    return {key: value for key, value in (named | total).items() if value != ""}


def _by_key(sheet: Sheet) -> Counter[tuple[str, str]]:
    """Bytes by name and, within a package, file."""
    sizes: Counter[tuple[str, str]] = Counter()
    for part in sheet.parts:
        sizes[part.name, part.file if sheet.kind == "package" else ""] += part.stored_bytes
    return sizes


def _check_comparable(before: Sheet, after: Sheet) -> None:
    sides = [_described(before), _described(after)]
    if len(set(sides)) > 1 and any(sheet.kind == "package" for sheet in (before, after)):
        raise InputError(
            f"expected packages of one target, or artifacts and checkpoints, got {sides[0]} and "
            f"{sides[1]}; export the other to the same target"
        )


def _described(sheet: Sheet) -> str:
    return f"a package for {sheet.target}" if sheet.kind == "package" else f"the {sheet.kind}"
