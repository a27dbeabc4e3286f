"""Find the layer where a package departs from its model in PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from litecompress.model.config import EOS_ID
from litecompress.verify.departure import Departure, Output, first_departure, shared
from litecompress.verify.difference import Row, started
from litecompress.verify.locate_onnx import Outputs, TracedPackage

_Arrays = dict[str, Any]


def locate(
    reference: Any, package: Path, target: str, session: Any, row: Row, floor_db: float
) -> Departure | None:
    """The first inner output that departs; of ONNX a module's, of others an encoder's or cache's.

    None where none is, or where the reference is no network that can be looked into.
    """
    if not hasattr(reference, "model"):
        return None
    if target == "onnx":
        with TracedPackage.opened(package) as traced:
            return first_departure(_modules(reference, traced, row), floor_db)
    return first_departure(_states(reference, session, row), floor_db)


def _modules(reference: Any, traced: TracedPackage, row: Row) -> Iterator[Output]:
    """Outputs of modules, those of the encoder first, then step by step."""
    ours = traced.run(row)
    with watched(reference.model) as seen:
        state = started(reference, [row], 0, len(row.target))
        if row.source:
            yield from _ordered(seen, *next(ours))
        for step, token in enumerate([EOS_ID, *row.target[:-1]]):
            seen.clear()
            _, state = reference.step(np.array([token]), step, state)
            yield from _ordered(seen, *next(ours))


def _ordered(seen: _Arrays, when: str, outputs: Outputs) -> Iterator[Output]:
    """What both sides have, one module at a time where several were computed together."""
    for modules, array in outputs.items():
        if not all(module in seen for module in modules):
            continue
        widths = [seen[module].shape[-1] for module in modules]
        if sum(widths) != array.shape[-1]:
            continue
        parts = np.split(array, np.cumsum(widths)[:-1], axis=-1)
        for module, part in zip(modules, parts, strict=True):
            if part.shape == seen[module].shape:
                yield Output(module, when, seen[module], part)


def _states(reference: Any, session: Any, row: Row) -> Iterator[Output]:
    """What the encoder hands on, and the caches of every layer after every step."""
    length = len(row.target)
    theirs, ours = (started(s, [row], 0, length) for s in (reference, session))
    yield from shared(_arrays(theirs.fixed), _arrays(ours.fixed), "encoder")
    for step, token in enumerate([EOS_ID, *row.target[:-1]]):
        read = np.array([token])
        _, theirs = reference.step(read, step, theirs)
        _, ours = session.step(read, step, ours)
        yield from shared(_arrays(theirs.caches), _arrays(ours.caches), f"step {step}")


def _arrays(state: _Arrays) -> _Arrays:
    """A state's values by name, but for the mask, which is no layer's."""
    return {name: np.asarray(value) for name, value in state.items() if name != "memory_bias"}


@contextmanager
def watched(model: Any) -> Iterator[_Arrays]:
    """What each module with weights of its own gave when it was first called."""
    seen: _Arrays = {}

    def note(name: str) -> Any:
        def keep(_module: Any, _inputs: Any, output: Any) -> None:
            seen.setdefault(name, output.detach().cpu().numpy())

        return keep

    hooks = [
        module.register_forward_hook(note(name))
        for name, module in model.named_modules()
        if getattr(module, "weight", None) is not None
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
