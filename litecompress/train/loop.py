"""The training loop: epochs over shuffled batches, then the mean of the last checkpoints."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from rich.progress import track
from torch import Tensor

from litecompress.checkpoint import Checkpoint, save_checkpoint
from litecompress.errors import TrainingError
from litecompress.model.config import PAD_ID
from litecompress.model.lite_transformer import LiteTransformer
from litecompress.recipe import build, read_yaml
from litecompress.tokenizer import Tokenizer, encode_all
from litecompress.train.config import TrainRecipe
from litecompress.train.data import Batch, Pair, batches, read_parallel
from litecompress.train.loss import smoothed_cross_entropy

STATE = "state.pt"
LOG = "train-log.jsonl"
RECIPE = "recipe.yaml"


class Trainer:
    """One run in one folder; started again there, it goes on after the last whole epoch.

    With `fresh` it begins anew instead. Nothing is written before the first epoch is done.
    """

    def __init__(
        self, recipe: TrainRecipe, folder: Path, *, quiet: bool = False, fresh: bool = False
    ) -> None:
        self.recipe, self.folder, self.quiet = recipe, folder, quiet
        self.device = recipe.chosen_device()
        resumes = (folder / STATE).exists() and not fresh
        if resumes:
            _check_same(recipe, folder / RECIPE)
        train = read_parallel(*recipe.data.paths(recipe.data.train))
        valid = read_parallel(*recipe.data.paths(recipe.data.valid))
        self.tokenizer = (
            Tokenizer((folder / "tokenizer.json").read_bytes())
            if resumes
            else Tokenizer.learn([*train[0], *train[1]], recipe.vocab_size)
        )
        self.train = self._pairs(train, recipe.data.train)
        self.valid = self._pairs(valid, recipe.data.valid)
        torch.manual_seed(recipe.seed)
        config = recipe.model.model_config(self.tokenizer.vocab_size)
        self.model = LiteTransformer(config).to(self.device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), betas=recipe.betas)
        self.epoch = self.update = 0
        if resumes:
            self._resume()

    def run(self) -> Checkpoint:
        """Train to the recipe's last epoch, write the averaged checkpoint, return it."""
        while self.epoch < self.recipe.epochs:
            self.epoch += 1
            started = time.perf_counter()
            train_loss, tokens = self._train_epoch()
            row = {
                "epoch": self.epoch,
                "updates": self.update,
                "learning_rate": self.recipe.rate(self.update),
                "train_loss": round(train_loss, 4),
                "valid_nll": round(self._valid_nll(), 4),
                "tokens_per_s": round(tokens / (time.perf_counter() - started)),
            }
            self._save(row)
        checkpoint = self.averaged()
        save_checkpoint(checkpoint, self.folder)
        return checkpoint

    def averaged(self) -> Checkpoint:
        """The mean of the last `average_epochs` epochs' weights."""
        last = range(max(1, self.epoch - self.recipe.average_epochs + 1), self.epoch + 1)
        states = [torch.load(self._epoch_file(e), weights_only=True) for e in last]
        mean = {k: torch.stack([s[k] for s in states]).mean(dim=0).numpy() for k in states[0]}
        return Checkpoint(self.model.config, mean, self.tokenizer.data)

    def _train_epoch(self) -> tuple[float, int]:
        """One pass over the training text: mean loss a token, and target tokens seen."""
        self.model.train()
        torch.manual_seed(self.recipe.seed + self.epoch)
        rng = np.random.default_rng((self.recipe.seed, self.epoch))
        epoch = list(batches(self.train, self.recipe.max_tokens, rng))
        total, tokens = 0.0, 0
        for batch in self._progress(epoch):
            loss, n = self._train_batch(batch.to(self.device))
            total, tokens = total + loss, tokens + n
        return total / tokens, tokens

    def _train_batch(self, batch: Batch) -> tuple[float, int]:
        """One update; the summed loss and its number of target tokens."""
        self.update += 1
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate(self.update)
        logits, target = token_logits(self.model, batch)
        loss = smoothed_cross_entropy(logits, target, self.recipe.label_smoothing)
        if not torch.isfinite(loss):
            raise TrainingError(f"loss is {loss.item()} at update {self.update}; lower the rate")
        self.optimizer.zero_grad()
        (loss / len(target)).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.item(), len(target)

    @torch.inference_mode()
    def _valid_nll(self) -> float:
        """Negative log-likelihood a token, in nats, on the validation text."""
        self.model.eval()
        total, tokens = 0.0, 0
        for batch in batches(self.valid, self.recipe.max_tokens, np.random.default_rng(0)):
            logits, target = token_logits(self.model, batch.to(self.device))
            total += torch.nn.functional.cross_entropy(logits, target, reduction="sum").item()
            tokens += len(target)
        return total / tokens

    def _pairs(self, text: tuple[list[str], list[str]], split: str) -> list[Pair]:
        data, limit = self.recipe.data, self.recipe.max_length
        source, target = (
            encode_all(self.tokenizer, lines, limit, f"{split}.{language}")
            for lines, language in zip(text, (data.source, data.target), strict=True)
        )
        return list(zip(source, target, strict=True))

    def _progress(self, epoch: list[Batch]) -> Iterable[Batch]:
        label = f"epoch {self.epoch}/{self.recipe.epochs}"
        return epoch if self.quiet else track(epoch, description=label, transient=True)

    def _epoch_file(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:03d}.pt"

    def _save(self, row: dict[str, Any]) -> None:
        """Weights of this epoch, the state to go on from, one line of log; old weights go."""
        if self.epoch == 1:
            self._begin()
        torch.save(self.model.state_dict(), self._epoch_file(self.epoch))
        state = {"epoch": self.epoch, "update": self.update, "adam": self.optimizer.state_dict()}
        torch.save(state, self.folder / "state.tmp")
        (self.folder / "state.tmp").rename(self.folder / STATE)
        with (self.folder / LOG).open("a") as log:
            log.write(json.dumps(row) + "\n")
        self._epoch_file(self.epoch - 2 * self.recipe.average_epochs).unlink(missing_ok=True)

    def _begin(self) -> None:
        """The run's folder, without files of an earlier one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in (self.folder / STATE, self.folder / LOG, *self.folder.glob("epoch-*.pt")):
            old.unlink(missing_ok=True)
        (self.folder / "tokenizer.json").write_bytes(self.tokenizer.data)
        text = yaml.safe_dump(_plain(self.recipe), sort_keys=False)
        (self.folder / RECIPE).write_text(text, "utf-8")

    def _resume(self) -> None:
        state = torch.load(self.folder / STATE, weights_only=True)
        self.epoch, self.update = state["epoch"], state["update"]
        if self.epoch > self.recipe.epochs:
            raise TrainingError(
                f"expected at least the {self.epoch} epochs that are done, got epochs: "
                f"{self.recipe.epochs}; --force begins anew"
            )
        self.model.load_state_dict(torch.load(self._epoch_file(self.epoch), weights_only=True))
        self.optimizer.load_state_dict(state["adam"])


def _check_same(recipe: TrainRecipe, path: Path) -> None:
    """A TrainingError where a run would go on with another recipe; epochs and places may differ."""
    before, now = read_yaml(path), _plain(recipe)
    free = ("epochs", "device", "data")
    changed = [k for k in now if k not in free and before.get(k) != now[k]]
    if changed:
        raise TrainingError(
            f"expected the recipe that {path.parent} was begun with, got another "
            f"{', '.join(changed)}; use another output, or --force to begin anew"
        )


def _plain(recipe: TrainRecipe) -> dict[str, Any]:
    """A recipe as YAML holds it."""
    values: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    return values


def load_train_recipe(path: Path, **overrides: Any) -> TrainRecipe:
    """Read a training recipe; `data` replaces the text's folder, other overrides their key."""
    recipe = build(TrainRecipe, read_yaml(path), str(path))
    folder = overrides.pop("data", None)
    if folder is not None:
        recipe = replace(recipe, data=replace(recipe.data, folder=str(folder)))
    return replace(recipe, **{k: v for k, v in overrides.items() if v is not None})


def token_logits(model: LiteTransformer, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits (N, V) and targets (N,) of the N real target tokens; padding costs nothing."""
    real = batch.target != PAD_ID  # (B, T)
    features = model.decode(batch.previous, *model.encode(batch.source))  # (B, T, D)
    return model.logits(features[real]), batch.target[real]
