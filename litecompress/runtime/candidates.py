"""From logits to the next tokens worth a thought, in few passes over the vocabulary."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from litecompress.model.config import EOS_ID
from litecompress.runtime.session import Tokens

Floats = NDArray[np.float32]
Places = NDArray[np.intp]
Flags = NDArray[np.bool_]
TINY, HUGE = 1e-30, 1e36  # between them float32 has all its digits


def log_sums(blocks: Sequence[Floats]) -> list[Floats]:
    """Of blocks of logits (R, V), the log of each row's summed exponentials (R,).

    Logits less it are log-probabilities. Only those too far from zero for the sum are shifted,
    which takes two more passes.
    """
    scratch = np.empty_like(blocks[0])
    with np.errstate(over="ignore"):
        totals = [np.add.reduce(np.exp(block, out=scratch), axis=1) for block in blocks]
    return [
        np.log(total) if all(TINY < t < HUGE for t in total.tolist()) else _shifted_log_sum(block)
        for block, total in zip(blocks, totals, strict=True)
    ]


def _shifted_log_sum(logits: Floats) -> Floats:
    """The same of one block, whatever the logits."""
    peak = logits.max(axis=1)
    total: Floats = np.log(np.exp(logits - peak[:, None]).sum(axis=1)) + peak
    return total


def top(values: Floats, count: int) -> tuple[Floats, Places]:
    """The greatest `count` of each row, or all of fewer, descending, and where they stand.

    Written as a table, a row has `count` columns with maxima of at least `least`, so that many
    values are as great: only these are sorted.
    """
    rows, width = values.shape
    count = min(count, width)
    height = math.isqrt(width // count)
    columns = width // height
    table = values[:, : height * columns].reshape(rows, height, columns)
    least = np.partition(np.maximum.reduce(table, axis=1), columns - count, axis=1)
    where = np.empty((rows, count), np.intp)
    for i, row in enumerate(values):
        at = np.flatnonzero(~(row < least[i, columns - count]))  # what is no number is kept
        where[i] = at[np.argsort(-row[at], kind="stable")[:count]]
    return np.take_along_axis(values, where, 1), where


def only_end(logits: Floats) -> None:
    """Rule out everything but </s>, in place."""
    ends = logits[:, EOS_ID].copy()
    logits.fill(-np.inf)
    logits[:, EOS_ID] = ends


def ban_repeats(logits: Floats, tokens: Tokens, n: int) -> None:
    """Rule out, in place, what would complete an n-gram that a row of tokens (R, T) has already."""
    starts = tokens.shape[1] - n + 1
    if starts < 1:
        return
    same = np.ones((len(tokens), starts), bool)  # whether the last n - 1 tokens stand here too
    for offset in range(n - 1):
        same &= tokens[:, offset : offset + starts] == tokens[:, starts + offset, None]
    rows, places = same.nonzero()
    logits[rows, tokens[rows, places + n - 1]] = -np.inf
