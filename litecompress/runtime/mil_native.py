"""Core ML programs where there is Core ML: on macOS, through coremltools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from litecompress.backends import load_backend
from litecompress.runtime.mil_ops import Array
from litecompress.runtime.mil_package import Package

ct = load_backend("coremltools")


class NativeFunction:
    """One function of an `.mlpackage`, executed; the rows of a batch go one by one.

    States are written before every prediction and read after it, so that rows may be reordered.
    """

    def __init__(self, package: Package, function: str) -> None:
        self.inputs, self.states = package.inputs(function)
        self.outputs = package.outputs(function)
        name = None if function == "main" else function
        self._model = ct.models.MLModel(
            str(package.path), compute_units=ct.ComputeUnit.CPU_ONLY, function_name=name
        )

    def __call__(
        self, inputs: Mapping[str, Array], states: dict[str, Array] | None = None
    ) -> dict[str, Array]:
        """Predict for rows (B, ..) of what the program takes as (1, ..); states change."""
        rows = len(inputs[next(iter(self.inputs))])
        found = [self._predict(inputs, states or {}, row) for row in range(rows)]
        joined = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
        if states is not None:
            states.update((name, joined.pop(name)) for name in self.states)
        return joined

    def _predict(
        self, inputs: Mapping[str, Array], states: Mapping[str, Array], row: int
    ) -> dict[str, Any]:
        """One row's outputs and states, each (1, ..)."""
        given = {
            name: np.reshape(inputs[name][row], tensor.shape).astype(tensor.dtype)
            for name, tensor in self.inputs.items()
        }
        if not self.states:
            found = self._model.predict(given)
            return {name: np.asarray(found[name], np.float32) for name in self.outputs}
        kept = self._model.make_state()
        for name, tensor in self.states.items():
            kept.write_state(name, states[name][row].reshape(tensor.shape).astype(tensor.dtype))
        found = self._model.predict(given, state=kept)
        after = {name: kept.read_state(name) for name in self.states}
        return {n: np.asarray(v, np.float32) for n, v in {**found, **after}.items()}
