"""ONNX packages, executed: exact where they promise it, bounded where they round."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from itertools import pairwise

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator

import litecompress.export.onnx as onnx_export
from litecompress.artifact import Artifact
from litecompress.encoding import Bands, Dense
from litecompress.errors import ExportError, InputError, RecipeError
from litecompress.export.base import is_matrix
from litecompress.export.conv_branch import decomposition
from litecompress.export.onnx import OnnxExport
from litecompress.export.onnx_plan import payload_bytes, plan_onnx
from litecompress.export.package import read_manifest, write_package
from litecompress.model.conv import convolve_valid
from litecompress.runtime.open import open_package
from litecompress.runtime.ort import OnnxSession
from litecompress.runtime.search import SearchConfig, beam_search
from litecompress.runtime.torch_session import TorchSession
from litecompress.sizes.account import account
from litecompress.stages import Context, Prune, Quantize, apply
from litecompress.strict import build
from litecompress.verify import Reference, parity
from tests import models

SOURCES = [(5, 9, 2), (7, 8, 11, 4, 14, 30, 31, 32, 12, 6, 2), (6, 2), (*range(4, 40), 2)]
SIZE = {"embed_dim": 64, "ffn_dim": 64}
UNTIED = {"share_embeddings": False, "encoder_kernel_sizes": (7,), "decoder_kernel_sizes": (5,)}
TRANSFORMER = {"encoder_kernel_sizes": (0,), "decoder_kernel_sizes": (0,)}
ROUNDED = 40  # dB, of the least parity where activations are rounded
CASES = {  # the convolution, what else differs, what quantized the model, and the exporter
    "lightweight-float32-custom": ("lightweight", UNTIED, None, OnnxExport("float32", "custom")),
    "dynamic-float32": ("dynamic", {}, None, OnnxExport("float32")),
    "dynamic-float16": ("dynamic", {}, None, OnnxExport("float16")),
    "lightweight-palettes": ("lightweight", UNTIED, Quantize(), OnnxExport("native")),
    "dynamic-palettes-custom": (
        "dynamic",
        {},
        Quantize(num_bits=5),
        OnnxExport("native", "custom"),
    ),
    "dynamic-bands": (
        "dynamic",
        {},
        Quantize(num_bits=3, granularity="per_group", group_size=24),
        OnnxExport("native"),
    ),
    "lightweight-int8-custom": ("lightweight", UNTIED, Quantize(), OnnxExport("int8", "custom")),
    "dynamic-int8": ("dynamic", {}, Quantize(), OnnxExport("int8")),
    "dynamic-int8-by-block": ("dynamic", {}, None, OnnxExport("int8", activations="per_block")),
    "dynamic-own-int8": (
        "dynamic",
        {},
        Quantize("affine", granularity="per_tensor", symmetric=False),
        OnnxExport("int8"),
    ),
    "dynamic-int4": ("dynamic", {}, None, OnnxExport("int4")),
    "dynamic-own-int4": (
        "dynamic",
        {},
        Quantize("affine", num_bits=4, granularity="per_group", group_size=16),
        OnnxExport("native"),
    ),
    "lightweight-int4": ("lightweight", UNTIED, None, OnnxExport("int4")),
    "transformer-int8": ("lightweight", TRANSFORMER, None, OnnxExport("int8")),
}


class Case:
    """One package, and the artifact that it was made from."""

    def __init__(self, name, folder):
        conv_type, changes, quantize, self.exporter = CASES[name]
        self.artifact = models.artifact(conv_type, **SIZE, **changes)
        if quantize is not None:
            pruned = apply(Prune(0.5), self.artifact, Context())
            self.artifact = apply(quantize, pruned, Context())
        self.folder = folder / name
        self.exported = write_package(self.exporter, self.artifact, self.folder)
        self.planned = plan_onnx(self.artifact, self.exporter.storage)
        self.session = OnnxSession(self.folder)

    @property
    def rounds_activations(self):
        return bool({"MatMulInteger", "com.microsoft::MatMulNBits"} & self.exported.ops.keys())

    @property
    def rows_share_a_scale(self):
        return "MatMulInteger" in self.exported.ops

    def graphs(self):
        """The written graphs by role."""
        paths = {role: self.folder / f"{role}.onnx" for role in ("encoder", "decoder")}
        return {r: onnx.load(p, load_external_data=False).graph for r, p in paths.items()}

    def stored(self):
        """Place and length in `weights.bin` of every array, by name; it is that in all graphs."""
        places = {}
        for graph in self.graphs().values():
            for tensor in graph.initializer:
                if tensor.external_data:
                    entries = {e.key: e.value for e in tensor.external_data}
                    assert entries["location"] == "weights.bin"
                    place = int(entries["offset"]), int(entries["length"])
                    assert places.setdefault(tensor.name, place) == place
        return places


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    return Case(request.param, tmp_path_factory.mktemp("onnx"))


def reference(artifact, weights=None):
    decoded = artifact if weights is None else Artifact(artifact.config, weights, b"")
    return Reference.of(TorchSession.of(decoded), SOURCES, 16)


def test_parity_with_the_weights_as_they_are_stored(case):
    stored = reference(case.artifact, case.planned.weights)
    row = parity(stored, case.session, "onnx", "executed", "", greedy=True)
    if case.rounds_activations:
        assert row.psnr_db > ROUNDED
    else:
        assert row.max_abs_err < 1e-4
        assert row.token_agreement == 1
        assert row.greedy_agreement == 1


def test_int8_is_near_the_model_itself(case):
    if case.exporter.storage != "int8":
        pytest.skip("another storage")
    row = parity(reference(case.artifact), case.session, "onnx", "executed", "", greedy=False)
    assert row.psnr_db > ROUNDED


def test_a_padded_batch_decodes_like_single_sentences(case):
    if case.rows_share_a_scale:
        pytest.skip("activations are quantized a batch, so rows of a batch differ by rounding")
    batch = np.full((2, 11), 1)
    batch[0, :3], batch[1] = SOURCES[0], SOURCES[1]
    config = SearchConfig(beam=3, max_length_b=8)
    together = beam_search(case.session, batch, config)
    config = SearchConfig(beam=3, max_length_a=0, max_length_b=int(1.2 * 11 + 8))
    for row, source in zip(together, SOURCES[:2]):
        (alone,) = beam_search(case.session, np.array([source]), config)
        assert [h.tokens for h in row] == [h.tokens for h in alone]


def test_the_files_pass_the_checker_in_full(case):
    for role in ("encoder", "decoder"):
        path = case.folder / f"{role}.onnx"
        onnx.checker.check_model(path, full_check=True)
        model = onnx.load(path, load_external_data=False)
        assert model.ir_version == 10
        assert {o.domain: o.version for o in model.opset_import}[""] == 21


def test_no_tensor_is_stored_twice(case):
    places = set(case.stored().values())
    content = (case.folder / "weights.bin").read_bytes()
    ordered = sorted(places)
    assert all(a + n <= b for (a, n), (b, _) in pairwise(ordered))
    digests = [hashlib.sha256(content[start : start + n]).hexdigest() for start, n in ordered]
    assert len(set(digests)) == len(digests)
    for graph in case.graphs().values():
        inline = [t for t in graph.initializer if not t.external_data]
        assert not [t.name for t in inline if t.name.startswith(("litecompress.", "model."))]
        assert sum(len(t.SerializeToString()) for t in inline) < 6000  # shapes, masks, rates


def test_the_payload_is_what_was_predicted_and_the_rest_is_itemised(case):
    predicted, stored = payload_bytes(case.planned), case.stored()
    assert predicted.keys() == case.artifact.weights.keys()
    places = set(stored.values())
    assert sum(n for _, n in places) == sum(predicted.values())
    found = Counter()
    for part in account(case.folder).sheet.parts:
        if part.file == "weights.bin":
            found[part.name] += part.stored_bytes
    padding = found.pop("alignment", 0)
    assert sum(found.values()) == sum(predicted.values())
    assert padding < 64 * len(places)
    if len(places) == len(stored):  # where arrays are equal, the first of them has the bytes
        assert found == predicted


def test_matrices_are_as_small_as_their_storage_says(case):
    bits = {"float32": 32, "float16": 16, "int8": 8, "int4": 4.5}.get(case.exporter.storage, 6)
    payload = payload_bytes(case.planned)
    for name, weight in case.planned.weights.items():
        if is_matrix(name, weight) and min(weight.shape) >= 32:  # beside its scales
            most = bits / 8 * np.prod(weight.shape)
            assert payload[name] <= most + 4 * weight.shape[0] + 600


def test_the_share_of_weight_bytes_in_8_bits_is_what_the_files_hold(case):
    held = {}
    for graph in case.graphs().values():
        for tensor in graph.initializer:
            name = re.sub(r"\.(bits\d|mask|part\d+.*)$", "", tensor.name)
            name = name.removeprefix("litecompress.")
            if name.endswith(".weight"):
                held.setdefault(name, set()).add(tensor.data_type)
    matrices = {n: w for n, w in case.artifact.weights.items() if is_matrix(n, w)}
    assert matrices.keys() <= held.keys()
    small = [n for n in matrices if held[n] == {onnx.TensorProto.UINT8}]
    sizes = {n: np.prod(w.shape) for n, w in matrices.items()}
    if not any(isinstance(w, Bands) for w in case.planned.weights.values()):
        share = sum(sizes[n] for n in small) / sum(sizes.values())
        assert case.exported.quantized_byte_share == pytest.approx(share)
    if case.exporter.storage in ("int8", "int4"):
        assert case.exported.quantized_byte_share == 1


def test_a_shared_table_is_stored_once(case):
    if not case.artifact.config.share_embeddings:
        pytest.skip("three tables")
    name = "litecompress.embedding.weight"
    by_graph = [
        {t.name for t in graph.initializer if t.name.startswith(name)}
        for graph in case.graphs().values()
    ]
    assert by_graph[0] == by_graph[1] != set()
    stored = {place for key, place in case.stored().items() if key.startswith(name)}
    assert sum(n for _, n in stored) == payload_bytes(case.planned)["embedding.weight"]


def test_one_switch_for_the_convolution_branch(case):
    if not any(case.artifact.config.decoder_kernel_sizes):
        pytest.skip("no convolution")
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
    assert list(model.functions[0].input) == ["x", "logits"]
    outside = {name for n in model.graph.node if n.domain == "" for name in n.input}
    for linear in ("linear1", "linear2"):  # linear layers stay outside
        assert f"litecompress.decoder.0.conv.{linear}.bias" in outside


def test_builtin_and_custom_compute_the_same(tmp_path):
    artifact, found = models.artifact("dynamic", **SIZE), []
    for form in ("builtin", "custom"):
        (tmp_path / form).mkdir()
        OnnxExport("float32", form)(artifact, tmp_path / form)
        state = OnnxSession(tmp_path / form).start(np.array([SOURCES[1]]), 4)
        found.append(state.fixed)
    for name, value in found[0].items():
        np.testing.assert_allclose(value, found[1][name], atol=1e-6)


def test_custom_carries_the_nodes_that_builtin_writes(tmp_path):
    """But for shapes, which a function reads from its inputs and a graph knows."""
    artifact, models_of = models.artifact("dynamic", **SIZE), {}
    for form in ("builtin", "custom"):
        (tmp_path / form).mkdir()
        OnnxExport("float32", form)(artifact, tmp_path / form)
        for role in ("encoder", "decoder"):
            path = tmp_path / form / f"{role}.onnx"
            models_of[form, role] = onnx.load(path, load_external_data=False)
    layers = len(artifact.config.decoder_kernel_sizes)
    for role in ("encoder", "decoder"):
        builtin, custom = (models_of[form, role] for form in ("builtin", "custom"))
        (function,) = custom.functions
        shaping = {"Constant", "Concat", "Div", "Shape"}
        expected = Counter(n.op_type for n in custom.graph.node if not n.domain)
        for node in function.node:
            expected[node.op_type] += layers
        found = Counter(n.op_type for n in builtin.graph.node)
        for op_type in shaping:
            del expected[op_type], found[op_type]
        assert found == expected


def test_an_export_gives_the_same_bytes_again(case, tmp_path):
    case.exporter(case.artifact, tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (case.folder / path.name).read_bytes()


def test_files_say_nothing_of_the_machine(case):
    for role in ("encoder", "decoder"):
        content = (case.folder / f"{role}.onnx").read_bytes()
        assert str(models.ROOT).encode() not in content
        assert b".py" not in content
    assert read_manifest(case.folder)["roles"]["weights"] == "weights.bin"


def test_the_runtime_fuses_every_integer_product_and_folds_every_weight(case, tmp_path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    for role, graph in case.graphs().items():
        options.optimized_model_filepath = str(tmp_path / f"{role}.onnx")
        onnxruntime.InferenceSession(case.folder / f"{role}.onnx", options)
        left = onnx.load(tmp_path / f"{role}.onnx", load_external_data=False).graph
        ops = Counter(node.op_type for node in left.node)
        fused = ops["DynamicQuantizeMatMul"] + ops["MatMulIntegerToFloat"]
        assert fused == sum(node.op_type == "MatMulInteger" for node in graph.node)
        assert ops["MatMulInteger"] == ops["BitShift"] == ops["BitwiseAnd"] == 0
        assert ops["CumSum"] <= (role == "encoder")  # of its positions


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


@pytest.mark.parametrize("positions", [1, 5])
@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("kernel_size", [1, 5])
def test_the_decomposition_is_the_convolution(dynamic, positions, kernel_size):
    import torch

    torch.manual_seed(0)
    x = torch.randn(2, positions + kernel_size - 1, 8)
    logits = torch.randn(*((2, positions) if dynamic else ()), 4, kernel_size)
    expected = convolve_valid(x, logits).numpy()
    operator = "DynamicConv" if dynamic else "LightweightConv"
    for step in {False, positions == 1}:
        (y,) = ReferenceEvaluator(decomposition(operator, step=step)).run(
            None, {"x": x.numpy(), "logits": logits.numpy()}, attributes={}
        )
        np.testing.assert_allclose(y, expected, atol=1e-6)


@pytest.mark.parametrize("storage", ["palette", "fp32"])
def test_an_unknown_storage_is_refused_with_those_that_there_are(storage):
    with pytest.raises(RecipeError, match=r"'native', 'int8', 'int4', 'float16' or 'float32'"):
        build(OnnxExport, {"storage": storage}, "export onnx")


def test_a_weight_that_no_graph_reads_is_an_error(tmp_path, monkeypatch):
    artifact = models.artifact("dynamic", **SIZE)
    extra = {**artifact.weights, "nowhere.weight": Dense(np.ones((2, 2), np.float32))}
    planned = plan_onnx(Artifact(artifact.config, extra, b""), "float32")
    monkeypatch.setattr(onnx_export, "plan_onnx", lambda *_: planned)
    with pytest.raises(ExportError, match=r"none that reads nowhere\.weight"):
        OnnxExport("float32")(artifact, tmp_path)
