"""The stages of compression; each is a frozen dataclass whose fields are its recipe's keys."""

from __future__ import annotations

from litecompress.stages.base import Context, Stage, apply
from litecompress.stages.prune import Prune
from litecompress.stages.quantize import Quantize
from litecompress.stages.recover import Recover

STAGES: dict[str, type[Stage]] = {"prune": Prune, "quantize": Quantize, "recover": Recover}

__all__ = ["STAGES", "Context", "Prune", "Quantize", "Recover", "Stage", "apply"]
