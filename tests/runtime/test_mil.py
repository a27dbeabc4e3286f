"""The emulated Core ML session and its operators, against PyTorch and coremltools."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from litecompress.errors import InputError, UnsupportedOpError
from litecompress.export.coreml import CoreMLExport
from litecompress.model.config import EOS_ID, PAD_ID
from litecompress.runtime import mil_ops
from litecompress.runtime.mil import CoreMLSession, ct
from litecompress.runtime.search import SearchConfig, beam_search
from litecompress.runtime.torch_session import TorchSession
from tests import models

LENGTH = 10
ONE_LAYER = {"encoder_kernel_sizes": (3,), "decoder_kernel_sizes": (7,)}
SOURCE = np.array([[5, 9, 33, 2], [8, 2, PAD_ID, PAD_ID], [2, PAD_ID, PAD_ID, PAD_ID]])


@pytest.fixture(scope="module")
def artifact():
    return models.artifact("dynamic", **ONE_LAYER)


@pytest.fixture(scope="module")
def folder(artifact, tmp_path_factory):
    folder = tmp_path_factory.mktemp("coreml")
    CoreMLExport("float32", LENGTH, "float32")(artifact, folder)
    return folder


@pytest.fixture(scope="module")
def session(folder):
    return CoreMLSession(folder)


def test_a_padded_batch_steps_like_pytorch(session, artifact):
    theirs = TorchSession.of(artifact)
    state, expected = session.start(SOURCE, 5), theirs.start(SOURCE, LENGTH)
    tokens = np.full(len(SOURCE), EOS_ID)
    for step in range(LENGTH):
        logits, state = session.step(tokens, step, state)
        wanted, expected = theirs.step(tokens, step, expected)
        np.testing.assert_allclose(logits, wanted, rtol=0, atol=1e-4)
        for name, value in expected.caches.items():
            np.testing.assert_allclose(state.caches[name], value, rtol=0, atol=1e-4)
        tokens = wanted.argmax(1)


def test_a_beam_search_finds_what_pytorch_finds(session, artifact):
    config = SearchConfig(beam=3, max_length_a=0, max_length_b=LENGTH - 2)
    ours = beam_search(session, SOURCE, config)
    theirs = beam_search(TorchSession.of(artifact), SOURCE, config)
    assert [[h.tokens for h in row] for row in ours] == [[h.tokens for h in row] for row in theirs]


def test_caches_have_the_length_of_the_packages(session):
    assert (session.max_source, session.max_target) == (LENGTH, LENGTH)
    assert session.start(SOURCE, 3).caches["key_0"].shape == (3, 4, LENGTH, 4)


def test_padding_beyond_the_packages_is_cut(session):
    wide = np.full((3, LENGTH + 5), PAD_ID)
    wide[:, : SOURCE.shape[1]] = SOURCE
    for name, value in session.start(wide, 4).fixed.items():
        np.testing.assert_array_equal(value, session.start(SOURCE, 4).fixed[name])


def test_a_source_longer_than_the_packages_is_refused(session):
    with pytest.raises(InputError, match=r"at most 10 source tokens, got 11; .*length: 11"):
        session.start(np.full((1, LENGTH + 1), 5), 4)


def test_a_target_longer_than_the_packages_is_refused(session):
    with pytest.raises(InputError, match="at most 10 target tokens"):
        session.step(np.array([2]), LENGTH, session.start(SOURCE[:1], 4))


def test_a_folder_without_packages_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"encoder\.mlpackage"):
        CoreMLSession(tmp_path)


def test_all_unknown_operators_are_named(folder, monkeypatch):
    for name in ("softmax", "cumsum", "linear"):
        monkeypatch.delitem(mil_ops.OPERATORS, name)
    with pytest.raises(UnsupportedOpError, match="got cumsum, linear, softmax in encoder"):
        CoreMLSession(folder)


@pytest.mark.parametrize(
    ("operator", "options"),
    [
        (mil_ops.pad, {"pad": [1, 1], "mode": "reflect", "constant_val": 0.0}),
        (mil_ops.gather, {"indices": np.zeros(1), "axis": 0, "batch_dims": 1}),
        (mil_ops.cumsum, {"axis": 0, "reverse": True}),
        (mil_ops.constexpr_lut_to_dense, {"lut": np.zeros((2, 2, 1))}),
    ],
)
def test_options_that_are_not_written_are_refused(operator, options):
    first = {"indices": np.zeros(4)} if "lut" in options else {"x": np.zeros((3, 4))}
    with pytest.raises(UnsupportedOpError, match="runs on a device only"):
        operator(**first, **options)


def test_operators_against_pytorch():
    x = np.random.default_rng(0).normal(size=(2, 6, 4)).astype(np.float32)
    t, gamma, beta = torch.from_numpy(x), x[0, 0], x[0, 1]
    norm = F.layer_norm(t, [4], torch.from_numpy(gamma), torch.from_numpy(beta), 1e-5)
    pairs = {
        "layer_norm": (mil_ops.layer_norm(x, np.array([-1]), gamma, beta, 1e-5), norm),
        "softmax": (mil_ops.softmax(x, -1), t.softmax(-1)),
        "sigmoid": (mil_ops.sigmoid(100 * x), (100 * t).sigmoid()),
        "matmul": (mil_ops.matmul(x, x, transpose_y=True), t @ t.transpose(1, 2)),
        "pad": (
            mil_ops.pad(x, np.array([2, 1, 0, 3]), "constant", 0.5),
            F.pad(t, (0, 3, 2, 1), value=0.5),
        ),
        "gather": (mil_ops.gather(x, np.array([[0, -1], [2, 3]]), 1), t[:, [[0, -1], [2, 3]]]),
        "split": (mil_ops.split(x, 1, split_sizes=np.array([1, 5]))[1], t[:, 1:]),
        "slice": (
            mil_ops.slice_by_index(
                x,
                np.array([1, 1, 3]),
                np.array([0, 6, 0]),
                stride=np.array([1, 2, 1]),
                begin_mask=np.array([True, False, False]),
                end_mask=np.array([True, False, False]),
                squeeze_mask=np.array([False, False, True]),
            ),
            t[:, 1:6:2, 3],
        ),
    }
    for name, (ours, theirs) in pairs.items():
        np.testing.assert_allclose(ours, theirs.numpy(), atol=2e-6, err_msg=name)


def test_constant_expressions_against_coremltools():
    theirs = ct.converters.mil.mil.ops.defs.iOS18.compression
    random = np.random.default_rng(1)
    indices, mask = random.integers(0, 4, (6, 4)), random.integers(0, 2, (6, 4))
    lut = random.normal(size=(1, 1, 4, 1)).astype(np.float32)
    data = random.integers(-128, 128, (6, 4)).astype(np.int8)
    scale = random.random((3, 1)).astype(np.float32)
    offset = np.array([[3], [0], [-7]], np.int8)
    few = indices[mask != 0]
    for name, arguments in {
        "constexpr_lut_to_dense": (indices, lut),
        "constexpr_lut_to_sparse": (mask, few, lut),
        "constexpr_blockwise_shift_scale": (data, scale, offset),
        "constexpr_sparse_blockwise_shift_scale": (mask, data[mask != 0], scale, offset),
        "constexpr_sparse_to_dense": (few, mask),
    }.items():
        vector_axis = (None,) if "lut" in name else ()
        expected = getattr(theirs, name).decompress(*arguments, *vector_axis)
        np.testing.assert_equal(mil_ops.OPERATORS[name](*arguments), expected, err_msg=name)
