"""ONNX Runtime with bound buffers: as PyTorch, however rows are reordered and caches grow."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from litecompress.errors import InputError
from litecompress.model.config import EOS_ID, PAD_ID
from litecompress.runtime import ort_buffers
from litecompress.runtime.ort import OnnxSession
from litecompress.runtime.torch_session import TorchSession
from tests.runtime import trace

SOURCE = np.array([[35, 42, 87, 4, 2], [51, 45, 2, PAD_ID, PAD_ID], [70, 32, 9, 2, PAD_ID]])
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def reference():
    return TorchSession.of(trace.artifact())


@pytest.fixture
def session():
    return OnnxSession(trace.FOLDER / "onnx")


def walk(session, reference, orders, length=40, seed=0):
    """Step through random tokens, choosing rows in between, and compare every output."""
    rng = np.random.default_rng(seed)
    ours, theirs = session.start(SOURCE, length), reference.start(SOURCE, length)
    rows = len(SOURCE)
    for step in range(length):
        tokens = rng.integers(4, 96, rows)
        logits, ours = session.step(tokens, step, ours)
        expected, theirs = reference.step(tokens, step, theirs)
        np.testing.assert_allclose(logits, expected, rtol=0, atol=TOLERANCE)
        if step in orders:
            order, same = orders[step]
            ours = ours.rows(np.array(order), same_sources=same)
            theirs = theirs.rows(torch.tensor(order), same_sources=same)
            rows = len(order)
    return ours, theirs


def test_it_steps_as_pytorch_while_caches_grow_from_16_to_40(session, reference):
    ours, theirs = walk(session, reference, {})
    for name, cache in theirs.caches.items():
        np.testing.assert_allclose(ours.caches[name], cache, rtol=0, atol=TOLERANCE)


def test_rows_may_be_reordered_repeated_and_left_out(session, reference):
    orders = {
        0: ([0, 0, 1, 1, 2, 2], False),
        1: ([1, 0, 2, 2, 5, 5], True),
        2: ([0, 1, 4, 5], False),
        3: ([3, 2, 1, 0], False),
        15: ([1, 1, 3, 2], True),
        20: ([0, 3], False),
        31: ([1], False),
    }
    walk(session, reference, orders)


def test_random_orders(session, reference):
    rng = np.random.default_rng(5)
    orders, rows = {}, len(SOURCE)
    for step in range(0, 36, 2):
        count = int(rng.integers(1, 7))
        orders[step] = (rng.integers(0, rows, count).tolist(), False)
        rows = count
    walk(session, reference, orders, seed=5)


def test_buffers_of_one_sentence_serve_the_next(session, reference):
    for seed in range(3):
        ours, _ = walk(session, reference, {3: ([2, 1], False)}, length=18, seed=seed)
        ours.release()
    kept = [b for sizes in session._graph._kept.values() for b in sizes]
    ours, _ = walk(session, reference, {3: ([2, 1], False)}, length=18, seed=9)
    assert [b for sizes in session._graph._kept.values() for b in sizes] != kept  # in use
    ours.release()
    assert {id(b) for sizes in session._graph._kept.values() for b in sizes} == set(map(id, kept))


def test_what_is_kept_is_bounded(session, reference, monkeypatch):
    monkeypatch.setattr(ort_buffers, "KEPT_BYTES", 20_000)
    for rows in range(1, 30):
        state = session.start(np.repeat(SOURCE[:1], rows, axis=0), 16)
        session.step(np.full(rows, EOS_ID), 0, state)[1].release()
        kept = [b for sizes in session._graph._kept.values() for b in sizes]
        assert sum(b.nbytes for b in kept) <= 20_000


def test_sentences_that_take_turns_do_not_disturb_each_other(session, reference):
    states = [session.start(SOURCE[i : i + 1], 20) for i in (0, 0, 2)]
    theirs = [reference.start(SOURCE[i : i + 1], 20) for i in (0, 0, 2)]
    rng = np.random.default_rng(1)
    for step in range(20):
        for i, token in enumerate(rng.integers(4, 96, 3)):
            logits, states[i] = session.step(np.array([token]), step, states[i])
            expected, theirs[i] = reference.step(np.array([token]), step, theirs[i])
            np.testing.assert_allclose(logits, expected, rtol=0, atol=TOLERANCE)


def test_logits_are_the_callers_own(session):
    state = session.start(SOURCE, 4)
    logits, state = session.step(np.full(3, EOS_ID), 0, state)
    kept = logits.copy()
    session.step(np.array([9, 9, 9]), 1, state)
    assert np.array_equal(logits, kept)


def test_a_state_that_is_used_up_is_refused(session):
    state = session.start(SOURCE, 4)
    _, after = session.step(np.full(3, EOS_ID), 0, state)
    with pytest.raises(ValueError, match="newest state"):
        session.step(np.full(3, EOS_ID), 0, state)
    with pytest.raises(ValueError, match="newest state"):
        state.rows(np.array([0]))
    after.release()
    with pytest.raises(ValueError, match="newest state"):
        session.step(np.full(3, 9), 1, after)


def test_a_step_beyond_what_was_asked_for_is_refused(session):
    with pytest.raises(InputError, match="at most 4 target tokens, as asked for, got 5"):
        session.step(np.full(3, EOS_ID), 4, session.start(SOURCE, 4))
