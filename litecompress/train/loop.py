"""A run: from a recipe to a checkpoint, in a folder that it can go on from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from numpy.typing import NDArray

from litecompress.batches import Batch, Example, batches
from litecompress.checkpoint import Checkpoint, load_checkpoint
from litecompress.errors import CheckpointError, RecipeError, TrainingError
from litecompress.model.shapes import check_shapes
from litecompress.tokenizer import Tokenizer, Tokenizers
from litecompress.train.display import Display
from litecompress.train.engine import Engine, Losses, Trained, make_accelerator
from litecompress.train.examples import read_examples
from litecompress.train.objective import Objective
from litecompress.train.recipe import TrainRecipe
from litecompress.train.scoring import Score
from litecompress.train.segmentation import Merges
from litecompress.train.state import Progress, RunFolder


@dataclass(frozen=True)
class Subject:
    """What trains: an objective, its tokenizers, and the model that saved parameters stand for."""

    objective: Trained
    tokenizers: Tokenizers
    model: Callable[[Mapping[str, NDArray[np.float32]]], Checkpoint]
    before_update: Callable[[int], None] | None = None


class Trainer:
    """One run in one folder; started again there, it goes on from the last validation.

    With `fresh` it begins anew instead. `score` is the recipe's metric where that is not nll.
    Without a `subject` the recipe's own model is made and trained.
    """

    def __init__(
        self,
        recipe: TrainRecipe,
        folder: Path,
        *,
        quiet: bool = False,
        fresh: bool = False,
        tensorboard: bool = False,
        score: Score | None = None,
        subject: Subject | None = None,
    ) -> None:
        self.recipe, self.score, self.folder = recipe, score, RunFolder(folder)
        self.resumes = self.folder.begun and not fresh
        if self.resumes:
            self.folder.check_same(recipe)
        self.accelerator = make_accelerator(recipe, folder if tensorboard else None)
        self.main = self.accelerator.is_main_process
        self.display = Display(recipe.updates, quiet or not self.main)
        self.subject = subject or self._new_model()
        tokenizers = self.subject.tokenizers
        self.train = read_examples(recipe, "train", tokenizers)
        self.valid = _grouped(read_examples(recipe, "valid", tokenizers).plain(), recipe)
        self.merges = [Merges(t) for t in tokenizers] if recipe.merge_dropout else []
        self.engine = Engine(self.subject.objective, recipe, self.accelerator)
        self.progress = self._resumed() if self.resumes else Progress()

    def run(self) -> Checkpoint:
        """Train to the recipe's last update; the model of the mean of what was saved last."""
        if self.main and not self.resumes:
            self.folder.begin(self.recipe, self.subject.tokenizers.source.data)
        if self.accelerator.log_with:
            self.accelerator.init_trackers("tensorboard")
        self.display.note(f"training text: {self.train}")
        with self.display:
            self._train()
        self.accelerator.wait_for_everyone()
        self.accelerator.end_training()
        return self.subject.model(self.folder.mean(self.progress.saved))

    def _new_model(self) -> Subject:
        """A model as the recipe describes it, with the run's tokenizer or a new one."""
        if self.recipe.init is not None:
            return continued(self.recipe, load_checkpoint(Path(self.recipe.init)))
        tokenizer = Tokenizer(self._tokenizer())
        torch.manual_seed(self.recipe.seed)
        config = self.recipe.model_config(tokenizer.vocab_size)
        return Subject(
            Objective(config, self.recipe.label_smoothing, self.recipe.consistency),
            Tokenizers(tokenizer, tokenizer),
            lambda weights: Checkpoint(config, dict(weights), tokenizer.data),
        )

    def _train(self) -> None:
        """Updates up to the recipe's last, or until validation gets no better."""
        recipe, progress, window = self.recipe, self.progress, _Window()
        for group in self._groups():
            if self.subject.before_update is not None:
                self.subject.before_update(progress.update + 1)
            window.add(self.engine.update(group, progress.update + 1))
            progress.update += 1
            self.display.advance(progress.update, window)
            if progress.update % recipe.interval and progress.update < recipe.updates:
                continue
            self._validate(window)
            window = _Window()
            if recipe.patience and progress.stale >= recipe.patience:
                return

    def _groups(self) -> Iterator[list[Batch]]:
        """The batches of every update that is left."""
        recipe, progress = self.recipe, self.progress
        while progress.update < recipe.updates:
            rng = np.random.default_rng((recipe.seed, progress.epoch))
            examples = self._examples(rng)
            order = batches(examples, recipe.max_tokens, rng)
            updates = math.ceil(len(order) / recipe.batches_per_update)
            while progress.position < updates and progress.update < recipe.updates:
                start = progress.position * recipe.batches_per_update
                progress.position += 1
                chosen = order[start : start + recipe.batches_per_update]
                yield [Batch.of([examples[i] for i in batch]) for batch in chosen]
            if progress.position == updates:
                progress.epoch, progress.position = progress.epoch + 1, 0

    def _examples(self, rng: np.random.Generator) -> list[Example]:
        if not self.merges:
            return self.train.plain()
        return self.train.sampled(self.merges, self.recipe.merge_dropout, rng)

    def _validate(self, window: _Window) -> None:
        """Measure, log and save the model of this update."""
        progress = self.progress
        weights, optimizer = self.engine.state()
        row = {
            "update": progress.update,
            "epoch": progress.epoch,
            "learning_rate": self.recipe.schedule.rate(progress.update, self.recipe.updates),
            **window.row(),
            "valid_nll": round(self.engine.nll(self.valid), 4),
        }
        value = -row["valid_nll"]
        if self.score is not None:
            arrays = {n: w.float().cpu().numpy() for n, w in weights.items()}
            value = self._scored(self.subject.model(arrays))
            row[self.recipe.metric] = round(value, 2)
        if not math.isfinite(value):
            raise TrainingError(
                f"validation gave {value} at update {progress.update}; lower the rate"
            )
        progress.judge(value)
        self.accelerator.log({k: v for k, v in row.items() if k != "update"}, progress.update)
        if self.main:
            self.folder.log(row)
            self.folder.save(progress, weights, optimizer, self.recipe.average)
        self.display.report(row)

    def _scored(self, checkpoint: Checkpoint) -> float:
        """The recipe's metric, computed on one process and known to all."""
        assert self.score is not None
        found = [self.score(checkpoint) if self.main else 0.0]
        return float(broadcast_object_list(found)[0])

    def _tokenizer(self) -> bytes:
        """The run's own tokenizer, or one learnt on one process and sent to all."""
        if self.resumes:
            return self.folder.tokenizer()
        content = [b""]
        if self.main:
            lines = (line for side in self.recipe.data.read("train") for line in side)
            content = [Tokenizer.learn(lines, self.recipe.vocab_size).data]
        data: bytes = broadcast_object_list(content)[0]
        return data

    def _resumed(self) -> Progress:
        """Load the last state; where it was."""
        progress, weights, optimizer = self.folder.load()
        if progress.update > self.recipe.updates:
            raise TrainingError(
                f"expected at least the {progress.update} updates that are done, got updates: "
                f"{self.recipe.updates}; --force begins anew"
            )
        self.engine.load({n: torch.from_numpy(w) for n, w in weights.items()}, optimizer)
        return progress


