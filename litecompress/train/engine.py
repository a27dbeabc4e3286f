"""One update of the weights, over any number of batches and processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_state_dict,
    set_state_dict,
)

from litecompress.batches import Batch
from litecompress.errors import TrainingError
from litecompress.train.recipe import TrainRecipe

WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


class Trained(Protocol):
    """A module whose call gives loss and nll of a batch; `prefix` is left out of saved names."""

    prefix: str

    def parameters(self) -> Iterator[nn.Parameter]: ...
    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]: ...


class Losses(NamedTuple):
    """Means over an update's target tokens, in nats; the gradient's norm where it is clipped."""

    loss: float
    nll: float
    tokens: int
    gradient_norm: float | None


class Engine:
    """A model in training: its weights, its optimizer, and what accelerate makes of them.

    Each process takes every n-th batch of an update. The seed, the update and the batch's number
    decide its dropout, so that the number of processes changes nothing but the order of sums.
    """

    def __init__(self, objective: Trained, recipe: TrainRecipe, accelerator: Accelerator) -> None:
        self.prefix = objective.prefix
        self.recipe, self.accelerator = recipe, accelerator
        self.rank, self.processes = accelerator.process_index, accelerator.num_processes
        optimizer = recipe.optimizer.build(objective.parameters())
        self.objective, self.optimizer = accelerator.prepare(objective, optimizer)

    def update(self, batches: Sequence[Batch], update: int) -> Losses:
        """Change the weights by the gradient of all batches, the same list on every process."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.schedule.rate(update, self.recipe.updates)
        self.objective.train()
        self.optimizer.zero_grad()
        tokens = sum(batch.tokens for batch in batches)
        sums = torch.zeros(2, device=self.accelerator.device, dtype=torch.float64)
        rounds = range(0, len(batches), self.processes)
        for start in rounds:
            last = start == rounds[-1]
            with nullcontext() if last else self.accelerator.no_sync(self.objective):
                sums += self._batch(batches, start + self.rank, update, tokens)
        loss, nll = (self.accelerator.reduce(sums, "sum") / tokens).tolist()
        if not np.isfinite(loss):
            raise TrainingError(
                f"loss is {loss} at update {update}: expected a finite one; lower the peak rate or "
                "clip the gradient, what was saved before is intact"
            )
        norm = self._clip()
        self.optimizer.step()
        return Losses(loss, nll, tokens, norm)

    def _batch(self, batches: Sequence[Batch], index: int, update: int, tokens: int) -> Tensor:
        """Add one batch's gradient; the sums of its loss and nll (2,).

        A process left without a batch goes along with the first one, at no weight.
        """
        counts = index < len(batches)
        torch.manual_seed(_seed(self.recipe.seed, update, index))
        batch = batches[index if counts else 0].to(self.accelerator.device)
        loss, nll = self.objective(batch)
        share = self.processes / tokens if counts else 0.0  # gradients are averaged, not summed
        self.accelerator.backward(loss * share)
        return torch.stack([loss.detach(), nll.detach()]).double() * counts

    def _clip(self) -> float | None:
        if not self.recipe.clip_norm:
            return None
        norm = self.accelerator.clip_grad_norm_(self.objective.parameters(), self.recipe.clip_norm)
        return None if norm is None else float(norm)

    def nll(self, batches: Sequence[Batch]) -> float:
        """Negative log-likelihood a token, in nats, without dropout."""
        self.objective.eval()
        total = torch.zeros((), device=self.accelerator.device, dtype=torch.float64)
        for start in range(0, len(batches), self.processes):  # every process as often as the others
            index = start + self.rank
            batch = batches[min(index, len(batches) - 1)].to(self.accelerator.device)
            with torch.no_grad():
                total += self.objective(batch)[1].double() * (index < len(batches))
        tokens = sum(batch.tokens for batch in batches)
        return float(self.accelerator.reduce(total, "sum") / tokens)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Whole parameters and optimizer state by name, however they are spread."""
        weights, optimizer = get_state_dict(self.objective, self.optimizer.optimizer, options=WHOLE)
        named = {n.removeprefix(self.prefix): w for n, w in weights.items()}
        return cast(dict[str, Tensor], named), optimizer

    def load(self, weights: dict[str, Tensor], optimizer: dict[str, Any]) -> None:
        """Go on from a state."""
        set_state_dict(
            self.objective,
            self.optimizer.optimizer,
            model_state_dict={self.prefix + n: w for n, w in weights.items()},
            optim_state_dict=optimizer,
            options=StateDictOptions(full_state_dict=True),
        )


def make_accelerator(recipe: TrainRecipe, tensorboard: Any = None) -> Accelerator:
    """The processes and devices that `accelerate launch` or `torchrun` gave, or just this one."""
    if recipe.device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("expected a GPU for device cuda, got none; use cpu or auto")
    return Accelerator(
        cpu=recipe.device == "cpu",
        mixed_precision=recipe.mixed_precision,
        log_with="tensorboard" if tensorboard else None,
        project_dir=tensorboard,
    )


def _seed(*parts: int) -> int:
    """One number that depends on all of them."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))
