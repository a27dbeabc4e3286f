"""TFLite packages, executed, against the PyTorch network with the weights that they should hold."""

from __future__ import annotations

import sys
from importlib import import_module

import numpy as np
import pytest
import torch

from litecompress.artifact import Artifact
from litecompress.encoding import Affine, Dense
from litecompress.errors import ExportError, MissingBackendError
from litecompress.export import tflite, tflite_file
from litecompress.export.base import is_matrix, plan
from litecompress.export.tflite import TfliteExport
from litecompress.model.config import EOS_ID, PAD_ID, ModelConfig
from litecompress.model.lite_transformer import LiteTransformer
from litecompress.runtime.litert import LiteRTSession
from litecompress.runtime.torch_session import TorchSession
from litecompress.stages import Context, Prune, Quantize, apply

LENGTH = 16
STEPS = 6
TOLERANCE = 1e-4
DYNAMIC_INT8_DB = 45  # measured 48 to 50; activations are rounded to 8 bits before every matrix


def random_artifact(**changes):
    options = {
        "source_vocab_size": 120,
        "target_vocab_size": 120,
        "embed_dim": 32,
        "ffn_dim": 64,
        "encoder_kernel_sizes": (3, 7),
        "decoder_kernel_sizes": (3, 7),
        **changes,
    }
    torch.manual_seed(7)
    model = LiteTransformer(ModelConfig(**options))
    with torch.no_grad():  # a converter folds what is left at one or zero, and gains into matrices
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for name, parameter in model.named_parameters():
            if name.endswith("embedding.weight"):
                parameter[PAD_ID] = 0
    weights = {n: Dense(w.numpy()) for n, w in model.state_dict().items()}
    return Artifact(model.config, weights, b"{}")


def compressed(artifact):
    for stage in (Prune(sparsity=0.5), Quantize(num_bits=6)):
        artifact = apply(stage, artifact, Context())
    return artifact


@pytest.fixture(scope="module", params=["lightweight", "dynamic"])
def artifact(request):
    return compressed(random_artifact(conv_type=request.param, conv_glu=request.param == "dynamic"))


@pytest.fixture(scope="module")
def package(artifact, tmp_path_factory):
    """Export the artifact, or another; equal weights are converted once, as that takes seconds."""
    convert, converted = tflite._converted, {}

    def remember(model, length):
        key = b"".join(w.numpy().tobytes() for w in model.state_dict().values())
        if key not in converted:
            converted[key] = convert(model, length)
        return converted[key]

    def export(of=artifact, **options):
        folder = tmp_path_factory.mktemp("package")
        return TfliteExport(length=LENGTH, **options)(of, folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tflite, "_converted", remember)
        yield export


def sources(*lengths):
    tokens = np.random.default_rng(3).integers(4, 120, (len(lengths), LENGTH))
    for row, length in zip(tokens, lengths):
        row[length - 1] = EOS_ID
        row[length:] = PAD_ID
    return tokens


def translate(session, source, fed):
    """Encoder outputs and logits (T, B, V) of the target tokens (B, T), fed one by one."""
    state = session.start(source, fed.shape[1])
    rows = []
    for step, tokens in enumerate(fed.T):
        logits, state = session.step(tokens, step, state)
        rows.append(logits)
    return {n: np.asarray(v) for n, v in state.fixed.items()}, np.stack(rows)


def both(exported, reference):
    """What a package computes and what PyTorch does, over lengths with and without padding."""
    source = sources(LENGTH, 9, 2, 1)
    fed = np.random.default_rng(4).integers(2, 120, (len(source), STEPS))
    session = LiteRTSession(exported.folder)
    return translate(session, source, fed), translate(reference, source, fed)


def assert_close(exported, reference):
    (ours, logits), (theirs, expected) = both(exported, reference)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], rtol=0, atol=TOLERANCE, err_msg=name)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=TOLERANCE)


def psnr_db(ours, theirs):
    error = np.sqrt(np.square(ours - theirs, dtype=np.float64).mean())
    return 20 * np.log10(np.abs(theirs).max() / error)


def stored(exported):
    model = tflite_file.read((exported.folder / exported.files["model"]).read_bytes())
    return tflite_file.matrices(model)


def re_encoded(artifact):
    return plan(artifact, "int8", "tflite", frozenset({"affine"}))


def test_float32_equals_pytorch(artifact, package):
    exported = package(storage="float32")
    assert_close(exported, TorchSession.of(artifact))
    assert exported.quantized_byte_share == 0
    assert not exported.re_encoded
    assert "embedding.weight" in exported.decoded


def test_int8_with_float_activations_computes_with_our_grid(artifact, package):
    weights = re_encoded(artifact).decode()
    exported = package(activations="float32")
    assert_close(exported, TorchSession(LiteTransformer.from_weights(artifact.config, weights)))


