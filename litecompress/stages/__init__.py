"""The stages of compression; each is a frozen dataclass whose fields are its recipe's keys."""

from __future__ import annotations

from litecompress.stages.base import Context, Stage, apply
from litecompress.stages.prune import Prune
from litecompress.stages.quantize import Quantize
from litecompress.stages.rate_distortion import RateDistortion
from litecompress.stages.recover import Recover
from litecompress.stages.structured import Structured

STAGES: dict[str, type[Stage]] = {
    "structured": Structured,
    "prune": Prune,
    "quantize": Quantize,
    "rate_distortion": RateDistortion,
    "recover": Recover,
}

__all__ = [
    "STAGES",
    "Context",
    "Prune",
    "Quantize",
    "RateDistortion",
    "Recover",
    "Stage",
    "Structured",
    "apply",
]
