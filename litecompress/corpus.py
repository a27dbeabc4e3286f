"""Training text: where it lies, and its sentences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from litecompress.errors import InputError, RecipeError
from litecompress.text import read_lines

Split = Literal["train", "valid"]
Sides = tuple[list[str], ...]  # source and target lines, or the lines of a language model


@dataclass(frozen=True)
class ParallelText:
    """Files `FOLDER/SPLIT.LANGUAGE`, one sentence a line."""

    kind: Literal["parallel"]
    folder: str
    source: str
    target: str
    train: str = "train"
    valid: str = "val"

    def read(self, split: Split) -> Sides:
        """Source and target lines; unequal numbers are an InputError."""
        return read_parallel(*(self._path(split, side) for side in (self.source, self.target)))

    def names(self, split: Split) -> list[str]:
        """What an error calls each side."""
        return [self._path(split, side).name for side in (self.source, self.target)]

    def _path(self, split: Split, language: str) -> Path:
        return Path(self.folder) / f"{getattr(self, split)}.{language}"


@dataclass(frozen=True)
class PairTable:
    """Tab-separated files in FOLDER, plain or .xz; columns are counted from 1."""

    kind: Literal["table"]
    folder: str
    train: str
    valid: str
    source_column: int = 1
    target_column: int = 2

    def __post_init__(self) -> None:
        if min(self.source_column, self.target_column) < 1:
            raise RecipeError(
                "data: expected columns counted from 1, got "
                f"{self.source_column} and {self.target_column}"
            )

    def read(self, split: Split) -> Sides:
        """Source and target of every line; lines without both are one InputError."""
        path = Path(self.folder) / getattr(self, split)
        rows = [line.split("\t") for line in read_lines(path)]
        source, target = self.source_column - 1, self.target_column - 1
        wrong = [n for n, row in enumerate(rows, 1) if len(row) <= max(source, target)]
        if wrong:
            raise InputError(
                f"{path}: expected columns {self.source_column} and {self.target_column} in every "
                f"line, got {len(wrong)} without, such as line {wrong[0]}"
            )
        return [row[source] for row in rows], [row[target] for row in rows]

    def names(self, split: Split) -> list[str]:
        """What an error calls each side."""
        columns = (self.source_column, self.target_column)
        return [f"{getattr(self, split)} column {column}" for column in columns]


@dataclass(frozen=True)
class PlainText:
    """Running text for a language model: files in FOLDER, plain or .xz, read one after another."""

    kind: Literal["text"]
    folder: str
    train: tuple[str, ...]
    valid: tuple[str, ...]

    def read(self, split: Split) -> Sides:
        """The lines that are not blank."""
        texts = [read_lines(Path(self.folder) / name) for name in getattr(self, split)]
        return ([line for text in texts for line in text if line.strip()],)

    def names(self, split: Split) -> list[str]:
        """What an error calls the text."""
        return [", ".join(getattr(self, split))]


TrainingText = Annotated[ParallelText | PairTable | PlainText, Field(discriminator="kind")]


def read_parallel(source: Path, target: Path) -> tuple[list[str], list[str]]:
    """Two files of one sentence a line; unequal lengths or a missing file are an InputError."""
    lines = [read_lines(path) for path in (source, target)]
    if len(lines[0]) != len(lines[1]):
        raise InputError(
            f"expected as many lines in {source} as in {target}, "
            f"got {len(lines[0])} and {len(lines[1])}"
        )
    return lines[0], lines[1]
