"""What each storage makes of each encoding, and the bytes that it is said to take."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litecompress.artifact import Artifact
from litecompress.encoding import Dense, Palette, Sparse, packed_bytes
from litecompress.errors import ExportError
from litecompress.export.base import is_matrix
from litecompress.export.onnx_grids import symmetric_int4
from litecompress.export.onnx_plan import payload_bytes, plan_onnx
from litecompress.stages import Context, Quantize, apply
from litecompress.stages.affine_grid import affine_quantized
from tests import models
from tests.sizes import encodings

MATRIX, VECTOR = "encoder.0.ffn.fc1.weight", "encoder.0.ffn.fc1.bias"


def with_matrix(encoding) -> Artifact:
    """A model, nothing but its first matrix of the feed-forward network being of interest."""
    weights = {MATRIX: encoding, VECTOR: Dense(np.arange(encoding.shape[0], dtype=np.float32))}
    return Artifact(models.config(), weights, b"")


def grid(num_bits, granularity, shape=(24, 40), **options):
    weight = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    return affine_quantized(weight, num_bits, granularity, **options)


def random(kind, shape=(24, 40)):
    return encodings.encoding(kind, shape, np.random.default_rng(0))


@pytest.mark.parametrize("kind", encodings.ALL)
def test_native_keeps_every_encoding(kind):
    artifact = with_matrix(random(kind))
    planned = plan_onnx(artifact, "native")
    assert planned.native == (MATRIX, VECTOR)
    assert planned.weights == dict(artifact.weights)


@pytest.mark.parametrize("num_bits", [2, 4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("granularity", ["per_tensor", "per_channel"])
def test_int8_does_not_round_an_own_grid_again(num_bits, symmetric, granularity):
    encoding = grid(num_bits, granularity, symmetric=symmetric)
    planned = plan_onnx(with_matrix(encoding), "int8")
    assert planned.weights[MATRIX] is encoding
    assert (planned.re_encoded, planned.re_encoding_psnr_db) == ((), None)


@pytest.mark.parametrize("kind", ["half", "palette", "sparse_palette", "groups", "bands"])
def test_int8_rounds_what_is_on_no_such_grid(kind):
    encoding = random(kind)
    planned = plan_onnx(with_matrix(encoding), "int8")
    assert planned.re_encoded == (MATRIX,)
    error = np.abs(planned.weights[MATRIX].decode() - encoding.decode())
    assert (error <= 0.5001 * planned.weights[MATRIX].scale[:, None]).all()
    assert planned.re_encoding_psnr_db > 40


@pytest.mark.parametrize(
    ("granularity", "options"),
    [("per_tensor", {}), ("per_channel", {}), ("per_group", {"group_size": 16})],
)
@pytest.mark.parametrize("symmetric", [True, False])
def test_int4_does_not_round_an_own_grid_again(granularity, options, symmetric):
    encoding = grid(4, granularity, symmetric=symmetric, **options)
    planned = plan_onnx(with_matrix(encoding), "int4")
    assert planned.native == (MATRIX, VECTOR)
    np.testing.assert_array_equal(planned.weights[MATRIX].decode(), encoding.decode())


@pytest.mark.parametrize("storage", ["int8", "int4"])
def test_integers_leave_vectors_as_they_are(storage):
    planned = plan_onnx(with_matrix(random("dense")), storage)
    assert (planned.native, planned.re_encoded) == ((VECTOR,), (MATRIX,))


@pytest.mark.parametrize("storage", ["float16", "float32"])
def test_floating_point_of_a_palette_in_half_precision_is_exact(storage):
    artifact = with_matrix(random("sparse_palette"))
    planned = plan_onnx(artifact, storage)
    assert MATRIX in planned.decoded
    assert planned.weights[MATRIX].values.dtype == storage
    np.testing.assert_array_equal(
        planned.weights[MATRIX].decode(), artifact.weights[MATRIX].decode()
    )


def test_float16_says_what_it_rounds():
    weight = Dense(np.array([[1.0001, 1]], np.float32))
    planned = plan_onnx(with_matrix(weight), "float16")
    assert (planned.re_encoded, planned.decoded) == ((MATRIX,), (VECTOR,))
    assert 60 < planned.re_encoding_psnr_db < 90


@pytest.mark.parametrize(("storage", "most"), [("float16", 65504), ("int4", 524032)])
def test_what_half_precision_cannot_hold_is_refused_by_name(storage, most):
    plan_onnx(with_matrix(Dense(np.full((2, 16), most, np.float32))), storage)
    beyond = Dense(np.full((2, 16), 1.01 * most, np.float32))
    with pytest.raises(ExportError, match=rf"1 beyond it: {MATRIX}; use storage: float32"):
        plan_onnx(with_matrix(beyond), storage)


def bits(count, each):
    return packed_bytes(count, each)


NUMBER = 24 * 40
EXPECTED = {  # of a matrix 24 x 40, from its encoding's definition
    "half": 2 * NUMBER,
    "dense": 4 * NUMBER,
    "affine": NUMBER + 4,
    "channels": NUMBER + 4 * 24,
    "palette": bits(NUMBER, 3) + 2 * 8,
    "groups": NUMBER + 4 * 24 * 8,  # codes that need 8 bits, whatever is declared
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_payload_of_an_encoding(kind):
    sizes = payload_bytes(plan_onnx(with_matrix(random(kind)), "native"))
    assert sizes == {MATRIX: EXPECTED[kind], VECTOR: 4 * 24}


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        ("float32", 4 * NUMBER),
        ("float16", 2 * NUMBER),
        ("int8", NUMBER + 4 * 24),
        ("int4", NUMBER // 2 + 2 * 24 * 2),  # two blocks a row, a scale in half precision each
    ],
)
def test_payload_of_a_storage(storage, expected):
    planned = plan_onnx(with_matrix(random("dense")), storage)
    assert payload_bytes(planned)[MATRIX] == expected


@settings(max_examples=40)
@given(st.floats(0, 1), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_zeros_of_a_palette_take_a_code_or_a_mask_whichever_is_less(density, num_bits, seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((16, 24)) < density
    count = int(mask.sum())
    codebook = rng.standard_normal(2**num_bits - (num_bits < 8)).astype(np.float16)
    indices = rng.integers(0, len(codebook), count).astype(np.uint8)
    encoding = Sparse(mask, Palette(indices, codebook, num_bits))
    size = payload_bytes(plan_onnx(with_matrix(encoding), "native"))[MATRIX]
    codes = [mask.size * num_bits // 8, (mask.size + count * num_bits) // 8] if num_bits < 8 else []
    least = min([*codes, mask.size // 8 + count]) + codebook.nbytes
    assert least <= size <= least + 2 * num_bits + 2  # what fills up, the zero and its entry


def test_what_is_equal_takes_its_bytes_once():
    weights = {"a.weight": Dense(np.ones((4, 4), "f4")), "b.weight": Dense(np.ones((4, 4), "f4"))}
    planned = plan_onnx(Artifact(models.config(), weights, b""), "float32")
    assert payload_bytes(planned) == {"a.weight": 64, "b.weight": 0}


def test_payload_of_a_quantized_model_is_its_own_bit_packed_size():
    quantized = apply(Quantize(num_bits=4), models.artifact(), Context())
    sizes = payload_bytes(plan_onnx(quantized, "native"))
    for name, weight in quantized.weights.items():
        odd = isinstance(weight, Palette) and np.prod(weight.shape) % 8
        filled_up = 2 if odd else 0
        assert sizes[name] == weight.nbytes + filled_up
    palettes = {n for n, w in quantized.weights.items() if isinstance(w, Palette)}
    assert palettes > {n for n, w in quantized.weights.items() if is_matrix(n, w)}


@settings(max_examples=40)
@given(st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_4_bits_are_at_most_a_step_off_and_keep_zero(columns, seed):
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((5, columns)).astype(np.float32)
    weight[rng.random(weight.shape) < 0.3] = 0
    encoding = symmetric_int4(weight)
    steps = np.abs(encoding.scale.astype("f4")).repeat(32, axis=1)[:, :columns]
    assert (np.abs(encoding.decode() - weight) <= 1.01 * steps + 1e-7).all()
    assert (encoding.decode()[weight == 0] == 0).all()