def test_dynamic_int8_stays_close_to_the_artifact(artifact, package):
    (_, logits), (_, expected) = both(package(), TorchSession.of(artifact))
    assert psnr_db(logits, expected) > DYNAMIC_INT8_DB


@pytest.mark.parametrize("activations", ["dynamic", "float32"])
def test_every_matrix_is_stored_on_our_grid(artifact, package, activations):
    exported = package(activations=activations)
    assert exported.quantized_byte_share > 0.9
    assert exported.files == {"model": "model.tflite"}
    assert exported.re_encoding_psnr_db > 40
    expected = [n for n, w in artifact.weights.items() if is_matrix(n, w)]
    assert sorted(exported.re_encoded) == sorted(expected)
    integers = {(m.values.shape, m.values.tobytes()) for m in stored(exported) if m.is_quantized}
    planned = re_encoded(artifact).weights
    for name in expected:
        assert (planned[name].shape, planned[name].values.tobytes()) in integers, name


@pytest.mark.parametrize("activations", ["dynamic", "float32"])
def test_the_tied_table_is_stored_once(artifact, package, activations):
    tables = [m for m in stored(package(activations=activations)) if m.values.shape == (120, 32)]
    assert len(tables) == 1
    kinds = sorted(kind for kind, _ in tables[0].readers)
    assert kinds == ["EMBEDDING_LOOKUP", "EMBEDDING_LOOKUP", "FULLY_CONNECTED"]
    assert not tables[0].values[PAD_ID].any()


def test_int8_file_is_smaller(package):
    floating, integer = (
        (e.folder / e.files["model"]).stat().st_size
        for e in (package(storage="float32"), package())
    )
    assert integer < 0.5 * floating  # measured 0.48: in so small a model the graph weighs more


def test_operators_are_counted_over_both_signatures(package):
    ops = package().ops
    assert ops["EMBEDDING_LOOKUP"] == 2
    assert ops["FULLY_CONNECTED"] > 40
    assert "DEQUANTIZE" not in ops


def test_constants_are_aligned(package):
    exported = package()
    content = (exported.folder / exported.files["model"]).read_bytes()
    model = tflite_file.schema.Model.GetRootAs(content)
    for i in range(model.BuffersLength()):
        buffer = model.Buffers(i)
        if not buffer.DataIsNone():
            data = buffer._tab.Vector(buffer._tab.Offset(4))
            assert data % tflite_file.ALIGN_BYTES == 0


def test_native_keeps_a_symmetric_grid(artifact, package):
    on_grid = Artifact(artifact.config, re_encoded(artifact).weights, b"{}")
    exported = package(on_grid, storage="native")
    assert exported.quantized_byte_share > 0.9
    assert set(exported.native) == set(on_grid.weights)


def test_native_refuses_a_grid_that_would_change(artifact, package):
    weights = dict(re_encoded(artifact).weights)
    symmetric = weights["decoder.0.ffn.fc1.weight"]
    shifted = Affine(
        symmetric.values.astype(np.int16) + 3, symmetric.scale, symmetric.zero_point + np.int8(3)
    )
    weights["decoder.0.ffn.fc1.weight"] = shifted
    with pytest.raises(ExportError, match=r"1 others: decoder\.0\.ffn\.fc1\.weight"):
        package(Artifact(artifact.config, weights, b"{}"), storage="native")


def test_native_refuses_palettes(artifact, tmp_path):
    with pytest.raises(ExportError, match="palette"):
        TfliteExport(storage="native")(artifact, tmp_path)


@pytest.mark.parametrize("length", [1, 1025])
def test_length_must_fit_the_positions(artifact, tmp_path, length):
    with pytest.raises(ExportError, match="length from 2 to 1024"):
        TfliteExport(length=length)(artifact, tmp_path)


def test_an_untied_model_exports_without_a_word(tmp_path, capfd):
    changes = {"encoder_kernel_sizes": (3,), "decoder_kernel_sizes": (3,)}
    untied = random_artifact(**changes, share_embeddings=False)
    exported = TfliteExport(length=LENGTH, activations="float32")(untied, tmp_path)
    weights = re_encoded(untied).decode()
    assert_close(exported, TorchSession(LiteTransformer.from_weights(untied.config, weights)))
    assert exported.quantized_byte_share > 0.9
    assert capfd.readouterr() == ("", "")


def test_a_missing_backend_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "litert_torch", None)
    monkeypatch.delitem(sys.modules, "litecompress.export.tflite")
    with pytest.raises(MissingBackendError, match=r"litert-torch.*litecompress\[litert\]"):
        import_module("litecompress.export.tflite")
