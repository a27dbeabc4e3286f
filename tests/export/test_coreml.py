"""Core ML packages, emulated: the weights are exactly ours, each is there once, and texts agree."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from litecompress.backends import load_backend
from litecompress.encoding import Affine, Bands, Dense, Palette, Sparse
from litecompress.errors import ExportError, MissingBackendError
from litecompress.export.base import is_matrix
from litecompress.export.coreml import CoreMLExport
from litecompress.export.coreml_contents import Contents
from litecompress.export.coreml_plan import is_kernel, layout
from litecompress.export.coreml_weights import program_name
from litecompress.runtime.mil import CoreMLSession
from litecompress.runtime.mil_constexpr import CONSTANT_EXPRESSIONS
from litecompress.runtime.mil_package import MODEL, WEIGHTS, proto
from litecompress.runtime.mil_program import Program
from litecompress.runtime.search import SearchConfig, n_best
from litecompress.silence import silenced
from litecompress.verify import Reference, parity
from tests import models
from tests.export.coreml_packages import (
    CASES,
    LENGTH,
    ONE_LAYER,
    Case,
    four_bits,
    mixed,
    shape_of,
    stored_arrays,
)

SOURCES = [(5, 9, 2), (7, 8, 11, 4, 14, 30, 31, 32, 12, 6, 50, 2), (2,)]
TYPES = {"fp16": 1, "fp32": 2, "uint8": 3, "int8": 4, "int4": 8, "uint1": 9, "uint2": 10}
TYPES |= {"uint4": 11, "uint3": 12, "uint6": 13}  # of an array in the file of weights


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("coreml"), {}

    def case(name):
        if name not in made:
            made[name] = Case(name, folder)
        return made[name]

    return case


@pytest.fixture(params=CASES)
def case(request, cases):
    return cases(request.param)


def test_programs_compute_what_the_planned_weights_do(case):
    half = case.exporter.precision == "float16"
    reference = Reference.of(case.reference, SOURCES, LENGTH)
    session = CoreMLSession(case.folder)
    row = parity(reference, session, "coreml", "emulated", "", greedy=False)
    assert row.max_abs_err < (0.02 if half else 1e-4)
    assert row.psnr_db > 50
    assert row.token_agreement == 1


@pytest.mark.parametrize("beam", [1, 3])
def test_whole_texts_are_those_of_the_decoded_artifact(case, beam):
    config = SearchConfig(beam=beam, max_length_a=0, max_length_b=LENGTH - 2)
    ours = n_best(CoreMLSession(case.folder), SOURCES, config, batch=2)
    theirs = n_best(case.reference, SOURCES, config, batch=2)
    assert [[h.tokens for h in row] for row in ours] == [[h.tokens for h in row] for row in theirs]


def test_every_stored_weight_is_exactly_the_planned_one(case):
    constants = {}
    for package in case.packages():
        for name in package.functions:
            constants |= Program(package, name).constants
    assert bool(case.layout.stored) == (case.name != "plain")
    for name in case.layout.stored:
        expected = case.layout.planned.weights[name].decode()
        if case.exporter.precision == "float16":
            expected = expected.astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(constants[program_name(name)], expected, err_msg=name)


def test_coremltools_reads_the_same_weights_and_types(case):
    """Its own reader checks every operator's inputs and infers every type anew."""
    load = load_backend("coremltools.converters.mil.frontend.milproto.load").load_mil_proto
    for package in case.packages():
        model = proto.Model_pb2.Model.FromString((package.path / MODEL).read_bytes())
        folder = str((package.path / WEIGHTS).parent)
        with silenced():
            program = load(model.mlProgram, model.specificationVersion, folder)
        for name, function in program.functions.items():
            constants = Program(package, name).constants
            for op in function.operations:
                if op.op_type.startswith("constexpr_"):
                    theirs = op.materialized_val_inference()
                    theirs = theirs if isinstance(theirs, tuple) else (theirs,)
                    for output, value in zip(op.outputs, theirs, strict=True):
                        np.testing.assert_allclose(constants[output.name], value, rtol=1e-3)


