"""TFLite packages, executed, against the PyTorch network with the weights that they should hold."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from litecompress.artifact import Artifact
from litecompress.encoding import Dense
from litecompress.errors import ExportError, MissingBackendError
from litecompress.export.base import is_matrix
from litecompress.export.package import write_package
from litecompress.export.tflite import TfliteExport
from litecompress.export.tflite_plan import payload_bytes, plan_tflite
from litecompress.model.config import EOS_ID, PAD_ID, ModelConfig
from litecompress.model.lite_transformer import LiteTransformer
from litecompress.runtime.litert import LiteRTSession
from litecompress.runtime.torch_session import TorchSession
from litecompress.stages import Context, Prune, Quantize, apply
from litecompress.stages.affine_grid import affine_quantized
from litecompress.verify import psnr_db
from tests.export import tflite_reader

LENGTHS = (8, 16)
STEPS = 6
TOLERANCE = 1e-4
DYNAMIC_DB = 45  # measured 49 to 53; activations are rounded to 8 bits before every matrix
KINDS = [
    ("float32", "dynamic"),
    ("float16", "dynamic"),
    ("int8", "dynamic"),
    ("int8", "float32"),
    ("int4", "dynamic"),
    ("int4", "float32"),
]
CONFIGS = {
    "lightweight": {"conv_type": "lightweight", "conv_glu": False},
    "dynamic": {},
    "untied pre-norm": {"share_embeddings": False, "normalize_before": True},
    "attention alone": {"encoder_kernel_sizes": (0, 0), "decoder_kernel_sizes": (0, 3)},
    "convolution alone": {"attention_heads": 0, "decoder_kernel_sizes": (1, 7)},
    "leaky": {"conv_padding": "leaky"},
}


def random_artifact(**changes):
    options = {
        "source_vocab_size": 120,
        "target_vocab_size": 120,
        "embed_dim": 32,
        "ffn_dim": 48,
        "encoder_kernel_sizes": (3, 7),
        "decoder_kernel_sizes": (3, 7),
        **changes,
    }
    torch.manual_seed(7)
    model = LiteTransformer(ModelConfig(**options))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for name, parameter in model.named_parameters():
            if name.endswith("embedding.weight"):
                parameter[PAD_ID] = 0
    weights = {n: Dense(w.numpy()) for n, w in model.state_dict().items()}
    return Artifact(model.config, weights, b"{}")


@pytest.fixture(scope="module", params=["lightweight", "dynamic"])
def artifact(request):
    compressed = random_artifact(**CONFIGS[request.param])
    for stage in (Prune(sparsity=0.5), Quantize(num_bits=6)):
        compressed = apply(stage, compressed, Context())
    return compressed


def export(artifact, folder, **options):
    return TfliteExport(**{"length": LENGTHS, **options})(artifact, folder)


def stored(exported):
    return tflite_reader.File((exported.folder / "model.tflite").read_bytes())


def sources(*lengths):
    tokens = np.random.default_rng(3).integers(4, 120, (len(lengths), max(lengths)))
    for row, length in zip(tokens, lengths):
        row[length - 1] = EOS_ID
        row[length:] = PAD_ID
    return tokens


def translate(session, source, fed):
    """Logits (T, B, V) of the target tokens (B, T), fed one by one."""
    state = session.start(source, fed.shape[1])
    rows = []
    for step, tokens in enumerate(fed.T):
        logits, state = session.step(tokens, step, state)
        rows.append(logits)
    return np.stack(rows)


def both(exported, reference):
    """What a package computes and what PyTorch does, over lengths with and without padding."""
    source = sources(16, 9, 2, 1)
    fed = np.random.default_rng(4).integers(2, 120, (len(source), STEPS))
    session = LiteRTSession(exported.folder)
    ours = [translate(session, row[None], f[None]) for row, f in zip(source, fed)]
    return np.concatenate(ours, axis=1), translate(reference, source, fed)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("conv_branch", ["builtin", "custom"])
def test_float32_equals_pytorch(config, conv_branch, tmp_path):
    model = random_artifact(**CONFIGS[config])
    exported = export(model, tmp_path, storage="float32", conv_branch=conv_branch)
    ours, expected = both(exported, TorchSession.of(model))
    np.testing.assert_allclose(ours, expected, rtol=0, atol=TOLERANCE)
    assert exported.quantized_byte_share == 0
    assert exported.files == {"model": "model.tflite"}


def test_a_composite_carries_its_operators_and_is_reported(artifact, tmp_path):
    dynamic = artifact.config.conv_type == "dynamic"
    exported = export(artifact, tmp_path, conv_branch="custom")
    name = "litecompress.DynamicConv" if dynamic else "litecompress.LightweightConv"
    assert exported.fallbacks == (name,)
    assert exported.ops[name] == 4 * len(LENGTHS)
    assert export(artifact, tmp_path).fallbacks == ()


@pytest.mark.parametrize(("storage", "activations"), KINDS)
def test_every_storage_computes_with_the_planned_weights(artifact, tmp_path, storage, activations):
    weights = plan_tflite(artifact, storage, activations).decode()
    exported = export(artifact, tmp_path, storage=storage, activations=activations)
    reference = TorchSession(LiteTransformer.from_weights(artifact.config, weights))
    ours, expected = both(exported, reference)
    if storage in ("int8", "int4") and activations == "dynamic":
        assert psnr_db(expected, ours) > DYNAMIC_DB
    else:
        np.testing.assert_allclose(ours, expected, rtol=0, atol=TOLERANCE)


def plain_kernels(path, source, fed):
    """Logits (T, B, V) by LiteRT's own kernels, as where XNNPACK is missing."""
    interpreter = Interpreter(
        str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    interpreter.allocate_tensors()
    encode, decode = (interpreter.get_signature_runner(f"{n}_16") for n in ("encode", "decode"))
    details, after = decode.get_input_details(), decode.get_output_details()
    rows = []
    for tokens, targets in zip(source.astype(np.int32), fed.astype(np.int32)):
        fixed, logits = encode(source=tokens[None]), []
        caches = {n: np.zeros(details[n]["shape"], "f4") for n in details if f"next_{n}" in after}
        for step, token in enumerate(targets):
            place = {"token": token.reshape(1, 1), "step": np.array([step], np.int32)}
            found = decode(**place, **fixed, **caches)
            logits.append(found.pop("logits")[0])
            caches = {name.removeprefix("next_"): value for name, value in found.items()}
        rows.append(logits)
    return np.array(rows).transpose(1, 0, 2)


@pytest.mark.parametrize("storage", ["int8", "int4"])
def test_kernels_other_than_the_fast_ones_agree(artifact, tmp_path, storage):
    weights = plan_tflite(artifact, storage).decode()
    exported = export(artifact, tmp_path, storage=storage)
    source, fed = sources(16, 9, 2), np.random.default_rng(4).integers(2, 120, (3, STEPS))
    reference = TorchSession(LiteTransformer.from_weights(artifact.config, weights))
    found = plain_kernels(exported.folder / "model.tflite", source, fed)
    assert psnr_db(translate(reference, source, fed), found) > DYNAMIC_DB


@pytest.mark.parametrize(("storage", "activations"), KINDS)
def test_the_file_holds_what_was_planned_and_said(artifact, tmp_path, storage, activations):
    planned = plan_tflite(artifact, storage, activations)
    exported = export(artifact, tmp_path, storage=storage, activations=activations)
    file, sizes = stored(exported), payload_bytes(planned)
    for name, encoding in planned.weights.items():
        columns = encoding.shape[-1]  # blocks are filled up
        np.testing.assert_array_equal(file.value(name)[..., :columns], encoding.decode())
    assert file.bytes_of(planned.weights) == sum(sizes.values())
    for name in [n for n in sizes if sizes[n]]:
        assert file.bytes_of([name]) >= sizes[name]
    assert exported.quantized_byte_share == (1 if storage in ("int8", "int4") else 0)


@pytest.mark.parametrize("storage", ["float32", "int8", "int4"])
def test_nothing_is_stored_twice(artifact, tmp_path, storage):
    file = stored(export(artifact, tmp_path, storage=storage))
    content = [file.content[start : start + size] for start, size in file.data_places()]
    assert len(content) == len(set(content))
    table = file.tensors["embedding.weight"]
    assert len(table) == 2 * len(LENGTHS)
    assert len({tensor.Buffer() for _, tensor in table}) == 1


def test_more_lengths_add_graphs_and_no_weights(artifact, tmp_path):
    sizes = []
    for lengths in ((16,), (8, 12, 16)):
        folder = tmp_path / str(len(lengths))
        folder.mkdir()
        exported = export(artifact, folder, length=lengths)
        sizes.append(stored(exported).bytes_of(artifact.weights))
    assert sizes[0] == sizes[1]


def test_constants_are_aligned(artifact, tmp_path):
    places = stored(export(artifact, tmp_path)).data_places()
    assert len(places) > 40
    assert all(start % 16 == 0 for start, _ in places)


def test_equal_exports_are_equal_files(artifact, tmp_path):
    first = (export(artifact, tmp_path).folder / "model.tflite").read_bytes()
    assert (export(artifact, tmp_path).folder / "model.tflite").read_bytes() == first


def on_grids(artifact, *grid, **options):
    """The model with every matrix on an own grid."""
    weights = {
        name: affine_quantized(w.decode(), *grid, **options) if is_matrix(name, w) else w
        for name, w in artifact.weights.items()
    }
    return Artifact(artifact.config, weights, b"{}")


@pytest.mark.parametrize(
    ("grid", "options"),
    [((8, "per_channel"), {}), ((4, "per_channel"), {}), ((5, "per_tensor"), {"symmetric": False})],
)
def test_own_grids_are_not_rounded_again(grid, options, tmp_path):
    model = on_grids(random_artifact(), *grid, **options)
    exported = export(model, tmp_path, storage="native", activations="float32")
    assert exported.re_encoded == exported.decoded == ()
    ours, expected = both(exported, TorchSession.of(model))
    np.testing.assert_allclose(ours, expected, rtol=0, atol=TOLERANCE)
    file = stored(exported)
    for name, encoding in model.weights.items():
        np.testing.assert_array_equal(file.value(name), encoding.decode())


def test_native_refuses_palettes(artifact, tmp_path):
    with pytest.raises(ExportError, match=r"other encodings: .*palette.*use storage: int8, int4"):
        export(artifact, tmp_path, storage="native")


@pytest.mark.parametrize("length", [1, 1025, (16, 1025)])
def test_length_must_fit_the_positions(artifact, tmp_path, length):
    with pytest.raises(ExportError, match="length from 2 to 1024"):
        export(artifact, tmp_path, length=length)


def test_an_export_needs_no_torch(artifact, tmp_path):
    from litecompress.artifact_file import save_artifact
    from tests import models

    save_artifact(models.artifact(), tmp_path / "model.litec")
    script = (
        "import sys; sys.modules['torch'] = None; from pathlib import Path\n"
        "from litecompress.artifact_file import load_model\n"
        "from litecompress.export.tflite import TfliteExport\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "TfliteExport(length=(8, 16))(load_model(folder / 'model.litec'), folder)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert (ran.stdout, ran.stderr) == (b"", b"")
    write_package(TfliteExport(length=LENGTHS), models.artifact(), tmp_path / "package")
    again = (tmp_path / "package" / "model.tflite").read_bytes()
    assert (tmp_path / "model.tflite").read_bytes() == again


def test_a_missing_backend_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.schema_py_generated", None)
    for module in ("tflite", "tflite_file"):
        monkeypatch.delitem(sys.modules, f"litecompress.export.{module}")
    with pytest.raises(MissingBackendError, match=r"ai-edge-litert.*litecompress\[litert\]"):
        import_module("litecompress.export.tflite_file")
