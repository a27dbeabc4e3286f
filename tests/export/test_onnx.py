"""ONNX packages, executed: exact where they promise it, bounded where they round."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator

from litecompress.artifact import Artifact
from litecompress.encoding import Affine, Dense
from litecompress.errors import InputError
from litecompress.export.base import plan
from litecompress.export.conv_branch import decomposition
from litecompress.export.onnx import OnnxExport
from litecompress.export.package import read_manifest, write_package
from litecompress.model.conv import convolve_valid
from litecompress.runtime.open import open_package
from litecompress.runtime.ort import OnnxSession
from litecompress.runtime.search import SearchConfig, beam_search
from litecompress.runtime.torch_session import TorchSession
from litecompress.verify import Reference, parity
from tests import models

SOURCES = [(5, 9, 2), (7, 8, 11, 4, 14, 30, 31, 32, 12, 6, 2), (6, 2), (*range(4, 40), 2)]
SIZE = {"embed_dim": 64, "ffn_dim": 64}
CASES = {
    "lightweight-float32-custom": ("lightweight", OnnxExport("float32", "custom")),
    "dynamic-float32-builtin": ("dynamic", OnnxExport("float32", "builtin")),
    "lightweight-native-builtin": ("lightweight", OnnxExport("native", "builtin")),
    "dynamic-native-custom": ("dynamic", OnnxExport("native", "custom")),
    "lightweight-int8-custom": ("lightweight", OnnxExport("int8", "custom")),
    "dynamic-int8-builtin": ("dynamic", OnnxExport("int8", "builtin")),
    "untied-int8": ("dynamic", OnnxExport("int8", "custom")),
}


class Case:
    """One package, and the artifact that it was made from."""

    def __init__(self, name, folder):
        conv_type, self.exporter = CASES[name]
        changes = {**SIZE, "share_embeddings": not name.startswith("untied")}
        make = models.artifact if "float32" in name else models.compressed
        self.artifact = make(conv_type, **changes)
        self.folder = folder / name
        self.exported = write_package(self.exporter, self.artifact, self.folder)
        self.session = OnnxSession(self.folder)


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    return Case(request.param, tmp_path_factory.mktemp("onnx"))


def reference(case):
    return Reference.of(TorchSession.of(case.artifact), SOURCES, 16)


def test_parity_with_the_decoded_artifact(case):
    row = parity(reference(case), case.session, "onnx", "executed", "", greedy=True)
    if case.exporter.storage == "int8":
        assert row.psnr_db > 40
    else:
        assert row.max_abs_err < 1e-4
        assert row.token_agreement == 1
        assert row.greedy_agreement == 1


def test_a_padded_batch_decodes_like_single_sentences(case):
    if case.exporter.storage == "int8":
        pytest.skip("activations are quantized a batch, so rows of a batch differ by rounding")
    batch = np.full((2, 11), 1)
    batch[0, :3], batch[1] = SOURCES[0], SOURCES[1]
    config = SearchConfig(beam=3, max_length_b=8)
    together = beam_search(case.session, batch, config)
    config = SearchConfig(beam=3, max_length_a=0, max_length_b=int(1.2 * 11 + 8))
    for row, source in zip(together, SOURCES[:2]):
        (alone,) = beam_search(case.session, np.array([source]), config)
        assert [h.tokens for h in row] == [h.tokens for h in alone]


def test_the_share_of_weight_bytes_in_8_bits_is_what_the_files_hold(case):
    small = total = 0
    seen = set()
    for role in ("encoder", "decoder"):
        graph = onnx.load(case.folder / f"{role}.onnx", load_external_data=False).graph
        for tensor in graph.initializer:
            name = tensor.name.removeprefix("litecompress.")
            if name in seen or len(tensor.dims) != 2 or not name.endswith(".weight"):
                continue
            seen.add(name)
            total += np.prod(tensor.dims)
            small += np.prod(tensor.dims) * (tensor.data_type == onnx.TensorProto.UINT8)
    matrices = {n for n, w in case.artifact.weights.items() if n.endswith(".weight")}
    assert seen == {n for n in matrices if len(case.artifact.weights[n].shape) == 2}
    assert case.exported.quantized_byte_share == pytest.approx(small / total)
    if case.exporter.storage == "int8":
        assert case.exported.quantized_byte_share == 1


def test_a_shared_table_is_stored_once(case):
    if not case.artifact.config.share_embeddings:
        pytest.skip("three tables")
    rows, dim = case.artifact.weights["embedding.weight"].shape
    size = 1 if case.exported.quantized_byte_share > 0.5 else 4
    content = (case.folder / "weights.bin").read_bytes()
    model = onnx.load(case.folder / "decoder.onnx", load_external_data=False)
    tables = [t for t in model.graph.initializer if sorted(t.dims) == sorted([rows, dim])]
    assert len(tables) == 1
    place = {e.key: e.value for e in tables[0].external_data}
    assert int(place["length"]) == size * rows * dim
    table = content[int(place["offset"]) : int(place["offset"]) + int(place["length"])]
    assert content.count(table) == 1


def test_one_switch_for_the_convolution_branch(case):
    model = onnx.load(case.folder / "decoder.onnx", load_external_data=False)
    nodes = [n for n in model.graph.node if n.domain == "litecompress"]
    if case.exporter.conv_branch == "builtin":
        assert (nodes, list(model.functions), case.exported.fallbacks) == ([], [], ())
        return
    name = {"lightweight": "LightweightConv", "dynamic": "DynamicConv"}
    expected = name[case.artifact.config.conv_type]
    assert {n.op_type for n in nodes} == {expected}
    assert [f.name for f in model.functions] == [expected]
    assert case.exported.fallbacks == (f"litecompress::{expected}",)
    inner = {n.op_type for n in model.functions[0].node}
    assert not inner & {"MatMul", "MatMulInteger", "Gemm"}  # linear layers stay outside


def test_files_say_nothing_of_the_machine(case):
    for role in ("encoder", "decoder"):
        content = (case.folder / f"{role}.onnx").read_bytes()
        assert b"/litecompress" not in content
        assert b".py" not in content
    assert read_manifest(case.folder)["roles"]["weights"] == "weights.bin"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 99}, "schema_version 99"),
        ({"files": {}}, "no checksum for"),
        ({"options": 3}, "damaged content"),
        ({"target": None}, "damaged content"),
    ],
)
def test_a_manifest_that_vouches_for_nothing_is_refused(case, tmp_path, change, message):
    manifest = json.loads((case.folder / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, **change}))
    with pytest.raises(InputError, match=message):
        read_manifest(tmp_path)


def test_what_the_runtime_refuses_is_one_error(tmp_path):
    for role in ("encoder", "decoder"):
        (tmp_path / f"{role}.onnx").write_bytes(b"junk")
    with pytest.raises(InputError, match="its runtime loads"):
        open_package(tmp_path, "onnx")


@pytest.mark.parametrize("dynamic", [False, True])
def test_the_decomposition_is_the_convolution(dynamic):
    import torch

    torch.manual_seed(0)
    x = torch.randn(2, 9, 8)
    logits = torch.randn(2, 5, 4, 5) if dynamic else torch.randn(4, 5)
    function = decomposition("DynamicConv" if dynamic else "LightweightConv")
    (y,) = ReferenceEvaluator(function).run(
        None, {"x": x.numpy(), "logits": logits.numpy()}, attributes={}
    )
    np.testing.assert_allclose(y, convolve_valid(x, logits).numpy(), atol=1e-6)


def test_an_own_int8_grid_is_carried_as_it_is():
    artifact = models.artifact(**SIZE)
    planned = plan(artifact, "int8", "onnx", frozenset())
    again = Artifact(artifact.config, planned.weights, b"")
    kept = plan(again, "native", "onnx", frozenset({"affine"}))
    affine = {n for n, w in again.weights.items() if isinstance(w, Affine)}
    assert affine
    assert affine <= set(kept.native)
    assert all(isinstance(kept.weights[n], (Affine, Dense)) for n in kept.weights)


def test_runtime_fuses_the_integer_products(tmp_path):
    artifact = models.compressed(**SIZE)
    write_package(OnnxExport("int8"), artifact, tmp_path / "p")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(tmp_path / "p" / "decoder.onnx", options)
    graph = onnx.load(tmp_path / "optimized.onnx", load_external_data=False).graph
    ops = [n.op_type for n in graph.node]
    fused = ops.count("DynamicQuantizeMatMul") + ops.count("MatMulIntegerToFloat")
    assert fused > 0
    assert ops.count("MatMulInteger") == 0