def test_the_file_of_weights_holds_what_was_predicted_once_and_little_else(case):
    """Arrays have a header of 64 bytes and begin at multiples of 64."""
    predicted = case.layout.payload_bytes()
    names = case.artifact.weights
    for package in case.packages():
        arrays = list(stored_arrays(package))
        assert len(set(arrays)) == len(arrays)
        found = set(arrays)
        mine = set()
        for name in names:
            for constant in case.layout.constants(name):
                mine |= {a for a in found if same(a, constant)}
        assert mine
        if len(case.packages()) == 1:
            assert sum(len(content) for _, content in mine) == sum(predicted.values())
        rest = [content for _, content in found - mine]
        assert sum(map(len, rest)) < 4000


def same(array, constant):
    kind, content = array
    if kind != TYPES[constant.kind] or len(content) != constant.nbytes:
        return False
    values = constant.values
    if constant.kind in ("fp16", "fp32"):
        return (
            content
            == values.astype({"fp16": np.float16, "fp32": np.float32}[constant.kind]).tobytes()
        )
    if constant.kind in ("int8", "uint8"):
        return content == values.astype(constant.kind).tobytes()
    bits = int(constant.kind.removeprefix("u").removeprefix("int"))
    single = (values.reshape(-1, 1).astype(np.int64) >> np.arange(bits)) & 1
    return content == np.packbits(single.astype(np.uint8).ravel(), bitorder="little").tobytes()


def test_what_became_of_each_weight_is_said_once(case):
    exported = case.exported
    told = [*exported.native, *exported.re_encoded, *exported.decoded]
    assert sorted(told) == sorted(case.artifact.weights)
    folders = {path.name for path in case.folder.iterdir()}
    assert set(exported.files.values()) == folders


def test_operators_of_all_functions_are_counted(case):
    found = [op.type for _, op in case.operations()]
    assert case.exported.ops == {t: found.count(t) for t in set(found) - {"const"}}


def test_functions_are_named_for_part_and_length(cases):
    (package,) = cases("states").packages()
    assert set(package.functions) == {"encoder_5", "decoder_5", "encoder_12", "decoder_12"}
    assert cases("states").exported.files == {"model": "model.mlpackage"}
    separate = {"encoder": "encoder_12.mlpackage", "decoder": "decoder_12.mlpackage"}
    assert cases("ios17").exported.files == separate


def test_every_encoding_has_its_own_operators(cases):
    exported = cases("mixed").exported
    kernels = {n for n in exported.decoded if is_kernel(n)}
    assert set(exported.decoded) == kernels
    assert exported.re_encoded == ()
    kinds = {kind for kind in CONSTANT_EXPRESSIONS if kind != "constexpr_affine_dequantize"}
    assert kinds <= exported.ops.keys()


def test_pruned_palettes_are_stored_as_such(cases):
    for name in ("ios17", "states"):
        exported = cases(name).exported
        assert exported.quantized_byte_share > 0.9
        assert all(is_kernel(name) for name in exported.decoded)


def test_the_share_in_8_bits_counts_every_matrix_once(cases):
    case = cases("mixed")
    total = small = 0
    for name, weight in case.layout.planned.weights.items():
        if is_matrix(name, weight):
            total += np.prod(weight.shape)
            values = weight.values if isinstance(weight, Sparse) else weight
            small += np.prod(weight.shape) * isinstance(values, (Affine, Palette, Bands))
    assert case.exported.quantized_byte_share == pytest.approx(small / total)


def test_a_shared_table_is_read_by_every_look_up_and_product(cases):
    case = cases("states")
    size = case.artifact.weights["embedding.weight"].shape
    operations = case.operations()
    for function in {name for name, _ in operations}:
        own = [op for name, op in operations if name == function]
        makers = [o.name for op in own for o in op.outputs if shape_of(o) == size]
        assert makers[-1] == "embedding_weight"
        assert len(makers) <= 2  # the mask has that shape too
        readers = {
            op.type
            for op in own
            for argument in op.inputs.values()
            if argument.arguments[0].name == "embedding_weight"
        }
        assert readers == ({"gather"} if "encoder" in function else {"gather", "linear"})