def continued(recipe: TrainRecipe, before: Checkpoint) -> Subject:
    """A trained model that trains on; a RecipeError where its weights do not fit the recipe's."""
    config = recipe.checked({**before.config.to_dict(), **recipe.model})
    try:
        check_shapes(config, {name: w.shape for name, w in before.weights.items()})
    except CheckpointError as error:
        raise RecipeError(f"model: expected the architecture of {recipe.init}: {error}") from error
    objective = Objective(config, recipe.label_smoothing, recipe.consistency)
    weights = {name: torch.from_numpy(np.array(w)) for name, w in before.weights.items()}
    objective.network.load_state_dict(weights)
    tokenizers = Tokenizers.of(before.tokenizer, before.target_tokenizer)
    return Subject(
        objective,
        tokenizers,
        lambda weights: Checkpoint(
            config, dict(weights), before.tokenizer, before.target_tokenizer
        ),
    )


class _Window:
    """Means of the losses since the last validation, and the speed."""

    def __init__(self) -> None:
        self.started, self.loss, self.nll, self.tokens = time.perf_counter(), 0.0, 0.0, 0

    def add(self, losses: Losses) -> None:
        self.loss += losses.loss * losses.tokens
        self.nll += losses.nll * losses.tokens
        self.tokens += losses.tokens

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / (time.perf_counter() - self.started)

    def row(self) -> dict[str, Any]:
        return {
            "train_loss": round(self.loss / self.tokens, 4),
            "train_nll": round(self.nll / self.tokens, 4),
            "tokens_per_s": round(self.tokens_per_s),
        }


def _grouped(examples: list[Example], recipe: TrainRecipe) -> list[Batch]:
    """Validation text in batches, always the same."""
    groups = batches(examples, recipe.max_tokens, np.random.default_rng(0))
    return [Batch.of([examples[i] for i in group]) for group in groups]
