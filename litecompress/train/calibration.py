"""A few examples of training text, to learn from them what the weights of a model matter."""

from __future__ import annotations

import numpy as np

from litecompress.artifact import Artifact
from litecompress.batches import Example, blocks, pairs
from litecompress.corpus import TrainingText
from litecompress.errors import InputError

BLOCK = 64  # tokens of running text that make one example


def calibration_examples(artifact: Artifact, text: TrainingText, lines: int) -> list[Example]:
    """So many lines, spread evenly over the training split, as the network takes them.

    What is blank or longer than the model's positions is left out; running text comes in blocks.
    Text of the wrong kind, or none that fits, is an InputError.
    """
    wanted = "text" if artifact.config.is_language_model else "parallel or table"
    if text.kind not in wanted.split():
        raise InputError(f"expected data of kind {wanted} for this model, got {text.kind}")
    rows = [row for row in zip(*text.read("train"), strict=True) if all(map(str.strip, row))]
    chosen = np.linspace(0, len(rows) - 1, min(lines, len(rows))).astype(int)
    tokenizers, most = artifact.tokenizers(), artifact.config.max_positions
    ids = [
        [np.array(t.encode(side), np.int32) for t, side in zip(tokenizers, rows[i], strict=False)]
        for i in chosen
    ]
    ids = [row for row in ids if max(map(len, row)) <= most]
    if not ids:
        raise InputError(f"expected training text of at most {most} tokens a line, got none")
    if text.kind == "text":
        return blocks(np.concatenate([line for (line,) in ids]), BLOCK)
    return pairs(*zip(*ids, strict=True))
