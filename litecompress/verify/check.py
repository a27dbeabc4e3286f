"""One statement about a package: what was looked at, how far it was really run, the verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["executed", "emulated", "structural"]
AT_LEAST = ("psnr_db", "argmax_agreement", "token_agreement")  # of other figures at most
MIN_PSNR_DB = {"float32": 40.0, "float16": 40.0, "int8": 40.0, "int4": 30.0}


@dataclass(frozen=True)
class Bounds:
    """What each figure has to reach; None is not judged.

    `max_abs_err` holds for packages that compute in float32 what the model has. Agreement of best
    tokens is judged between processors and not between package and model, where quantization may
    cost some. BLEU is in points, the perplexity of the package over that of the model.
    """

    psnr_db: float | None = 40.0
    max_abs_err: float | None = None
    argmax_agreement: float | None = None
    processor_agreement: float | None = 0.995
    bleu_delta: float | None = 0.2
    perplexity_ratio: float | None = 1.01

    @classmethod
    def of(cls, precision: str, **given: float | None) -> Bounds:
        """The defaults of a precision, but for what is given and not None."""
        exact = 1e-4 if precision == "float32" else None
        defaults: dict[str, Any] = {"psnr_db": MIN_PSNR_DB[precision], "max_abs_err": exact}
        return cls(**defaults | {name: v for name, v in given.items() if v is not None})

    def logits(self) -> dict[str, float]:
        """Those that hold for logits."""
        names = ("psnr_db", "max_abs_err", "argmax_agreement")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def processors(self) -> dict[str, float]:
        """Those that hold between two processors."""
        found = {"psnr_db": self.psnr_db, "argmax_agreement": self.processor_agreement}
        return {name: value for name, value in found.items() if value is not None}

    def only(self, figure: str) -> dict[str, float]:
        """That of one figure."""
        value = getattr(self, figure)
        return {} if value is None else {figure: value}


@dataclass(frozen=True)
class Check:
    """Figures of one case, and the bounds that they are held to; without any it is for the record.

    `check` is what was looked at, `case` in which circumstances.
    """

    check: str
    case: str
    level: Level
    figures: Mapping[str, float]
    bounds: Mapping[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool | None:
        """Whether every bound holds; None where there is none."""
        if not self.bounds:
            return None
        return all(_holds(name, self.figures[name], bound) for name, bound in self.bounds.items())

    def to_dict(self) -> dict[str, Any]:
        """For JSON, which has no number for what is not finite: null."""
        figures = {n: v if math.isfinite(v) else None for n, v in self.figures.items()}
        return {
            "check": self.check,
            "case": self.case,
            "level": self.level,
            **figures,
            "bounds": dict(self.bounds),
            "passed": self.passed,
        }


def _holds(name: str, value: float, bound: float) -> bool:
    return value >= bound if name in AT_LEAST else abs(value) <= bound
