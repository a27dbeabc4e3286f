"""Parity figures by hand, and of a session with itself."""

from __future__ import annotations

import math

import numpy as np
import pytest

from litecompress.errors import InputError
from litecompress.runtime.torch_session import TorchSession
from litecompress.verify import Parity, Reference, parity, psnr_db
from tests import models

SOURCES = [(5, 9, 2), (7, 8, 11, 4, 2), (6, 2)]


def test_psnr_by_hand():
    reference = np.array([[4.0, -8.0]], np.float32)
    assert psnr_db(reference, reference + 0.08) == pytest.approx(40, abs=1e-3)
    assert psnr_db(reference, reference) == math.inf


def test_a_session_equals_itself_and_not_another():
    ours = TorchSession.of(models.artifact())
    reference = Reference.of(ours, SOURCES, 12)
    assert all(len(t) <= 12 and t[-1] == 2 for t in reference.tokens)
    same = parity(reference, ours, "pytorch", "executed", "float32", greedy=True)
    assert same.psnr_db > 120
    assert (same.token_agreement, same.greedy_agreement) == (1.0, 1.0)
    other = TorchSession.of(models.artifact(seed=3))
    different = parity(reference, other, "pytorch", "executed", "float32", greedy=True)
    assert different.psnr_db < 30
    assert different.token_agreement < 1
    assert different.greedy_agreement < 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_not_finite_fail(value):
    reference = np.array([[4.0, -8.0]], np.float32)
    broken = np.array([[value, -8.0]], np.float32)
    assert psnr_db(reference, broken) == 0
    assert psnr_db(broken, reference) == 0
    assert psnr_db(np.zeros((1, 2), np.float32), reference) == 0
    row = Parity("onnx", "executed", "int8", 1, 0.0, float(value), 0.5, None).to_dict()
    assert (row["psnr_db"], row["max_abs_err"]) == (0, None)


def test_a_model_without_finite_scores_is_an_error():
    class Broken(TorchSession):
        def step(self, tokens, step, state):
            logits, state = super().step(tokens, step, state)
            return np.full_like(logits, np.nan), state

    broken = Broken(TorchSession.of(models.artifact()).model)
    with pytest.raises(InputError, match="expected finite scores"):
        Reference.of(broken, SOURCES, 12)
