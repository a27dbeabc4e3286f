"""The emulated Core ML session against PyTorch, and what it makes of damaged packages."""

from __future__ import annotations

import shutil
import struct

import numpy as np
import pytest

from litecompress.errors import InputError, UnsupportedOpError
from litecompress.export.coreml import CoreMLExport
from litecompress.model.config import EOS_ID, PAD_ID
from litecompress.runtime import mil, mil_native, mil_ops
from litecompress.runtime.mil import CoreMLSession
from litecompress.runtime.mil_package import MODEL, WEIGHTS, Package, proto
from litecompress.runtime.mil_program import Program
from litecompress.runtime.search import SearchConfig, beam_search
from litecompress.runtime.torch_session import TorchSession
from tests import models

SHORT, LENGTH = 4, 10
ONE_LAYER = {"encoder_kernel_sizes": (3,), "decoder_kernel_sizes": (7,)}
SOURCE = np.array([[5, 9, 33, 2], [8, 2, PAD_ID, PAD_ID], [2, PAD_ID, PAD_ID, PAD_ID]])


@pytest.fixture(scope="module")
def artifact():
    return models.artifact("dynamic", **ONE_LAYER)


@pytest.fixture(scope="module")
def folder(artifact, tmp_path_factory):
    folder = tmp_path_factory.mktemp("coreml")
    CoreMLExport("float32", (SHORT, LENGTH), "float32")(artifact, folder)
    return folder


@pytest.fixture(scope="module")
def session(folder):
    return CoreMLSession(folder)


@pytest.fixture
def damaged(folder, tmp_path):
    return shutil.copytree(folder / "model.mlpackage", tmp_path / "model.mlpackage")


def test_a_padded_batch_steps_like_pytorch_and_grows_into_the_next_bucket(session, artifact):
    theirs = TorchSession.of(artifact)
    state, expected = session.start(SOURCE, 5), theirs.start(SOURCE, LENGTH)
    assert state.caches["key_0"].shape == (3, 4, SHORT, 4)
    tokens = np.full(len(SOURCE), EOS_ID)
    for step in range(LENGTH):
        logits, state = session.step(tokens, step, state)
        wanted, expected = theirs.step(tokens, step, expected)
        np.testing.assert_allclose(logits, wanted, rtol=0, atol=1e-4)
        for name, value in state.caches.items():
            whole = expected.caches[name]
            whole = whole if name.startswith("conv") else whole[:, :, : value.shape[2]]
            np.testing.assert_allclose(value, whole, rtol=0, atol=1e-4)
        assert state.caches["key_0"].shape[2] == (SHORT if step < SHORT else LENGTH)
        tokens = wanted.argmax(1)


def test_a_beam_search_finds_what_pytorch_finds(session, artifact):
    config = SearchConfig(beam=3, max_length_a=0, max_length_b=LENGTH - 2)
    ours = beam_search(session, SOURCE, config)
    theirs = beam_search(TorchSession.of(artifact), SOURCE, config)
    assert [[h.tokens for h in row] for row in ours] == [[h.tokens for h in row] for row in theirs]


@pytest.mark.parametrize(("used", "bucket"), [(1, SHORT), (SHORT, SHORT), (SHORT + 1, LENGTH)])
def test_the_smallest_bucket_that_fits_is_taken(session, used, bucket):
    source = np.full((2, LENGTH + 5), PAD_ID)
    source[:, :used] = 5
    state = session.start(source, LENGTH)
    assert state.fixed["memory_bias"].shape == (2, 1, 1, bucket)
    assert (session.max_source, session.max_target) == (LENGTH, LENGTH)


def test_many_rows_are_encoded_like_few(session):
    rows = np.tile(SOURCE, (7, 1))
    whole, few = session.start(rows, 5), session.start(SOURCE, 5)
    for name, value in whole.fixed.items():
        np.testing.assert_allclose(value, np.tile(few.fixed[name], (7, 1, 1, 1)), atol=1e-6)


def test_a_source_longer_than_the_packages_is_refused(session):
    with pytest.raises(InputError, match=r"at most 10 source tokens, got 11; .*length: 11"):
        session.start(np.full((1, LENGTH + 1), 5), 4)


def test_a_target_longer_than_the_packages_is_refused(session):
    with pytest.raises(InputError, match="at most 10 target tokens"):
        session.step(np.array([2]), LENGTH, session.start(SOURCE[:1], 4))


class Device:
    """What coremltools gives for a package on macOS, emulated: rows one by one, states by name."""

    def __init__(self, path, compute_units, function_name):
        self.program = Program(Package(mil.Path(path)), function_name)

    def predict(self, inputs, state=None):
        assert {k: (v.shape, v.dtype) for k, v in inputs.items()} == {
            k: (t.shape, t.dtype) for k, t in self.program.inputs.items()
        }
        return self.program(inputs, state)


