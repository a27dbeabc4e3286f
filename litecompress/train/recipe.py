"""The training recipe: what `litecompress train` reads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from litecompress.corpus import TrainingText
from litecompress.errors import RecipeError
from litecompress.model.config import ModelConfig
from litecompress.model.presets import preset
from litecompress.strict import build, plain, read_yaml
from litecompress.train.optimizer import Adam, Nag
from litecompress.train.schedule import Cosine, InverseSqrt

COUNTS = (
    "updates",
    "interval",
    "vocab_size",
    "batches_per_update",
    "max_tokens",
    "max_length",
    "average",
    "metric_sentences",
)
Metric = Literal["nll", "bleu", "rouge"]


@dataclass(frozen=True)
class TrainRecipe:
    """How a model is trained; one recipe gives one model, whatever the number of processes.

    `model` holds keys of ModelConfig, or `preset` and what differs from it; vocabulary sizes come
    from the tokenizer. With `init`, a checkpoint's folder, training goes on from its weights with
    its tokenizers, and `model` says what differs from its config, such as dropout. An update sums
    the gradients of `batches_per_update` batches of at most `max_tokens` padded tokens a side,
    divided by their target tokens. Every `interval` updates the model is validated and saved; the
    result is the mean of the last `average` saved ones. With `patience`, training stops after so
    many validations without a better `metric`. `consistency` is the weight of R-Drop
    (arXiv:2106.14448), which takes every batch twice. `merge_dropout` undoes each merge of the
    training text's segmentation with that probability.
    """

    data: TrainingText
    updates: int
    interval: int
    schedule: Annotated[InverseSqrt | Cosine, Field(discriminator="kind")]
    model: Mapping[str, Any] = field(default_factory=dict)
    init: str | None = None
    optimizer: Annotated[Adam | Nag, Field(discriminator="kind")] = field(default_factory=Adam)
    vocab_size: int = 8000
    merge_dropout: float = 0.0
    batches_per_update: int = 1
    max_tokens: int = 4096
    max_length: int = 256
    overlong: Literal["refuse", "drop", "truncate"] = "refuse"
    label_smoothing: float = 0.1
    consistency: float = 0.0
    clip_norm: float = 0.0
    average: int = 5
    metric: Metric = "nll"
    metric_sentences: int = 500
    patience: int = 0
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    seed: int = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        counts = [n for n in COUNTS if getattr(self, n) < 1]
        problems = [_expected(self, name, "at least 1") for name in counts]
        for name in ("label_smoothing", "merge_dropout"):
            if not 0 <= getattr(self, name) < 1:
                problems.append(_expected(self, name, "at least 0 and below 1"))
        for name in ("clip_norm", "patience", "consistency"):
            if not 0 <= getattr(self, name) < math.inf:
                problems.append(_expected(self, name, "at least 0"))
        if self.vocab_size < 8:
            problems.append(_expected(self, "vocab_size", "room for 4 special tokens and words"))
        text = self.data.kind == "text"
        if text and self.metric != "nll":
            problems.append(_expected(self, "metric", "nll for a language model"))
        if problems:
            raise RecipeError("; ".join(problems))

    def model_config(self, vocab_size: int) -> ModelConfig:
        """The architecture with a vocabulary; one table serves source, target and output."""
        values = dict(self.model)
        name = values.pop("preset", None)
        base = {} if name is None else preset(name).to_dict()
        if "embed_dim" in values:
            values.setdefault("ffn_dim", values["embed_dim"])
        sizes = {"source_vocab_size": vocab_size, "target_vocab_size": vocab_size}
        return self.checked({**base, "share_embeddings": True, **values, **sizes})

    def checked(self, values: Mapping[str, Any]) -> ModelConfig:
        """The architecture of these values, if this recipe can train it."""
        config = ModelConfig.from_dict(values)
        if config.is_language_model != (self.data.kind == "text"):
            raise RecipeError(
                "expected data of kind text for a language model (no encoder) and pairs for an "
                f"encoder-decoder, got {self.data.kind}"
            )
        if self.consistency and config.adaptive_cutoffs:
            raise RecipeError(
                "consistency: expected 0 for a model with adaptive softmax, got "
                f"{self.consistency}; leave it out"
            )
        return config


def load_train_recipe(path: Path, **overrides: Any) -> TrainRecipe:
    """Read a training recipe; `data` replaces the text's folder, other overrides their key."""
    recipe = build(TrainRecipe, read_yaml(path), str(path))
    folder = overrides.pop("data", None)
    if folder is not None:
        recipe = replace(recipe, data=replace(recipe.data, folder=str(folder)))
    return replace(recipe, **{k: v for k, v in overrides.items() if v is not None})


def recipe_values(recipe: TrainRecipe) -> dict[str, Any]:
    """A recipe as YAML holds it, every default written out."""
    return plain(recipe)  # type: ignore[no-any-return]


def _expected(recipe: TrainRecipe, name: str, what: str) -> str:
    return f"{name}: expected {what}, got {getattr(recipe, name)}"
