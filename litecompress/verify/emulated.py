"""A package on an emulated Arm core against the same package on this machine."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from litecompress.arm import guest
from litecompress.arm.cores import Core
from litecompress.arm.root import Root
from litecompress.errors import InputError
from litecompress.model.config import EOS_ID
from litecompress.verify.check import Bounds, Check
from litecompress.verify.difference import Difference, Row, steps

TARGETS = ("onnx", "tflite")
LIMIT_S = 1800  # of one core, for all sentences


def on_core(
    root: Root,
    core: Core,
    package: Path,
    target: str,
    rows: Sequence[Row],
    session: Any,
    bounds: Bounds,
) -> Check:
    """Compare logits and best tokens, both sides reading the same tokens."""
    theirs = emulated_logits(root, core, package, target, rows)
    difference = Difference()
    for row, other in zip(rows, theirs, strict=True):
        ours = np.concatenate(list(steps(session, [row])))
        if ours.shape != other.shape:
            raise InputError(
                f"{package}: expected logits {ours.shape} on {core.name}, got {other.shape}"
            )
        difference.add(ours, other, row.target)
    case = f"this machine and {core.name}, {len(rows)} sentences"
    return Check("processor", case, "emulated", difference.values(), bounds.processors())


def emulated_logits(
    root: Root, core: Core, package: Path, target: str, rows: Sequence[Row]
) -> list[np.ndarray[Any, Any]]:
    """Logits (T, V) of every row, as the core gives them."""
    if target not in TARGETS:
        raise InputError(f"expected a package for {' or '.join(TARGETS)}, got one for {target}")
    root.check()
    with tempfile.TemporaryDirectory() as temporary:
        cases, answer = Path(temporary, "cases.npz"), Path(temporary, "answer.npz")
        arrays: dict[str, Any] = _cases(rows)
        np.savez(cases, **arrays)
        words = (str(package.resolve()), target, str(cases), str(answer))
        command = root.command(core, Path(guest.__file__).resolve(), *words)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
        if done.returncode:
            said = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
            raise InputError(f"{package}: expected it to run on {core.name}, got: {said[0]}")
        with np.load(answer) as found:
            return [found[f"logits_{i}"] for i in range(len(rows))]


def _cases(rows: Sequence[Row]) -> dict[str, np.ndarray[Any, Any]]:
    """What `guest.main` reads."""
    read = {f"target_{i}": np.array([EOS_ID, *row.target[:-1]]) for i, row in enumerate(rows)}
    sources = {f"source_{i}": np.array(row.source) for i, row in enumerate(rows) if row.source}
    return read | sources
