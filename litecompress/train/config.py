"""The training recipe: what `litecompress train` reads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from litecompress.errors import TrainingError
from litecompress.model.config import ModelConfig


@dataclass(frozen=True)
class ParallelText:
    """Files `FOLDER/SPLIT.LANGUAGE`, one sentence a line."""

    folder: str
    source: str
    target: str
    train: str = "train"
    valid: str = "val"

    def paths(self, split: str) -> tuple[Path, Path]:
        """Source and target file of a split."""
        folder = Path(self.folder)
        return folder / f"{split}.{self.source}", folder / f"{split}.{self.target}"


@dataclass(frozen=True)
class Architecture:
    """The parts of ModelConfig that a recipe chooses; vocabulary sizes come from the tokenizer."""

    embed_dim: int
    encoder_kernel_sizes: tuple[int, ...]
    decoder_kernel_sizes: tuple[int, ...]
    conv_type: Literal["lightweight", "dynamic"] = "lightweight"
    attention_heads: int = 4
    conv_heads: int = 4
    cross_attention_heads: int = 4
    dropout: float = 0.1
    attention_dropout: float = 0.0
    weight_dropout: float = 0.0

    def model_config(self, vocab_size: int) -> ModelConfig:
        """The whole configuration, with one table for source, target and output."""
        return ModelConfig.from_dict(
            {
                **vars(self),
                "source_vocab_size": vocab_size,
                "target_vocab_size": vocab_size,
                "ffn_dim": self.embed_dim,
                "conv_glu": self.conv_type == "dynamic",
            }
        )


@dataclass(frozen=True)
class TrainRecipe:
    """Adam with linear warm-up to `learning_rate`, then inverse square root decay."""

    data: ParallelText
    model: Architecture
    vocab_size: int = 8000
    epochs: int = 24
    max_tokens: int = 4096
    max_length: int = 256
    learning_rate: float = 3e-3
    warmup_updates: int = 800
    betas: tuple[float, float] = (0.9, 0.98)
    label_smoothing: float = 0.1
    average_epochs: int = 5
    seed: int = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        counts = ("vocab_size", "epochs", "max_tokens", "max_length", "warmup_updates")
        positive = (*counts, "average_epochs", "learning_rate")
        wrong = [n for n in positive if not 0 < getattr(self, n) < math.inf]
        if not 0 <= self.label_smoothing < 1:
            wrong.append("label_smoothing")
        if wrong:
            got = ", ".join(f"{name}: {getattr(self, name)}" for name in wrong)
            raise TrainingError(f"expected positive numbers, label_smoothing below 1, got {got}")
        if self.device not in ("auto", "cpu", "cuda"):
            raise TrainingError(f"expected device auto, cpu or cuda, got {self.device!r}")

    def chosen_device(self) -> str:
        """The device named, or a GPU when there is one."""
        available = torch.cuda.is_available()
        if self.device == "cuda" and not available:
            raise TrainingError("expected a GPU for device cuda, got none; use cpu or auto")
        return "cpu" if self.device == "cpu" or not available else "cuda"

    def rate(self, update: int) -> float:
        """Learning rate of an update, counted from 1."""
        warm = self.warmup_updates
        return self.learning_rate * min(update / warm, math.sqrt(warm / update))
