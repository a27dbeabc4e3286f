"""The LiteRT session: rows, lengths, damaged files; numbers against the PyTorch session."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from litecompress import Translator
from litecompress.artifact import Artifact
from litecompress.encoding import Dense
from litecompress.errors import InputError, MissingBackendError
from litecompress.export.package import write_package
from litecompress.export.tflite import TfliteExport
from litecompress.model.config import EOS_ID, PAD_ID, ModelConfig
from litecompress.model.lite_transformer import LiteTransformer
from litecompress.runtime.litert import LiteRTLanguageSession, LiteRTSession
from litecompress.runtime.open import open_model
from litecompress.runtime.search import SearchConfig, n_best
from litecompress.runtime.torch_session import TorchSession
from tests import models

LENGTH = 16
LENGTHS = (4, 8, LENGTH)
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
    TfliteExport(storage="float32", length=LENGTHS)(artifact, folder)
    return folder


@pytest.fixture
def session(folder):
    return LiteRTSession(folder)


def padded(*rows):
    width = max(map(len, rows))
    return np.array([[*row, *[PAD_ID] * (width - len(row))] for row in rows])


SOURCE = padded([5, 6, 7, 8, EOS_ID], [9, EOS_ID], [30, 31, EOS_ID])


def test_limits_are_the_longest_length(session):
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


@pytest.mark.parametrize(("tokens", "length"), [(1, 4), (4, 4), (5, 8), (8, 8), (9, 16), (16, 16)])
def test_the_shortest_length_that_holds_a_sentence_is_taken(session, tokens, length):
    state = session.start(np.full((2, tokens), 5), 2)
    assert state.caches["key_0"].shape == (2, 4, length, 4)
    assert state.caches["conv_0"].shape == (2, 2, 16)
    assert state.fixed["memory_bias"].shape == (2, 1, 1, length)
    assert not any(cache.any() for cache in state.caches.values())


@pytest.mark.parametrize("source", [SOURCE[1:2, :2], SOURCE])
def test_caches_move_on_to_longer_lengths_as_they_fill(artifact, session, source):
    reference = TorchSession.of(artifact)
    ours, theirs = session.start(source, LENGTH), reference.start(source, LENGTH)
    rng, seen = np.random.default_rng(0), []
    for step in range(LENGTH):
        tokens = rng.integers(4, 120, len(source))
        logits, ours = session.step(tokens, step, ours)
        expected, theirs = reference.step(tokens, step, theirs)
        np.testing.assert_allclose(logits, expected, rtol=0, atol=TOLERANCE, err_msg=str(step))
        seen.append(ours.graph.length)
    assert sorted(set(seen)) == ([4, 8, 16] if source.shape[1] <= 4 else [8, 16])


@pytest.mark.parametrize("beam", [1, 4])
def test_a_whole_search_gives_what_pytorch_gives(artifact, session, beam):
    sentences = [(5, 6, 7, 8, EOS_ID), (9, EOS_ID), (*range(30, 42), EOS_ID)]
    config = SearchConfig(beam=beam, max_length_a=0, max_length_b=LENGTH - 2)
    ours = n_best(session, sentences, config)
    theirs = n_best(TorchSession.of(artifact), sentences, config)
    for found, expected in zip(ours, theirs):
        assert [h.tokens for h in found] == [h.tokens for h in expected]
        scores = [h.score for h in found], [h.score for h in expected]
        np.testing.assert_allclose(*scores, rtol=0, atol=TOLERANCE)


def test_buffers_are_used_again_and_copied_for_nobody(session):
    state = session.start(SOURCE, 4)
    both = state.rows(np.array([1, 1]))
    assert both.held[0] is both.held[1] is state.held[1]
    _, after = session.step(np.array([2, 3]), 0, both)
    addresses = {row.caches.buffers["key_0"].array.ctypes.data for row in after.held}
    del after
    _, again = session.step(np.array([2, 3]), 0, both)
    assert {row.caches.buffers["key_0"].array.ctypes.data for row in again.held} == addresses


def test_results_outlive_later_steps(session):
    state = session.start(SOURCE[:1], 4)
    logits, after = session.step(np.array([2]), 0, state)
    kept, key = logits.copy(), after.caches["key_0"].copy()
    session.step(np.array([50]), 1, after)
    assert np.array_equal(logits, kept)
    assert np.array_equal(after.caches["key_0"], key)


def test_a_sentence_longer_than_the_bucket_is_refused(session):
    with pytest.raises(InputError, match=r"at most 16 tokens, got one of 17.*export"):
        session.start(np.full((1, LENGTH + 1), 5), 4)


def test_padding_beyond_the_bucket_is_cut_off(session):
    wide = np.full((3, LENGTH + 3), PAD_ID)
    wide[:, : SOURCE.shape[1]] = SOURCE
    for name, value in session.start(wide, 4).fixed.items():
        assert np.array_equal(value, session.start(SOURCE, 4).fixed[name])


def test_a_target_longer_than_the_bucket_is_refused(session):
    with pytest.raises(InputError, match="at most 16 target tokens"):
        session.step(np.array([2]), LENGTH, session.start(SOURCE[:1], 4))


def test_a_folder_without_a_package_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"model\.tflite"):
        LiteRTSession(tmp_path)


def test_a_missing_backend_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.compiled_model", None)
    with pytest.raises(MissingBackendError, match=r"ai-edge-litert.*litecompress\[litert\]"):
        LiteRTSession(folder)


@pytest.mark.parametrize("kept", [0, 7, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_refused(folder, tmp_path, kept):
    content = (folder / "model.tflite").read_bytes()
    size = kept if isinstance(kept, int) else int(kept * len(content))
    (tmp_path / "model.tflite").write_bytes(content[:size])
    with pytest.raises(InputError, match="expected a TFLite file, got damaged content"):
        LiteRTSession(tmp_path)


def test_a_damaged_file_is_refused_or_runs(folder, tmp_path):
    """In processes of their own, where a crash would show."""
    content = np.frombuffer((folder / "model.tflite").read_bytes(), np.uint8)
    script = (
        "import sys; from pathlib import Path\n"
        "from litecompress.errors import InputError\n"
        "from litecompress.runtime.open import open_package\n"
        "try:\n    open_package(Path(sys.argv[1]), 'tflite')\n"
        "except InputError as error:\n    print(error)\n"
    )
    for seed in range(3):
        rng = np.random.default_rng(seed)
        damaged = content.copy()
        damaged[rng.integers(0, len(content), 40)] ^= rng.integers(1, 256, 40).astype(np.uint8)
        (tmp_path / "model.tflite").write_bytes(damaged.tobytes())
        command = [sys.executable, "-c", script, tmp_path]
        ran = subprocess.run(command, capture_output=True, check=True)
        assert b"Traceback" not in ran.stderr


def test_a_package_that_does_not_match_its_manifest_is_refused(artifact, tmp_path):
    write_package(TfliteExport(storage="float32", length=8), artifact, tmp_path / "package")
    path = tmp_path / "package" / "model.tflite"
    path.write_bytes(path.read_bytes()[:-16] + bytes(16))
    with pytest.raises(InputError, match=r"files missing or changed: model\.tflite; export again"):
        open_model(tmp_path / "package")


def test_a_longer_text_is_refused_or_split(tmp_path):
    write_package(
        TfliteExport(storage="float32", length=(8, 16)), models.artifact(), tmp_path / "p"
    )
    translator = Translator.load(tmp_path / "p")
    text = "a man rides a horse . two dogs run through the snow ! a man rides a horse ."
    with pytest.raises(InputError, match=r"sentence 1: expected at most 16 tokens, got .*split"):
        translator.translate([text], beam=2)
    (found,) = translator.translate([text], beam=2, overlong="split")
    assert found.pieces > 1
    assert found == Translator.load(tmp_path / "p").translate([text], beam=2, overlong="split")[0]


def renamed(folder, into, old, new):
    """The package with a signature under another name of the same length."""
    content = (folder / "model.tflite").read_bytes()
    assert content.count(old) == 1
    (into / "model.tflite").write_bytes(content.replace(old, new))


def test_a_file_with_other_signatures_is_refused(folder, tmp_path):
    renamed(folder, tmp_path, b"encode_8", b"encoder8")
    with pytest.raises(InputError, match=r"signatures encode_4, .* got no encode_8; export"):
        LiteRTSession(tmp_path)
    with pytest.raises(InputError, match=r"signatures such as step_64, got encode_4, decode_4"):
        LiteRTLanguageSession(folder)


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
