"""Workers that die are told of; what they had done stays."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest
import torch

from litecompress.errors import InputError
from litecompress.scan.pool import measured, one_thread
from litecompress.scan.probe import Prober, Subject
from litecompress.scan.text import Pairs
from tests import models
from tests.scan.test_run import samples


@dataclass(frozen=True)
class Deadly:
    """A probe after which there is no process."""

    def run(self, prober):
        os._exit(3)


def prober():
    artifact = models.artifact()
    text = Pairs(samples(artifact))
    weights = dict(artifact.weights)
    return Prober(Subject(artifact.config, weights, (artifact.tokenizer, None), text, {}))


def test_a_worker_that_dies_is_one_clear_error():
    with pytest.raises(InputError, match="goes on where this one stopped: try fewer --jobs"):
        list(measured(prober(), {"a": Deadly(), "b": Deadly()}, jobs=2))


def test_threads_are_given_back():
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