def test_on_macos_core_ml_itself_runs_the_functions(folder, session, monkeypatch):
    monkeypatch.setattr(mil.sys, "platform", "darwin")
    monkeypatch.setattr(mil_native.ct.models, "MLModel", Device)
    native = CoreMLSession(folder)
    ours, theirs = native.start(SOURCE, 5), session.start(SOURCE, 5)
    for step in range(SHORT + 2):
        logits, ours = native.step(np.array([2, 5, 6]), step, ours)
        wanted, theirs = session.step(np.array([2, 5, 6]), step, theirs)
        np.testing.assert_allclose(logits, wanted, rtol=0, atol=1e-5)


def test_a_folder_without_packages_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"expected an \.mlpackage, got none"):
        CoreMLSession(tmp_path)
    with pytest.raises(InputError, match="got nothing at"):
        Package(tmp_path / "model.mlpackage")


def test_all_unknown_operators_are_named(folder, monkeypatch):
    for name in ("softmax", "cumsum", "linear"):
        monkeypatch.delitem(mil_ops.OPERATORS, name)
    with pytest.raises(UnsupportedOpError, match="got cumsum, linear, softmax in model"):
        CoreMLSession(folder)


def test_missing_files_are_named(damaged):
    (damaged / WEIGHTS).unlink()
    with pytest.raises(InputError, match=r"weight\.bin: expected the weights of a program, got n"):
        Package(damaged)
    (damaged / MODEL).unlink()
    with pytest.raises(InputError, match=r"model\.mlmodel: expected a program of .* got none"):
        Package(damaged)


@pytest.mark.parametrize("kept", [0, 1, 100, 5000, 30000, -1])
def test_a_truncated_program_is_refused(damaged, kept):
    content = (damaged / MODEL).read_bytes()
    (damaged / MODEL).write_bytes(content[:kept])
    with pytest.raises(InputError, match=r"model\.mlmodel: expected a(n ML|  Core ML)? "):
        CoreMLSession(damaged.parent)


@pytest.mark.parametrize("kept", [0, 1, 64, 200, 5000, -1000])
def test_truncated_weights_are_refused(damaged, kept):
    content = (damaged / WEIGHTS).read_bytes()
    (damaged / WEIGHTS).write_bytes(content[:kept])
    with pytest.raises(InputError, match=r"weight\.bin: expected the weights of"):
        CoreMLSession(damaged.parent)


@pytest.mark.parametrize("offset", [3, 64 + 1, 2**40, 2**63 + 5])
def test_offsets_out_of_range_are_refused(damaged, offset):
    changed(damaged, lambda value: setattr(value, "offset", offset))
    with pytest.raises(InputError, match=r"weight\.bin: expected the weights of the program, got"):
        CoreMLSession(damaged.parent)


def changed(package, change):
    """Apply a change to the first array of every function."""
    model = proto.Model_pb2.Model.FromString((package / MODEL).read_bytes())
    for function in model.mlProgram.functions.values():
        for op in function.block_specializations[function.opset].operations:
            if op.attributes["val"].WhichOneof("value") == "blobFileValue":
                change(op.attributes["val"].blobFileValue)
                break
    (package / MODEL).write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("at", "form", "value"),
    [
        (64, "<I", 0),  # the first array's sentinel
        (68, "<I", 4),  # its type
        (72, "<Q", 2**50),  # its size
        (80, "<Q", 2**50),  # where it begins
    ],
)
def test_headers_that_do_not_agree_are_refused(damaged, at, form, value):
    content = bytearray((damaged / WEIGHTS).read_bytes())
    struct.pack_into(form, content, at, value)
    (damaged / WEIGHTS).write_bytes(content)
    with pytest.raises(InputError, match=r"weight\.bin: expected the weights of the program, got"):
        CoreMLSession(damaged.parent)


def test_a_value_that_nothing_gives_is_refused(damaged):
    model = proto.Model_pb2.Model.FromString((damaged / MODEL).read_bytes())
    function = model.mlProgram.functions["encoder_4"]
    operations = function.block_specializations[function.opset].operations
    del operations[0]
    (damaged / MODEL).write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="expected operators that fit together, got"):
        CoreMLSession(damaged.parent)


def test_functions_of_others_are_refused(damaged):
    model = proto.Model_pb2.Model.FromString((damaged / MODEL).read_bytes())
    model.mlProgram.functions["other"].CopyFrom(model.mlProgram.functions["encoder_4"])
    (damaged / MODEL).write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="expected functions of ours, got other"):
        CoreMLSession(damaged.parent)


def test_a_length_without_its_decoder_is_refused(damaged):
    model = proto.Model_pb2.Model.FromString((damaged / MODEL).read_bytes())
    del model.mlProgram.functions["decoder_4"]
    (damaged / MODEL).write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="an encoder and a decoder for each length"):
        CoreMLSession(damaged.parent)


def test_another_model_is_refused(damaged):
    model = proto.Model_pb2.Model(specificationVersion=9)
    (damaged / MODEL).write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="expected an ML program, got another model"):
        Package(damaged)
