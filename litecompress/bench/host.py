"""Time the greedy translation of real sentences on this machine."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from litecompress.runtime.search import SearchConfig, translate
from litecompress.runtime.session import Session

WARM_UP = 3
MOST_WALL_OVER_CPU = 1.2  # beyond it something else had the core


def measure(
    session: Session,
    sources: Sequence[Sequence[int]],
    target: str,
    runtime: str,
    length: int,
    repeats: int = 3,
) -> dict[str, Any]:
    """Latency of one sentence at a time, in ms: p50 and p90 over sentences and repeats.

    `valid` is false where wall time exceeds the process' own CPU time by more than a fifth.
    """
    config = SearchConfig(beam=1, max_length_a=0, max_length_b=length - 1)
    for source in sources[:WARM_UP]:
        translate(session, [source], config)
    times, tokens, cpu = [], 0, time.process_time()
    for source in list(sources) * repeats:
        started = time.perf_counter()
        (hypothesis,) = translate(session, [source], config)
        times.append(1e3 * (time.perf_counter() - started))
        tokens += len(hypothesis.tokens)
    wall_over_cpu = sum(times) / 1e3 / (time.process_time() - cpu)
    p50, p90 = np.percentile(times, [50, 90])
    return {
        "profile": "host",
        "target": target,
        "provenance": "measured",
        "tier": None,
        "p50_ms": round(float(p50), 3),
        "p90_ms": round(float(p90), 3),
        "wall_over_cpu": round(wall_over_cpu, 3),
        "valid": wall_over_cpu <= MOST_WALL_OVER_CPU,
        "n": len(times),
        "warm_up": min(WARM_UP, len(sources)),
        "threads": 1,
        "runtime": runtime,
        "device": host_name(),
        "task": f"greedy, one sentence at a time, {tokens / len(times):.1f} tokens out on average",
    }


def host_name() -> str:
    """The processor of this machine, in words."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
