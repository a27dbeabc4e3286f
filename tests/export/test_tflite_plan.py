"""What each TFLite storage makes of each encoding, and the bytes that it is said to take."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litecompress.artifact import Artifact
from litecompress.encoding import Affine, Bands, Dense, Sparse
from litecompress.errors import ExportError
from litecompress.export.tflite_grids import in_blocks, on_rows, symmetric_int4_blocks
from litecompress.export.tflite_plan import payload_bytes, plan_tflite
from litecompress.stages.affine_grid import affine_quantized
from tests import models
from tests.sizes import encodings

MATRIX, VECTOR = "encoder.0.ffn.fc1.weight", "encoder.0.ffn.fc1.bias"
NUMBER = 24 * 40


def with_matrix(encoding, name=MATRIX) -> Artifact:
    weights = {name: encoding, VECTOR: Dense(np.arange(encoding.shape[0], dtype=np.float32))}
    return Artifact(models.config(), weights, b"")


def weight(seed=0, shape=(24, 40)):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def pruned_grid():
    mask = weight(1) > 0
    values = np.arange(mask.sum(), dtype=np.int16) % 9
    return Sparse(mask, Affine(values, np.float16([0.5]), np.int16([4]), num_bits=4))


def bands():
    band = (np.arange(24) % 2).astype(np.uint8)
    parts = [affine_quantized(weight(2, (12, 40)), bits) for bits in (4, 8)]
    return Bands(band, parts)


EXACT = {
    "8 bits a row": (affine_quantized(weight(), 8), 8),
    "8 bits for all": (affine_quantized(weight(), 8, "per_tensor"), 8),
    "7 bits, shifted": (affine_quantized(weight(), 7, symmetric=False), 8),
    "4 bits a row": (affine_quantized(weight(), 4), 4),
    "a pruned grid": (pruned_grid(), 4),
    "bands of grids": (bands(), 8),
}


@pytest.mark.parametrize("name", EXACT)
def test_native_and_int8_keep_a_grid_of_rows(name):
    encoding, bits = EXACT[name]
    for storage in ("native", "int8"):
        planned = plan_tflite(with_matrix(encoding), storage)
        assert planned.native == (MATRIX, VECTOR)
        kept = planned.weights[MATRIX]
        np.testing.assert_array_equal(kept.decode(), encoding.decode())
        assert not kept.zero_point.any()
        assert kept.num_bits == (bits if storage == "native" else 8)


@pytest.mark.parametrize("kind", ["half", "palette", "sparse_palette", "bands"])
def test_int8_rounds_what_is_on_no_such_grid(kind):
    encoding = encodings.encoding(kind, (24, 40), np.random.default_rng(0))
    planned = plan_tflite(with_matrix(encoding), "int8")
    assert planned.re_encoded == (MATRIX,)
    assert planned.re_encoding_psnr_db > 40
    error = np.abs(planned.weights[MATRIX].decode() - encoding.decode())
    assert (error <= 0.5001 * planned.weights[MATRIX].scale[:, None]).all()


def test_int4_keeps_blocks_whose_scales_the_kernel_holds():
    blocks = symmetric_int4_blocks(weight(shape=(24, 64)))
    planned = plan_tflite(with_matrix(blocks), "int4")
    assert planned.native == (MATRIX, VECTOR)
    np.testing.assert_array_equal(planned.weights[MATRIX].decode(), blocks.decode())
    assert plan_tflite(with_matrix(blocks), "native").native == (MATRIX, VECTOR)


def test_int4_keeps_the_integers_of_other_blocks_and_reports_their_scales():
    own = affine_quantized(weight(shape=(24, 64)), 4, "per_group", group_size=32)
    planned = plan_tflite(with_matrix(own), "int4")
    assert planned.re_encoded == (MATRIX,)
    assert planned.re_encoding_psnr_db > 50
    kept = planned.weights[MATRIX]
    np.testing.assert_array_equal(kept.values, own.values)
    assert (np.abs(kept.scale / own.scale.astype("f4") - 1) <= 2**-8).all()
    with pytest.raises(ExportError, match=rf"1 other encodings: {MATRIX} \(grouped_affine\)"):
        plan_tflite(with_matrix(own), "native")


def test_weights_alone_in_4_bits_have_a_scale_a_row():
    planned = plan_tflite(with_matrix(Dense(weight())), "int4", "float32")
    kept = planned.weights[MATRIX]
    assert (kept.num_bits, kept.group_size, kept.scale.shape) == (4, 0, (24,))


def test_4_bits_in_odd_columns_become_8():
    planned = plan_tflite(with_matrix(affine_quantized(weight(shape=(24, 33)), 4)), "native")
    assert planned.weights[MATRIX].num_bits == 8
    planned = plan_tflite(with_matrix(Dense(weight(shape=(24, 33)))), "int4", "float32")
    assert planned.weights[MATRIX].num_bits == 8


@pytest.mark.parametrize("activations", ["dynamic", "float32"])
def test_what_is_read_transposed_has_no_blocks(activations):
    name = "embedding.bands.1.projection.weight"
    planned = plan_tflite(with_matrix(Dense(weight()), name), "int4", activations)
    assert (planned.weights[name].num_bits, planned.weights[name].group_size) == (8, 0)


def test_float16_says_what_it_rounds_and_refuses_what_it_cannot_hold():
    planned = plan_tflite(with_matrix(Dense(np.full((2, 8), 1.0001, np.float32))), "float16")
    assert (planned.re_encoded, planned.native) == ((MATRIX,), (VECTOR,))
    with pytest.raises(ExportError, match=rf"1 beyond it: {MATRIX}; use storage: float32"):
        plan_tflite(with_matrix(Dense(np.full((2, 8), 7e4, np.float32))), "float16")


@pytest.mark.parametrize(
    ("storage", "activations", "expected"),
    [
        ("float32", "dynamic", 4 * NUMBER),
        ("float16", "dynamic", 2 * NUMBER),
        ("int8", "dynamic", NUMBER + 4 * 24),
        ("int4", "float32", NUMBER // 2 + 4 * 24),
        ("int4", "dynamic", 24 * 64 // 2 + 2 * 24 * 2),  # rows of 40 filled up to two blocks
    ],
)
def test_payload_of_a_storage(storage, activations, expected):
    planned = plan_tflite(with_matrix(Dense(weight())), storage, activations)
    assert payload_bytes(planned) == {MATRIX: expected, VECTOR: 4 * 24}


def test_what_is_equal_takes_its_bytes_once():
    weights = {"a.weight": Dense(np.ones((4, 4), "f4")), "b.weight": Dense(np.ones((4, 4), "f4"))}
    planned = plan_tflite(Artifact(models.config(), weights, b""), "float32")
    assert payload_bytes(planned) == {"a.weight": 64, "b.weight": 0}


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 70), st.floats(-6, 3), st.integers(0, 2**32 - 1))
def test_blocks_of_4_bits_are_half_a_step_off_and_keep_zero(columns, magnitude, seed):
    rng = np.random.default_rng(seed)
    matrix = (10**magnitude * rng.standard_normal((5, columns))).astype(np.float32)
    matrix[rng.random(matrix.shape) < 0.3] = 0
    encoding = symmetric_int4_blocks(matrix)
    steps = encoding.scale.astype("f4").repeat(32, axis=1)[:, :columns]
    assert (np.abs(encoding.decode() - matrix) <= 0.52 * steps).all()
    assert (encoding.decode()[matrix == 0] == 0).all()
    assert in_blocks(encoding)[1]


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 8), st.booleans(), st.integers(0, 2**32 - 1))
def test_a_grid_on_rows_is_exact_or_nothing(num_bits, symmetric, seed):
    encoding = affine_quantized(weight(seed, (6, 10)), num_bits, symmetric=symmetric)
    rows = on_rows(encoding)
    if rows is None:
        assert num_bits == 8 and not symmetric
    else:
        np.testing.assert_array_equal(rows.decode(), encoding.decode())
