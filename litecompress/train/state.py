"""What a run leaves in its folder, so that it can go on as if it had never stopped."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from safetensors.numpy import load_file, save
from torch import Tensor

from litecompress.errors import TrainingError
from litecompress.strict import read_yaml
from litecompress.train.recipe import TrainRecipe, recipe_values

STATE, LOG, RECIPE, TOKENIZER = "state.pt", "train-log.jsonl", "recipe.yaml", "tokenizer.json"
FREE = ("updates", "device", "data", "patience")  # what a run that goes on may change


@dataclass
class Progress:
    """Where a run is; `position` counts the updates done in `epoch`."""

    update: int = 0
    epoch: int = 0
    position: int = 0
    best: float | None = None
    stale: int = 0
    saved: list[int] = field(default_factory=list)

    def judge(self, value: float) -> None:
        """Compare a validation with the best before; higher is better."""
        better = self.best is None or value > self.best
        self.best, self.stale = (value, 0) if better else (self.best, self.stale + 1)


class RunFolder:
    """The files of one run; each is written beside and renamed into place."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def begun(self) -> bool:
        """Whether there is a state to go on from."""
        return (self.path / STATE).is_file()

    @property
    def may_begin(self) -> bool:
        """Whether nothing is there but what a run leaves that was stopped before its first save."""
        if not self.path.exists():
            return True
        if not self.path.is_dir():
            return False
        names = [path.name for path in self.path.iterdir()]
        early = (RECIPE, TOKENIZER, LOG, "tensorboard")
        return all(
            name in early or name.startswith("update-") or name.endswith(".partial")
            for name in names
        )

    def begin(self, recipe: TrainRecipe, tokenizer: bytes) -> None:
        """An empty folder but for the recipe and the tokenizer."""
        self.path.mkdir(parents=True, exist_ok=True)
        stale = (self.path / STATE, self.path / LOG, *self.path.glob("update-*"))
        for old in stale:
            old.unlink(missing_ok=True)
        self._write(TOKENIZER, tokenizer)
        self._write(RECIPE, yaml.safe_dump(recipe_values(recipe), sort_keys=False).encode())

    def tokenizer(self) -> bytes:
        """The tokenizer that the run was begun with."""
        return (self.path / TOKENIZER).read_bytes()

    def check_same(self, recipe: TrainRecipe) -> None:
        """A TrainingError where a run would go on with another recipe."""
        before, now = read_yaml(self.path / RECIPE), recipe_values(recipe)
        changed = [k for k in now if k not in FREE and before.get(k) != now[k]]
        if changed:
            raise TrainingError(
                f"expected the recipe that {self.path} was begun with, got another "
                f"{', '.join(changed)}; use another output, or --force to begin anew"
            )

    def save(
        self,
        progress: Progress,
        weights: Mapping[str, Tensor],
        optimizer: dict[str, Any],
        keep: int,
    ) -> None:
        """The weights of this update, then the state that refers to them; the oldest weights go."""
        arrays = {name: w.float().cpu().numpy() for name, w in weights.items()}
        self._write(self._weights_name(progress.update), save(arrays))
        progress.saved = [*progress.saved, progress.update]
        old, progress.saved = progress.saved[:-keep], progress.saved[-keep:]
        content = io.BytesIO()
        torch.save({"progress": asdict(progress), "optimizer": optimizer}, content)
        self._write(STATE, content.getvalue())
        for update in old:
            (self.path / self._weights_name(update)).unlink(missing_ok=True)

    def load(self) -> tuple[Progress, dict[str, NDArray[np.float32]], dict[str, Any]]:
        """Progress, weights and optimizer state as they were last saved."""
        try:
            state = torch.load(self.path / STATE, weights_only=True)
            progress = Progress(**state["progress"])
            return progress, self.weights(progress.update), state["optimizer"]
        except Exception as error:  # torch.load has many; none of them is ours
            raise TrainingError(
                f"{self.path}: expected the state of a run, got {error}; --force begins anew"
            ) from error

    def weights(self, update: int) -> dict[str, NDArray[np.float32]]:
        """The weights saved at an update."""
        return load_file(self.path / self._weights_name(update))

    def mean(self, updates: Sequence[int]) -> dict[str, NDArray[np.float32]]:
        """The mean of the weights saved at these updates."""
        total: dict[str, NDArray[np.float64]] = {}
        for update in updates:
            for name, weight in self.weights(update).items():
                total[name] = total.get(name, 0.0) + weight.astype(np.float64)
        return {name: (w / len(updates)).astype(np.float32) for name, w in total.items()}

    def log(self, row: dict[str, Any]) -> None:
        """One more line of the log; lines after a state that is gone on from are dropped."""
        path = self.path / LOG
        lines = path.read_text("utf-8").splitlines() if path.is_file() else []
        kept = [line for line in lines if json.loads(line)["update"] < row["update"]]
        self._write(LOG, "".join(f"{line}\n" for line in [*kept, json.dumps(row)]).encode())

    def _weights_name(self, update: int) -> str:
        return f"update-{update:07d}.safetensors"

    def _write(self, name: str, content: bytes) -> None:
        partial = self.path / f"{name}.partial"
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path / name)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise TrainingError(
                f"{self.path / name}: cannot be written ({error.strerror}); make room and start "
                "again, the run goes on from what was saved before"
            ) from error