def test_states_are_the_caches_in_half_precision(cases):
    (package,) = cases("states").packages()
    inputs, states = package.inputs("decoder_12")
    assert {(name, t.kind) for name, t in states.items()} == {
        (name, "FLOAT16") for name in ("key_0", "value_0", "conv_0")
    }
    assert states["key_0"].shape == (1, 4, 12, 4)
    assert not inputs.keys() & states.keys()
    assert package.outputs("decoder_12") == ["logits"]


def test_angles_stay_in_single_precision(cases):
    (package,) = cases("states").packages()
    for name in package.functions:
        angles = [op for op in package.operations(name) if op.type in ("sin", "cos")]
        assert len(angles) == 2
        for op in angles:
            assert op.outputs[0].type.tensorType.dataType == 11  # float32


def plan_of(artifact, storage="native", deployment="iOS18", precision="float16", strict=False):
    return layout(artifact, storage, deployment, precision, strict=strict)


def test_ios17_re_encodes_blocks_and_says_so():
    artifact = mixed("dynamic", **ONE_LAYER)
    planned = plan_of(artifact, deployment="iOS17").planned
    blocks = ("decoder.0.cross_attention.value.weight", "decoder.0.cross_attention.out.weight")
    assert planned.re_encoded == blocks
    assert 30 < planned.re_encoding_psnr_db < 100
    with pytest.raises(ExportError, match=r"iOS17 .*got 2 others: .*value.*\(bands\).*\(grouped_"):
        plan_of(artifact, deployment="iOS17", strict=True)
    assert plan_of(artifact, strict=True).planned.re_encoded == ()


def test_int8_keeps_grids_and_rounds_the_rest():
    artifact = mixed("dynamic", **ONE_LAYER)
    planned = plan_of(artifact, "int8").planned
    kept = {n for n, w in artifact.weights.items() if isinstance(w, Affine) and not w.group_size}
    matrices = {n for n, w in artifact.weights.items() if is_matrix(n, w)}
    assert set(planned.re_encoded) == matrices - kept
    assert kept <= set(planned.native)


def test_what_half_precision_rounds_is_named():
    exact = four_bits("lightweight", **ONE_LAYER)
    assert plan_of(exact).rounded() == []
    rounded = plan_of(mixed("dynamic", **ONE_LAYER)).rounded()
    assert "encoder.0.ffn.fc2.weight" in rounded
    assert "decoder.0.ffn.fc1.weight" not in rounded
    assert plan_of(mixed("dynamic", **ONE_LAYER), precision="float32").rounded() == []


def test_weights_beyond_half_precision_are_listed():
    artifact = models.artifact(**ONE_LAYER)
    name = "encoder.0.ffn.fc1.weight"
    weights = {**artifact.weights, name: Dense(np.full((32, 32), 7e4, np.float32))}
    with pytest.raises(ExportError, match=rf"1 beyond it: {name}; use precision: float32"):
        plan_of(replace(artifact, weights=weights))


def test_ios17_knows_neither_several_lengths_nor_states(tmp_path):
    exporter = CoreMLExport(length=(4, 8), deployment="iOS17", stateful=True)
    with pytest.raises(ExportError, match=r"lengths 4, 8 and stateful; use deployment: iOS18"):
        exporter(models.artifact(**ONE_LAYER), tmp_path)


@pytest.mark.parametrize("length", [1, 1025, (4, 1025)])
def test_length_must_fit_the_positions(tmp_path, length):
    with pytest.raises(ExportError, match="length from 2 to 1024"):
        CoreMLExport(length=length)(models.artifact(), tmp_path)


def test_what_is_read_back_is_what_is_in_the_file(cases):
    contents = Contents()
    contents.read(cases("plain").folder / "model.mlpackage")
    assert contents.encoded == set()
    assert contents.quantized_byte_share == 0
    assert "linear" in contents.ops


def test_a_missing_backend_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "coremltools", None)
    monkeypatch.setitem(sys.modules, "coremltools.proto", None)
    for name in ("coreml", "coreml_contents", "coreml_convert", "coreml_package"):
        monkeypatch.delitem(sys.modules, f"litecompress.export.{name}", raising=False)
    with pytest.raises(MissingBackendError, match=r"coremltools.*litecompress\[coreml\]"):
        import_module("litecompress.export.coreml")
