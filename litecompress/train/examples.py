"""The text of a training recipe as examples: tokenized, filtered, re-segmented every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from litecompress.batches import Example, blocks, pairs
from litecompress.corpus import Sides, Split
from litecompress.errors import InputError
from litecompress.tokenizer import NO_LIMIT, Tokenizers, encode_all
from litecompress.train.recipe import TrainRecipe
from litecompress.train.segmentation import Merges, Ragged


@dataclass(frozen=True)
class Examples:
    """One split of the text; `dropped` and `truncated` count what `overlong` did to it."""

    sides: tuple[Ragged, ...]
    block: int | None  # tokens of a block of running text; None for pairs
    dropped: int = 0
    truncated: int = 0

    def __str__(self) -> str:
        tokens = ", ".join(f"{len(side.ids):,}" for side in self.sides)
        if self.block is not None:
            return f"{len(self.sides[0]):,} lines of {tokens} tokens"
        cut = f"; {self.dropped:,} dropped, {self.truncated:,} cut as overlong"
        return f"{len(self.sides[0]):,} pairs of {tokens} tokens{cut}"

    def plain(self) -> list[Example]:
        """The examples as the tokenizer gives them."""
        return self._arranged(self.sides)

    def sampled(
        self, merges: Sequence[Merges], dropout: float, rng: np.random.Generator
    ) -> list[Example]:
        """The examples in a segmentation sampled with merge dropout, by the merges of each side."""
        pairs_of = zip(merges, self.sides, strict=False)
        return self._arranged(tuple(m.sample(side, dropout, rng) for m, side in pairs_of))

    def _arranged(self, sides: tuple[Ragged, ...]) -> list[Example]:
        if self.block is None:
            return pairs(*sides)
        return blocks(sides[0].ids, self.block)


def read_examples(recipe: TrainRecipe, split: Split, tokenizers: Tokenizers) -> Examples:
    """Tokenize a split; what is empty, or overlong where that is refused, is an InputError."""
    text, names = recipe.data.read(split), recipe.data.names(split)
    refuse = recipe.overlong == "refuse" and recipe.data.kind != "text"
    if recipe.overlong != "refuse":
        text = _without_blanks(text)
    limit = recipe.max_length if refuse else NO_LIMIT
    sides = tuple(
        Ragged.of(encode_all(tokenizer, lines, limit, name))
        for tokenizer, lines, name in zip(tokenizers[: len(text)], text, names, strict=True)
    )
    if recipe.data.kind == "text":
        return Examples(sides, recipe.max_length)
    return _fitted(sides, recipe, names[0])


def _without_blanks(text: Sides) -> Sides:
    """Only the lines where every side has text."""
    rows = [row for row in zip(*text, strict=True) if all(side.strip() for side in row)]
    return tuple(list(side) for side in zip(*rows, strict=True)) or tuple([] for _ in text)


def _fitted(sides: tuple[Ragged, ...], recipe: TrainRecipe, name: str) -> Examples:
    """Pairs within the limit: longer ones dropped, or cut with their last token, </s>, kept."""
    over = np.max([side.lengths for side in sides], axis=0) > recipe.max_length
    drop = recipe.overlong == "drop"
    kept = np.flatnonzero(~over) if drop else np.arange(len(over))
    if not len(kept):
        raise InputError(f"{name}: expected pairs of at most {recipe.max_length} tokens, got none")
    fitted = tuple(side.take(kept, recipe.max_length) for side in sides)
    count = int(over.sum())
    return Examples(fitted, None, count if drop else 0, 0 if drop else count)
