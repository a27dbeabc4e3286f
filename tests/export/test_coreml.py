"""Core ML packages, emulated: the weights are exactly ours, and half precision is bounded."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from litecompress.artifact import Artifact
from litecompress.encoding import Affine, Dense, Palette, Sparse, symmetric_int8
from litecompress.errors import ExportError, MissingBackendError
from litecompress.export.base import is_matrix, plan
from litecompress.export.coreml import CoreMLExport, ct
from litecompress.export.coreml_weights import CARRIES, program_name, smallest
from litecompress.model.config import PAD_ID
from litecompress.model.lite_transformer import LiteTransformer
from litecompress.runtime.mil import CoreMLSession, Program
from litecompress.runtime.torch_session import TorchSession
from litecompress.stages import Context, Prune, Quantize, apply
from litecompress.verify import Reference, parity
from tests import models

LENGTH = 12
SOURCES = [(5, 9, 2), (7, 8, 11, 4, 14, 30, 31, 32, 12, 6, 50, 2), (2,)]
EXACT = CoreMLExport(length=LENGTH, precision="float32")
UNTIED = {"share_embeddings": False, "conv_padding": "leaky"}


def four_bits(conv_type, **changes):
    pruned = apply(Prune(0.7), models.artifact(conv_type, **changes), Context())
    return apply(Quantize(num_bits=4), pruned, Context())


def mixed(conv_type, **changes):
    """One of everything that Core ML carries, and nothing else compressed."""
    artifact = models.artifact(conv_type, **changes)
    dense = artifact.decode()
    random = np.random.default_rng(0)
    mask = random.random((32, 32)) < 0.4
    codebook = np.linspace(-0.3, 0.3, 20).astype(np.float16)
    unsigned = random.integers(0, 256, (32, 32)).astype(np.uint8)
    signed = random.integers(-100, 100, mask.sum()).astype(np.int8)
    zero = np.zeros(1, np.int8)
    encodings = {
        "encoder.0.ffn.fc1": symmetric_int8(dense["encoder.0.ffn.fc1.weight"]),
        "encoder.0.ffn.fc2": Affine(
            unsigned,
            random.random(32).astype(np.float32) / 400,
            random.integers(100, 150, 32).astype(np.uint8),
            axis=1,
        ),
        "encoder.1.ffn.fc1": Sparse(mask, Affine(signed, np.array([0.003], np.float32), zero)),
        "encoder.1.ffn.fc2": Sparse(mask, Dense(dense["encoder.1.ffn.fc2.weight"][mask])),
        "decoder.0.ffn.fc1": Palette(
            random.integers(0, 20, (32, 32)).astype(np.uint8), codebook, 5
        ),
        "decoder.0.ffn.fc2": Sparse(
            mask, Palette(random.integers(0, 20, mask.sum()).astype(np.uint8), codebook, 5)
        ),
    }
    weights = {f"{name}.weight": encoding for name, encoding in encodings.items()}
    return Artifact(artifact.config, {**artifact.weights, **weights}, artifact.tokenizer)


CASES = {
    "float32-lightweight": (models.artifact, "lightweight", {}, replace(EXACT, storage="float32")),
    "palette-lightweight": (four_bits, "lightweight", {}, EXACT),
    "palette-dynamic-untied": (four_bits, "dynamic", UNTIED, EXACT),
    "mixed-dynamic": (mixed, "dynamic", {}, EXACT),
    "int8-dynamic": (four_bits, "dynamic", {}, replace(EXACT, storage="int8")),
    "half-dynamic": (four_bits, "dynamic", {}, replace(EXACT, precision="float16")),
}


class PaddedSession(TorchSession):
    """Pads sources as a package does, which a leaky convolution notices."""

    def start(self, source, length):
        wide = np.full((len(source), LENGTH), PAD_ID)
        wide[:, : source.shape[1]] = source
        return super().start(wide, length)


class Case:
    """One package, the artifact that it was made from, and what became of its weights."""

    def __init__(self, name, folder):
        make, conv_type, changes, exporter = CASES[name]
        self.name, self.folder = name, folder / name
        self.folder.mkdir()
        self.artifact = make(conv_type, **changes)
        self.exported = exporter(self.artifact, self.folder)
        self.planned = plan(self.artifact, exporter.storage, "coreml", CARRIES)
        model = LiteTransformer.from_weights(self.artifact.config, self.planned.decode())
        leaky = self.artifact.config.conv_padding == "leaky"
        session = PaddedSession(model) if leaky else TorchSession(model)
        self.reference = Reference.of(session, SOURCES, LENGTH)

    def operations(self, role):
        spec = ct.utils.load_spec(str(self.folder / f"{role}.mlpackage"))
        function = spec.mlProgram.functions["main"]
        return function.block_specializations[function.opset].operations

    def blob_bytes(self):
        return sum(f.stat().st_size for f in self.folder.rglob("weight.bin"))


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("coreml"), {}

    def case(name):
        if name not in made:
            made[name] = Case(name, folder)
        return made[name]

    return case


@pytest.fixture(params=[name for name in CASES if not name.startswith("half")])
def exact(request, cases):
    return cases(request.param)


@pytest.fixture(params=["palette-lightweight", "palette-dynamic-untied"])
def palette(request, cases):
    return cases(request.param)


def test_float32_programs_compute_what_the_planned_weights_do(exact):
    session = CoreMLSession(exact.folder)
    row = parity(exact.reference, session, "coreml", "emulated", "float32", greedy=False)
    assert row.max_abs_err < 1e-4
    assert row.token_agreement == 1


def test_every_stored_weight_is_exactly_the_planned_one(exact):
    constants = {}
    for role in ("encoder", "decoder"):
        constants |= Program(exact.folder / f"{role}.mlpackage").constants
    dense = [n for n, w in exact.planned.weights.items() if isinstance(w, Dense)]
    names = set(exact.planned.weights) - set(exact.exported.decoded) - set(dense)
    assert bool(names) == (exact.name != "float32-lightweight")
    for name in names:
        decoded = exact.planned.weights[name].decode()
        np.testing.assert_array_equal(constants[program_name(name)], decoded)


def test_what_became_of_each_weight_is_said_once(exact):
    exported = exact.exported
    told = [*exported.native, *exported.re_encoded, *exported.decoded]
    assert sorted(told) == sorted(exact.artifact.weights)
    assert exported.files == {"encoder": "encoder.mlpackage", "decoder": "decoder.mlpackage"}
    assert exported.fallbacks == ()


def test_pruned_palettes_are_stored_as_such(palette):
    exported = palette.exported
    assert exported.quantized_byte_share > 0.9
    assert exported.ops["constexpr_lut_to_sparse"] == exported.ops["constexpr_sparse_to_dense"] > 0
    folded = {n for n in exported.decoded if n.endswith("conv.kernel")}
    assert set(exported.decoded) == folded  # a kernel's softmax is computed by the converter


def test_pruned_palettes_make_packages_smaller(cases):
    plain, small = cases("float32-lightweight"), cases("palette-lightweight")
    assert plain.blob_bytes() > 4 * small.blob_bytes()
    encoded = [w for w in small.artifact.weights.values() if not isinstance(w, Dense)]
    whole = sum(4 * np.prod(w.shape) for w in encoded)
    saved = whole - sum(w.nbytes for w in encoded)
    assert plain.blob_bytes() - small.blob_bytes() > 0.8 * saved


def test_the_share_in_8_bits_counts_every_matrix_of_either_graph(exact):
    total = small = 0
    kept = {*exact.exported.native, *exact.exported.re_encoded}
    for name, weight in exact.planned.weights.items():
        if not is_matrix(name, weight):
            continue
        graphs = 2 if name == "embedding.weight" else 1
        values = weight.values if isinstance(weight, Sparse) else weight
        total += graphs * np.prod(weight.shape)
        small += (
            graphs
            * np.prod(weight.shape)
            * (name in kept and isinstance(values, (Affine, Palette)))
        )
    assert exact.exported.quantized_byte_share == pytest.approx(small / total)


def test_int8_is_a_grid_for_every_matrix_worth_it(cases):
    exported = cases("int8-dynamic").exported
    assert exported.quantized_byte_share > 0.9
    assert exported.ops["constexpr_blockwise_shift_scale"] == len(exported.re_encoded) + 1
    assert 40 < exported.re_encoding_psnr_db < 100


def test_a_shared_table_is_stored_once_for_both_uses(cases):
    case = cases("palette-lightweight")
    size = case.artifact.weights["embedding.weight"].shape
    operations = case.operations("decoder")
    makers = [
        (op.type, output.name)
        for op in operations
        for output in op.outputs
        if [d.constant.size for d in output.type.tensorType.dimensions] == list(size)
    ]
    mask = ("constexpr_lut_to_sparse", makers[0][1])
    assert makers == [mask, ("constexpr_sparse_to_dense", "embedding_weight")]
    readers = {
        op.type
        for op in operations
        for argument in op.inputs.values()
        if argument.arguments[0].name == "embedding_weight"
    }
    assert readers == {"gather", "linear"}


def test_operators_of_both_programs_are_counted(exact):
    found = [op.type for role in ("encoder", "decoder") for op in exact.operations(role)]
    assert exact.exported.ops == {t: found.count(t) for t in set(found) - {"const"}}


def test_half_precision_is_bounded_and_keeps_angles_in_single(cases):
    case = cases("half-dynamic")
    session = CoreMLSession(case.folder)
    row = parity(case.reference, session, "coreml", "emulated", "float16", greedy=False)
    assert row.psnr_db > 55
    assert case.exported.quantized_byte_share > 0.9
    single = ct.proto.MIL_pb2.DataType.FLOAT32
    for role in ("encoder", "decoder"):
        angles = [op for op in case.operations(role) if op.type in ("sin", "cos")]
        assert [op.outputs[0].type.tensorType.dataType for op in angles] == [single, single]


def test_a_form_is_chosen_by_its_bytes():
    dtype = np.dtype(np.float16)
    palette = Palette(np.zeros((64, 64), np.uint8), np.arange(3, dtype=np.float16), 2)
    assert smallest(palette, dtype) is palette
    tiny = Palette(np.zeros((8, 8), np.uint8), np.arange(3, dtype=np.float16), 2)
    assert smallest(tiny, dtype) is None
    assert smallest(Affine(np.full((64, 64), 300), np.ones(1), np.zeros(1, int)), dtype) is None
    assert smallest(Palette(np.zeros(4096, np.uint8), np.zeros(1)), dtype) is None
    empty = Sparse(np.zeros((64, 64), bool), Affine(np.zeros(0, int), np.ones(1), np.zeros(1, int)))
    assert smallest(empty, dtype) is None
    mask = np.arange(64 * 64).reshape(64, 64) % 10 > 0
    few_zeros = Sparse(mask, Palette(np.ones(mask.sum(), np.uint8), np.arange(3.0), 2))
    form = smallest(few_zeros, dtype)
    assert isinstance(form, Palette)
    np.testing.assert_array_equal(form.decode(), few_zeros.decode())
    many_zeros = Sparse(~mask, Palette(np.ones((~mask).sum(), np.uint8), np.arange(3.0), 2))
    assert smallest(many_zeros, dtype) is many_zeros


@pytest.mark.parametrize("length", [1, 1025])
def test_length_must_fit_the_positions(tmp_path, length):
    with pytest.raises(ExportError, match="length from 2 to 1024"):
        CoreMLExport(length=length)(models.artifact(), tmp_path)


def test_it_exports_without_a_word(tmp_path, capfd):
    one = {"encoder_kernel_sizes": (3,), "decoder_kernel_sizes": (3,)}
    CoreMLExport(length=4)(models.artifact(**one), tmp_path)
    assert capfd.readouterr() == ("", "")


def test_a_missing_backend_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "coremltools", None)
    monkeypatch.delitem(sys.modules, "litecompress.export.coreml")
    with pytest.raises(MissingBackendError, match=r"coremltools.*litecompress\[coreml\]"):
        import_module("litecompress.export.coreml")
