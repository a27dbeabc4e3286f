"""The LiteRT session: rows, padding, limits; numbers against the PyTorch session."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from litecompress.artifact import Artifact
from litecompress.encoding import Dense
from litecompress.errors import InputError, MissingBackendError
from litecompress.export.tflite import TfliteExport
from litecompress.model.config import EOS_ID, PAD_ID, ModelConfig
from litecompress.model.lite_transformer import LiteTransformer
from litecompress.runtime.litert import LiteRTSession
from litecompress.runtime.torch_session import TorchSession

LENGTH = 8
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def artifact():
    torch.manual_seed(5)
    config = ModelConfig(
        source_vocab_size=120,
        target_vocab_size=120,
        embed_dim=32,
        ffn_dim=64,
        encoder_kernel_sizes=(3,),
        decoder_kernel_sizes=(3,),
        conv_type="lightweight",
        conv_glu=False,
    )
    weights = LiteTransformer(config).state_dict()
    return Artifact(config, {n: Dense(w.numpy()) for n, w in weights.items()}, b"{}")


@pytest.fixture(scope="module")
def folder(artifact, tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    TfliteExport(storage="float32", length=LENGTH)(artifact, folder)
    return folder


@pytest.fixture
def session(folder):
    return LiteRTSession(folder)


def padded(*rows):
    width = max(map(len, rows))
    return np.array([[*row, *[PAD_ID] * (width - len(row))] for row in rows])


SOURCE = padded([5, 6, 7, 8, EOS_ID], [9, EOS_ID], [30, 31, EOS_ID])


def test_limits_are_the_bucket(session):
    assert session.max_source == session.max_target == LENGTH


def test_a_batch_equals_pytorch_also_when_its_rows_are_reordered(artifact, session):
    reference = TorchSession.of(artifact)
    ours, theirs = session.start(SOURCE, 4), reference.start(SOURCE, LENGTH)
    order = np.array([2, 0, 0])
    for step, tokens in enumerate(np.array([[2, 2, 2], [40, 41, 42], [50, 51, 52], [60, 61, 62]])):
        if step == 2:
            ours, theirs = ours.rows(order), theirs.rows(torch.from_numpy(order))
        logits, ours = session.step(tokens, step, ours)
        expected, theirs = reference.step(tokens, step, theirs)
        np.testing.assert_allclose(logits, expected[:, : logits.shape[1]], rtol=0, atol=TOLERANCE)


def test_caches_have_the_length_of_the_bucket(session):
    state = session.start(SOURCE, 2)
    assert state.caches["key_0"].shape == (3, 4, LENGTH, 4)
    assert state.caches["conv_0"].shape == (3, 2, 16)


def test_results_outlive_later_steps(session):
    state = session.start(SOURCE[:1], 4)
    logits, after = session.step(np.array([2]), 0, state)
    kept, key = logits.copy(), after.caches["key_0"].copy()
    session.step(np.array([50]), 1, after)
    assert np.array_equal(logits, kept)
    assert np.array_equal(after.caches["key_0"], key)


def test_a_sentence_longer_than_the_bucket_is_refused(session):
    with pytest.raises(InputError, match=r"at most 8 tokens, got one of 9.*export"):
        session.start(np.full((1, LENGTH + 1), 5), 4)


def test_padding_beyond_the_bucket_is_cut_off(session):
    wide = np.full((3, LENGTH + 3), PAD_ID)
    wide[:, : SOURCE.shape[1]] = SOURCE
    for name, value in session.start(wide, 4).fixed.items():
        assert np.array_equal(value, session.start(SOURCE, 4).fixed[name])


def test_a_target_longer_than_the_bucket_is_refused(session):
    with pytest.raises(InputError, match="at most 8 target tokens"):
        session.step(np.array([2]), LENGTH, session.start(SOURCE[:1], 4))


def test_a_folder_without_a_package_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"model\.tflite"):
        LiteRTSession(tmp_path)


def test_a_missing_backend_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(MissingBackendError, match=r"ai-edge-litert.*litecompress\[litert\]"):
        LiteRTSession(folder)


def test_it_runs_without_torch_and_without_a_word(folder):
    script = (
        "import sys, numpy; from pathlib import Path\n"
        "from litecompress.runtime.litert import LiteRTSession\n"
        f"session = LiteRTSession(Path({str(folder)!r}))\n"
        "state = session.start(numpy.array([[5, 2]]), 4)\n"
        "session.step(numpy.array([2]), 0, state)\n"
        "assert 'torch' not in sys.modules\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert (ran.stdout, ran.stderr) == (b"", b"")
