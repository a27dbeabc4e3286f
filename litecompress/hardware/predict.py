"""Tier 0: a latency band and a rank from a datasheet. Never a figure to hold a budget against.

Datasheet-only predictions are off by a factor of 2 to 8 on a Raspberry Pi, always too fast, though
they rank designs well (Spearman 0.967 over measured Transformers). So the band reaches from the
roofline (perfect use of the machine) to 8 times that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from litecompress.cost import all_macs
from litecompress.hardware.profiles import Profile
from litecompress.model.config import ModelConfig

WORST_FACTOR = 8.0


@dataclass(frozen=True)
class Workload:
    """Greedy translation of `source` to `target` tokens by one build of a model.

    `weight_bytes` are read once by the encoder and once a decoder step.
    """

    target: str
    config: ModelConfig
    weight_bytes: int
    int8: bool
    source: int = 30
    length: int = 30


def roofline_ms(work: Workload, profile: Profile) -> float:
    """Arithmetic at its peak plus weight traffic at full bandwidth, in ms; one thread."""
    macs = sum(all_macs(work.config, work.source, work.length).values())
    int8_gops = profile.int8_gops or profile.fp32_gflops
    gops = int8_gops if work.int8 else profile.fp32_gflops
    traffic = work.weight_bytes * (work.length + 1)
    return 1e3 * (2 * macs / (gops * 1e9) + traffic / (profile.memory_gb_per_s * 1e9))


def predict(works: Sequence[Workload], profile: Profile) -> list[dict[str, Any]]:
    """A band and a rank (1 is fastest) for each workload on one profile, for the report."""
    floors = [roofline_ms(w, profile) for w in works]
    ranking = sorted(floors)
    return [
        {
            "profile": profile.name,
            "target": work.target,
            "provenance": "predicted",
            "tier": 0,
            "p50_ms": None,
            "band_ms": [round(floor, 2), round(WORST_FACTOR * floor, 2)],
            "rank": ranking.index(floor) + 1,
            "of": len(works),
            "threads": 1,
            "source": profile.source,
            "task": f"greedy, {work.source} to {work.length} tokens",
        }
        for work, floor in zip(works, floors, strict=True)
    ]
