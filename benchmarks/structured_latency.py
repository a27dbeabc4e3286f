"""What structured pruning does to the latency of ONNX packages.

    litecompress export -m models/multi30k-en-de -o /tmp/before -t onnx
    litecompress export -m pruned.litec -o /tmp/after -t onnx
    python benchmarks/structured_latency.py /tmp/before /tmp/after

Greedy translation of random sentences of `--source` tokens to `--target`, one thread, one sentence
at a time. The packages take turns and the clock is the thread's own processor time, so that other
work on the machine hits all alike; the last column is the median over rounds of a package's time
to that of the first in the same round.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from litecompress.runtime.open import open_package

WARM_UP = 3


def greedy_ms(session: Any, source: Any, steps: int) -> tuple[float, float]:
    """Processor time of the encoder, and of all."""
    start = time.thread_time()
    state = session.start(source, steps)
    encoded = time.thread_time()
    token = np.array([2])
    for step in range(steps):
        logits, state = session.step(token, step, state)
        token = logits.argmax(axis=1)
    return 1e3 * (encoded - start), 1e3 * (time.thread_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("packages", nargs="+", type=Path)
    parser.add_argument("--source", type=int, default=30)
    parser.add_argument("--target", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--words", type=int, default=5000, help="tokens are below this")
    options = parser.parse_args()
    sessions = [open_package(package, "onnx") for package in options.packages]
    words = np.random.default_rng(0).integers(4, options.words, options.source - 1)
    source = np.array([[*words, 2]])
    times = np.zeros((options.rounds + WARM_UP, len(sessions), 2))
    for row in times:
        row[:] = [greedy_ms(session, source, options.target) for session in sessions]
    times = times[WARM_UP:]
    print(f"{'package':32} {'encoder ms':>10} {'all ms':>8} {'of the first':>12}")
    for i, package in enumerate(options.packages):
        encoder, total = np.median(times[:, i], axis=0)
        ratio = np.median(times[:, i, 1] / times[:, 0, 1])
        print(f"{package.name:32} {encoder:10.2f} {total:8.2f} {ratio:12.3f}")


if __name__ == "__main__":
    main()
