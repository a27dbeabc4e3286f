"""Batches: every example once, within the limit; running text in blocks."""

from __future__ import annotations

import numpy as np

from litecompress.batches import Batch, Example, batches, blocks
from litecompress.model.config import EOS_ID, PAD_ID


def ids(rng, most):
    return np.append(rng.integers(4, 90, rng.integers(1, most)), EOS_ID).astype(np.int32)


def test_batches_hold_every_pair_once_within_the_limit():
    rng = np.random.default_rng(0)
    examples = [Example(ids(rng, 20), ids(rng, 30)) for _ in range(200)]
    groups = batches(examples, 100, np.random.default_rng(1))
    assert sorted(i for group in groups for i in group) == list(range(200))
    for group in groups:
        batch = Batch.of([examples[i] for i in group])
        assert max(batch.source.numel(), batch.target.numel()) <= 100
        assert (batch.previous[:, 0] == EOS_ID).all()
        inner = batch.target[:, 1:] != PAD_ID
        assert (batch.previous[:, 1:][inner] == batch.target[:, :-1][inner]).all()
        assert batch.tokens == sum(len(examples[i].target) for i in group)


def test_running_text_goes_through_blocks_in_order():
    stream = np.arange(10, 35, dtype=np.int32)
    cut = blocks(stream, 10)
    assert np.concatenate([b.target for b in cut]).tolist() == stream.tolist()
    batch = Batch.of(cut)
    assert batch.source is None
    assert batch.previous[:, 0].tolist() == [EOS_ID, 19, 29]
    assert batch.previous[2, :5].tolist() == [29, 30, 31, 32, 33]
    assert batch.target[2].tolist() == [30, 31, 32, 33, 34, *[PAD_ID] * 5]
