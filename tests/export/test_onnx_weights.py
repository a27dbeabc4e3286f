"""Every encoding, in every use of a weight, through ONNX Runtime."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter

import numpy as np
import onnx
import pytest

from litecompress.encoding import Affine, Bands, Dense, Sparse
from litecompress.export.onnx_grids import in_blocks, is_blockwise, is_integer_grid
from litecompress.stages.affine_grid import affine_quantized
from tests.export.onnx_graphs import LINEAR, LOOK_UP, OTHER, operators, run, written
from tests.sizes import encodings

SHAPE = (24, 40)
FOLDED = {"BitShift", "BitwiseAnd", "BitwiseOr", "CumSum", "Pad", "Concat", "Range", "Div"}


def grid(num_bits, granularity="per_channel", group_size=None, **options):
    rng = np.random.default_rng(num_bits)
    weight = (rng.standard_normal(SHAPE) + 0.3).astype(np.float32)
    return affine_quantized(weight, num_bits, granularity, group_size=group_size, **options)


def random(kind):
    return encodings.encoding(kind, SHAPE, np.random.default_rng(0))


def shuffled():
    """Bands whose rows alternate, one of them itself in groups."""
    whole = grid(4, "per_group", 8)
    groups = Affine(whole.values[:12], whole.scale[:12], whole.zero_point[:12], 0, 4, 8)
    palette = encodings.encoding("palette", (12, 40), np.random.default_rng(1))
    return Bands(np.arange(24, dtype=np.uint8) % 2, (groups, palette))


ENCODINGS = {
    **{kind: (lambda kind=kind: random(kind)) for kind in encodings.ALL},
    "one scale": lambda: grid(8, "per_tensor"),
    "one scale, asymmetric": lambda: grid(8, "per_tensor", symmetric=False),
    "asymmetric": lambda: grid(8, symmetric=False),
    "asymmetric columns": lambda: grid(8, symmetric=False, axis=1),
    "columns": lambda: grid(5, axis=1),
    "3 bits": lambda: grid(3),
    "6 bits, asymmetric": lambda: grid(6, symmetric=False),
    "1 bit": lambda: grid(1, symmetric=False),
    "groups of 16": lambda: grid(4, "per_group", 16),
    "groups of 32, asymmetric": lambda: grid(4, "per_group", 32, symmetric=False),
    "groups of 5, asymmetric": lambda: grid(4, "per_group", 5, symmetric=False),
    "groups of 16, 8 bits": lambda: grid(8, "per_group", 16),
    "zero points beyond 8 bits": lambda: Affine(
        np.full(SHAPE, 7, np.int8), np.array([0.5], "f4"), np.array([300], np.int32)
    ),
    "nothing left": lambda: Sparse(np.zeros(SHAPE, bool), Dense(np.zeros(0, np.float32))),
    "shuffled bands": shuffled,
}


INTEGERS = {"MatMulInteger": 1}


@pytest.fixture(scope="module", params=ENCODINGS)
def made(request, tmp_path_factory):
    encoding = ENCODINGS[request.param]()
    folder = tmp_path_factory.mktemp("written")
    return encoding, written(folder, encoding, LINEAR, LOOK_UP, OTHER)


def test_rows_looked_up_are_those_of_the_weight(made):
    encoding, path = made
    ids = np.random.default_rng(1).integers(0, SHAPE[0], (3, 5))
    np.testing.assert_array_equal(run(path, LOOK_UP, ids=ids), encoding.decode()[ids])


def test_other_operators_read_the_weight_as_it_is(made):
    encoding, path = made
    np.testing.assert_array_equal(run(path, OTHER), -encoding.decode())


def test_a_product_is_that_with_the_weight(made):
    encoding, path = made
    weight = encoding.decode()
    x = np.random.default_rng(2).standard_normal((7, SHAPE[1])).astype(np.float32)
    expected, found = x @ weight.T, run(path, LINEAR, x)
    if is_integer_grid(encoding):
        found_by_integers = integer_product(x, weight)
        np.testing.assert_allclose(found, found_by_integers, atol=1e-4 * np.abs(expected).max())
    elif is_blockwise(encoding):
        assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def integer_product(x, weight):
    """The product with activations rounded as DynamicQuantizeLinear does (its ONNX definition)."""
    low, high = min(0.0, float(x.min())), max(0.0, float(x.max()))
    scale = np.float32((high - low) / 255)
    zero = np.clip(np.rint(-low / scale), 0, 255)
    codes = np.clip(np.rint(x / scale) + zero, 0, 255)
    return scale * (codes - zero) @ weight.T.astype(np.float64)


def test_a_session_keeps_no_operator_that_unpacks(made, tmp_path):
    _, path = made
    run(path, LINEAR, optimized=tmp_path / "optimized.onnx")
    left = set(operators(tmp_path / "optimized.onnx"))
    assert not left & FOLDED


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("granularity", ["per_tensor", "per_channel"])
def test_activations_by_block_do_not_meet_those_of_other_rows(granularity, symmetric, tmp_path):
    encoding = grid(8, granularity, symmetric=symmetric)
    path = written(tmp_path, encoding, LINEAR, LOOK_UP, activations="per_block")
    assert "MatMulNBits" in operators(path)
    x = np.random.default_rng(2).standard_normal((7, SHAPE[1])).astype(np.float32)
    x[3] *= 1000
    found, expected = run(path, LINEAR, x), x @ encoding.decode().T
    for i, exact in enumerate(expected):
        peak = np.abs(exact).max()
        np.testing.assert_allclose(found[i], exact, atol=0.02 * peak)
        alone = run(path, LINEAR, x[i : i + 1])
        np.testing.assert_allclose(found[i : i + 1], alone, atol=1e-5 * peak)


def test_a_unit_vector_meets_exactly_its_column_of_4_bit_blocks(tmp_path):
    encoding = grid(4, "per_group", 16, symmetric=False)
    path = written(tmp_path, encoding, LINEAR)
    assert "MatMulNBits" in operators(path)
    found = run(path, LINEAR, np.eye(SHAPE[1], dtype=np.float32))
    np.testing.assert_allclose(found, encoding.decode().T, rtol=1e-5, atol=1e-6)


def test_rows_of_an_odd_width_in_4_bit_blocks(tmp_path):
    weight = np.random.default_rng(0).standard_normal((24, 39)).astype(np.float32)
    encoding = affine_quantized(weight, 4, "per_group", group_size=16, symmetric=False)
    path = written(tmp_path, encoding, LINEAR, LOOK_UP)
    ids = np.array([[3, 23, 0]])
    np.testing.assert_array_equal(run(path, LOOK_UP, ids=ids), encoding.decode()[ids])
    found = run(path, LINEAR, np.eye(39, dtype=np.float32))
    np.testing.assert_allclose(found, encoding.decode().T, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("num_bits", "granularity", "group_size", "block"),
    [
        (4, "per_channel", None, 256),
        (4, "per_tensor", None, 256),
        (3, "per_channel", None, 256),
        (4, "per_group", 16, 16),
        (2, "per_group", 32, 32),
        (4, "per_group", 24, None),
        (4, "per_group", 48, 256),  # wider than the matrix
        (4, "per_group", 5, None),
        (5, "per_channel", None, None),
    ],
)
@pytest.mark.parametrize("symmetric", [False, True])
def test_grids_of_4_bits_go_in_blocks_without_rounding(
    num_bits, granularity, group_size, block, symmetric
):
    encoding = grid(num_bits, granularity, group_size, symmetric=symmetric)
    blockwise = in_blocks(encoding)
    if block is None:
        assert blockwise is None
        return
    assert is_blockwise(blockwise)
    assert blockwise.group_size == block
    np.testing.assert_array_equal(blockwise.decode(), encoding.decode())


def test_groups_of_48_go_in_blocks_of_16():
    weight = np.random.default_rng(0).standard_normal((4, 100)).astype(np.float32)
    encoding = affine_quantized(weight, 4, "per_group", group_size=48)
    blockwise = in_blocks(encoding)
    assert blockwise.group_size == 16
    np.testing.assert_array_equal(blockwise.decode(), encoding.decode())


JOINED = {  # what is multiplied as one, or is not, and how many products that makes
    "floats": (["dense", "half", "palette"], {"MatMul": 1}),
    "bands too": (["bands", "sparse_palette", "dense"], {"MatMul": 1}),
    "one scale, or one a row": (["one scale", "channels", "6 bits, asymmetric"], INTEGERS),
    "zero points that differ": (["asymmetric", "one scale, asymmetric", "channels"], INTEGERS),
    "zero points that are one": (["one scale, asymmetric", "one scale, asymmetric"], INTEGERS),
    "blocks": (["groups of 16", "groups of 16"], {"MatMulNBits": 1}),
    "blocks that differ": (["groups of 16", "groups of 32, asymmetric"], {"MatMulNBits": 2}),
    "everything": (
        ["dense", "channels", "groups of 16"],
        {"MatMul": 1, "MatMulNBits": 1, **INTEGERS},
    ),
}


@pytest.mark.parametrize("activations", ["per_tensor", "per_block"])
@pytest.mark.parametrize("case", JOINED)
def test_a_joined_product_is_that_with_each_weight(case, activations, tmp_path):
    kinds, products = JOINED[case]
    encodings = [ENCODINGS[kind]() for kind in kinds]
    path = written(tmp_path, encodings, LINEAR, activations=activations)
    x = np.random.default_rng(2).standard_normal((7, SHAPE[1])).astype(np.float32)
    found = np.split(run(path, LINEAR, x, optimized=tmp_path / "fused.onnx"), len(kinds), axis=1)
    (tmp_path / "one").mkdir()
    for encoding, part in zip(encodings, found):
        alone = run(written(tmp_path / "one", encoding, LINEAR, activations=activations), LINEAR, x)
        np.testing.assert_allclose(part, alone, rtol=1e-5, atol=1e-5 * np.abs(alone).max())
    counted = Counter(operators(path))
    if activations == "per_tensor":
        assert {op: counted[op] for op in products} == products
        left = Counter(operators(tmp_path / "fused.onnx"))
        assert left["MatMulInteger"] == 0
        assert (
            left["DynamicQuantizeMatMul"] + left["MatMulIntegerToFloat"] == counted["MatMulInteger"]
        )


def extremes(activations, rows=40, columns=256):
    """Integers at the ends of their ranges, and what they sum to: a scale of 1 on either side."""
    rng = np.random.default_rng(0)
    values = rng.choice(np.array([-128, -127, -1, 0, 1, 127], np.int8), (rows, columns))
    values[0], values[1], values[2, ::2] = 127, -128, 127
    encoding = Affine(values, np.ones(rows, np.float32), np.zeros(rows, np.int8))
    if activations == "per_tensor":
        x = rng.choice(np.array([0, 1, 254, 255], np.float32), (9, columns))
        x[0], x[1, ::2], x[:, -2:] = 255, 255, [0, 255]  # so that the step is 1 and the zero 0
    else:
        x = rng.choice(np.array([-127, -126, 0, 1, 127], np.float32), (9, columns))
        x[0], x[1, ::2], x[2] = 127, 127, -127  # every block's greatest is 127, its step 1
    return encoding, x, x.astype(np.int64) @ values.T.astype(np.int64)


@pytest.mark.parametrize("activations", ["per_tensor", "per_block"])
@pytest.mark.parametrize("rows", [1, 9])
def test_integer_products_of_extreme_values_are_exact(rows, activations, tmp_path):
    """Sums of two products would saturate where weights are signed: x86 without VNNI."""
    encoding, x, expected = extremes(activations)
    path = written(tmp_path, encoding, LINEAR, activations=activations)
    np.testing.assert_array_equal(run(path, LINEAR, x[:rows]), expected[:rows])
    graph = onnx.load(path, load_external_data=False).graph
    kinds = {t.name: t.data_type for t in graph.initializer}
    assert kinds["litecompress.w.weight"] == onnx.TensorProto.UINT8


WITHOUT_VNNI = """
import sys, numpy as np, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
x = np.load(sys.argv[2])
for rows in (1, len(x)):
    inputs = {"x": x[:rows], "ids": np.zeros((1, 1), np.int64)}
    np.save(f"{sys.argv[2]}-{rows}.npy", session.run(["linear"], inputs)[0])
"""


@pytest.mark.slow
@pytest.mark.parametrize("activations", ["per_tensor", "per_block"])
def test_integer_products_are_exact_on_a_processor_without_vnni(activations, tmp_path):
    """Valgrind emulates one with AVX2 and nothing later."""
    if shutil.which("valgrind") is None:
        pytest.skip("needs valgrind, which emulates a processor without VNNI")
    encoding, x, expected = extremes(activations)
    path = written(tmp_path, encoding, LINEAR, activations=activations)
    np.save(tmp_path / "x.npy", x)
    python = [sys.executable, "-c", WITHOUT_VNNI, str(path), str(tmp_path / "x.npy")]
    subprocess.run(["valgrind", "--tool=none", "-q", *python], check=True, timeout=300)
    for rows in (1, len(x)):
        found = np.load(tmp_path / f"x.npy-{rows}.npy")
        np.testing.assert_array_equal(found, expected[:rows])
