"""What is known of a package's operators, of whichever target, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Arithmetic = Literal[
    "int8", "int4", "int8 in blocks", "float32", "float16", "look-up", "quantizing", "other"
]
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Operator:
    """One operator of a graph as it is really run.

    `kernel` is what runs, `arithmetic` what it multiplies weights in. `densified`: weights that the
    file holds in another form are float when it runs. `fallback`: it stands in for an operator of
    our own that the runtime has no kernel for. `delegated`: whether a faster back end takes it,
    None where that is not known. `time_us` is the sum over `runs`, None where nothing was run.
    """

    graph: str
    name: str
    kernel: str
    layer: str
    component: str
    arithmetic: Arithmetic
    densified: bool = False
    fallback: bool = False
    delegated: bool | None = None
    weights: tuple[str, ...] = ()
    runs: int = 0
    time_us: float | None = None

    @property
    def kind(self) -> str:
        """The arithmetic of a product, the kernel of anything else."""
        if self.arithmetic == "other":
            return self.kernel
        expanded = ", expanded at load" if self.densified else ""
        return f"{self.kernel} ({self.arithmetic}{expanded})"


@dataclass
class Explanation:
    """The operators of a package, and sentences that hold for them."""

    package: str
    target: str
    level: str  # `executed`: timed on this machine; `structural`: read from the files
    operators: list[Operator]
    advice: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def timed(self) -> bool:
        """Whether anything was run."""
        return any(op.time_us is not None for op in self.operators)

    def shares(self, key: str) -> list[dict[str, Any]]:
        """Operators and time by a field or property of theirs, the greatest first."""
        return shares(self.operators, key)

    def to_dict(self, *, every: bool = True) -> dict[str, Any]:
        """As documented in docs/explain.md; `every` operator, or sums only."""
        values: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "package": self.package,
            "target": self.target,
            "level": self.level,
            "by_kind": self.shares("kind"),
            "by_component": self.shares("component"),
            "by_layer": self.shares("layer"),
            "advice": self.advice,
            "notes": self.notes,
        }
        if every:
            whole = total_us(self.operators)
            values["operators"] = [
                vars(op) | {"weights": list(op.weights), "share": _share(op.time_us, whole)}
                for op in self.operators
            ]
        return values


def shares(operators: Sequence[Operator], key: str) -> list[dict[str, Any]]:
    """Sums by a field or property; shares of time are None where nothing was timed."""
    groups: dict[str, list[Operator]] = {}
    for op in operators:
        groups.setdefault(getattr(op, key), []).append(op)
    whole = total_us(operators)
    rows = [
        {
            key: name,
            "operators": len(members),
            "time_us": total_us(members) if whole else None,
            "share": _share(total_us(members), whole),
        }
        for name, members in groups.items()
    ]
    return sorted(rows, key=lambda row: (-(row["share"] or 0), -row["operators"], row[key]))


def total_us(operators: Iterable[Operator]) -> float:
    """The time of all of them."""
    return sum(op.time_us or 0.0 for op in operators)


def _share(part: float | None, whole: float) -> float | None:
    return part / whole if whole and part is not None else None
