"""The emulator's operators: each against PyTorch, and for rows at once as for each alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from litecompress.backends import load_backend
from litecompress.errors import UnsupportedOpError
from litecompress.runtime.mil_batch import batched, shifted
from litecompress.runtime.mil_constexpr import CONSTANT_EXPRESSIONS
from litecompress.runtime.mil_half import rounded_to_half
from litecompress.runtime.mil_ops import OPERATORS

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(2, 6, 4)).astype(np.float32)
Y = RANDOM.normal(size=(2, 6, 4)).astype(np.float32)
ROW = RANDOM.normal(size=4).astype(np.float32)
MATRIX = RANDOM.normal(size=(5, 4)).astype(np.float32)
BIAS = RANDOM.normal(size=5).astype(np.float32)
INDICES = np.array([[0, -1], [2, 3]])
SLICE = {
    "begin": np.array([1, 1, 3]),
    "end": np.array([0, 6, 0]),
    "stride": np.array([1, 2, 1]),
    "begin_mask": np.array([True, False, False]),
    "end_mask": np.array([True, False, False]),
    "squeeze_mask": np.array([False, False, True]),
}
PART = RANDOM.normal(size=(2, 3)).astype(np.float32)


def updated(x, update):
    changed = x.clone()
    changed[:, 1:6:2, 3] = update
    return changed


# operator -> operands that depend on an input, constants, and the same in PyTorch
EXAMPLES = {
    "add": ({"x": X, "y": Y}, {}, lambda x, y: x + y),
    "cast": ({"x": X}, {"dtype": "fp32"}, lambda x: x),
    "concat": ({"values": (X, Y)}, {"axis": 1}, lambda values: torch.cat(values, 1)),
    "cos": ({"x": X}, {}, torch.cos),
    "cumsum": ({"x": X}, {"axis": 1}, lambda x: x.cumsum(1)),
    "equal": ({"x": X.round(), "y": Y.round()}, {}, torch.eq),
    "expand_dims": ({"x": X}, {"axes": np.array([1])}, lambda x: x.unsqueeze(1)),
    "gather": ({"x": X}, {"indices": INDICES, "axis": 1}, lambda x: x[:, torch.tensor(INDICES)]),
    "greater": ({"x": X, "y": Y}, {}, torch.gt),
    "greater_equal": ({"x": X.round(), "y": Y.round()}, {}, torch.ge),
    "identity": ({"x": X}, {}, lambda x: x),
    "layer_norm": (
        {"x": X},
        {"axes": np.array([-1]), "gamma": ROW, "beta": ROW + 1, "epsilon": 1e-5},
        lambda x: F.layer_norm(x, [4], torch.tensor(ROW), torch.tensor(ROW + 1), 1e-5),
    ),
    "less": ({"x": X, "y": Y}, {}, torch.lt),
    "linear": (
        {"x": X},
        {"weight": MATRIX, "bias": BIAS},
        lambda x: F.linear(x, torch.tensor(MATRIX), torch.tensor(BIAS)),
    ),
    "log": ({"x": np.abs(X)}, {"epsilon": 1e-45}, torch.log),
    "logical_and": ({"x": X > 0, "y": Y > 0}, {}, torch.logical_and),
    "matmul": (
        {"x": X, "y": Y},
        {"transpose_x": False, "transpose_y": True},
        lambda x, y: x @ y.transpose(1, 2),
    ),
    "maximum": ({"x": X, "y": Y}, {}, torch.maximum),
    "minimum": ({"x": X, "y": Y}, {}, torch.minimum),
    "mul": ({"x": X, "y": Y}, {}, lambda x, y: x * y),
    "not_equal": ({"x": X.round(), "y": Y.round()}, {}, torch.ne),
    "pad": (
        {"x": X},
        {"pad": np.array([2, 1, 0, 3]), "mode": "constant", "constant_val": 0.5},
        lambda x: F.pad(x, (0, 3, 2, 1), value=0.5),
    ),
    "reduce_sum": (
        {"x": X},
        {"axes": np.array([1]), "keep_dims": True},
        lambda x: x.sum(1, keepdim=True),
    ),
    "relu": ({"x": X}, {}, torch.relu),
    "reshape": ({"x": X}, {"shape": np.array([4, 3, 4])}, lambda x: x.reshape(4, 3, 4)),
    "select": ({"cond": X > 0, "a": X, "b": Y}, {}, torch.where),
    "sigmoid": ({"x": 100 * X}, {}, torch.sigmoid),
    "sin": ({"x": X}, {}, torch.sin),
    "slice_by_index": ({"x": X}, SLICE, lambda x: x[:, 1:6:2, 3]),
    "slice_update": ({"x": X, "update": PART}, SLICE, updated),
    "softmax": ({"x": X}, {"axis": 1}, lambda x: x.softmax(1)),
    "split": (
        {"x": X},
        {"axis": 1, "split_sizes": np.array([1, 5])},
        lambda x: x.split([1, 5], 1),
    ),
    "sub": ({"x": X, "y": Y}, {}, lambda x, y: x - y),
    "tile": ({"x": X}, {"reps": np.array([1, 2, 3])}, lambda x: x.tile(1, 2, 3)),
    "transpose": ({"x": X}, {"perm": np.array([2, 0, 1])}, lambda x: x.permute(2, 0, 1)),
}


def many(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


def torch_of(value):
    return tuple(map(torch.tensor, value)) if isinstance(value, tuple) else torch.tensor(value)


def test_every_operator_has_an_example():
    assert EXAMPLES.keys() == OPERATORS.keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_operator_gives_what_pytorch_does(name):
    operands, constants, reference = EXAMPLES[name]
    ours = many(OPERATORS[name](**operands, **constants))
    theirs = many(reference(*map(torch_of, operands.values())))
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their.numpy(), rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", EXAMPLES)
def test_rows_at_once_are_rows_apart(name):
    operands, constants, _ = EXAMPLES[name]
    for fixed in (None, *operands) if len(operands) > 1 else (None,):
        varied = {key: value for key, value in operands.items() if key != fixed}
        if name == "slice_update" and fixed is not None:
            continue  # a state and what replaces it both depend on inputs
        check_rows(name, varied, {**constants, **({fixed: operands[fixed]} if fixed else {})})


def check_rows(name, operands, constants):
    rows = [{key: row_of(value, i) for key, value in operands.items()} for i in range(3)]
    ranks = {
        key: tuple(v.ndim for v in value) if isinstance(value, tuple) else value.ndim
        for key, value in operands.items()
    }
    joined = {
        key: [np.stack([row[key][j] for row in rows]) for j in range(len(value))]
        if isinstance(value, tuple)
        else np.stack([row[key] for row in rows])
        for key, value in operands.items()
    }
    together = many(batched(name, ranks)(**joined, **shifted(name, constants)))
    apart = [many(OPERATORS[name](**row, **constants)) for row in rows]
    for i, result in enumerate(together):
        expected = np.stack([row[i] for row in apart])
        np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-6)


def row_of(value, i):
    """Other values of the same shape in every row."""
    if isinstance(value, tuple):
        return tuple(row_of(v, i) for v in value)
    return np.roll(value, i)


@pytest.mark.parametrize(
    ("x", "y"), [((2, 6, 4), (4,)), ((4,), (2, 6, 4)), ((6, 1), (2, 6, 4)), ((1,), (5, 1, 1, 3))]
)
@pytest.mark.parametrize("fixed", ["", "x", "y"])
def test_operands_of_any_rank_broadcast_within_their_rows(x, y, fixed):
    given_x, given_y = RANDOM.normal(size=(3, *x)), RANDOM.normal(size=(3, *y))
    operands = {"x": given_x, "y": given_y}
    if fixed:
        operands[fixed] = operands[fixed][0]
    ranks = {key: len(shape) for key, shape in (("x", x), ("y", y)) if key != fixed}
    found = batched("add", ranks)(**operands)
    rows = [
        (operands["x"] if fixed == "x" else given_x[i])
        + (operands["y"] if fixed == "y" else given_y[i])
        for i in range(3)
    ]
    np.testing.assert_array_equal(found, np.stack(rows))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_a_table_is_looked_up_for_every_row_by_its_own_indices(axis):
    indices = RANDOM.integers(0, 2, (3, 2, 5))
    options = shifted("gather", {"axis": axis})
    found = batched("gather", {"indices": 2})(x=X, indices=indices, **options)
    np.testing.assert_array_equal(found, np.stack([np.take(X, i, axis) for i in indices]))
    each = RANDOM.normal(size=(3, 2, 6, 4))
    found = batched("gather", {"x": 3, "indices": 2})(x=each, indices=indices, **options)
    pairs = zip(each, indices, strict=True)
    np.testing.assert_array_equal(found, np.stack([np.take(x, i, axis) for x, i in pairs]))


def test_constants_are_repeated_for_every_row_where_values_are_joined():
    rows = RANDOM.normal(size=(3, 2, 6, 4)).astype(np.float32)
    found = batched("concat", {"values": (-1, 3)})(values=[X, rows], axis=1)
    np.testing.assert_array_equal(found, np.stack([np.concatenate([X, row]) for row in rows]))


@pytest.mark.parametrize(
    ("operator", "options"),
    [
        ("pad", {"pad": [1, 1], "mode": "reflect", "constant_val": 0.0}),
        ("gather", {"indices": np.zeros(1), "axis": 0, "batch_dims": 1}),
        ("cumsum", {"axis": 0, "reverse": True}),
        ("concat", {"values": (X, X), "axis": 0, "interleave": True}),
    ],
)
def test_options_that_are_not_written_are_refused(operator, options):
    first = {} if operator == "concat" else {"x": np.zeros((3, 4))}
    with pytest.raises(UnsupportedOpError, match="runs on a device only"):
        OPERATORS[operator](**first, **options)


@pytest.mark.parametrize("lut", [np.zeros((1, 1, 2, 2)), np.zeros((1, 1, 4, 4))])
def test_codebooks_of_vectors_are_refused(lut):
    with pytest.raises(UnsupportedOpError, match="codebooks of numbers"):
        CONSTANT_EXPRESSIONS["constexpr_lut_to_dense"](np.zeros((2, 2), np.uint8), lut)
    with pytest.raises(UnsupportedOpError, match="codebooks of numbers"):
        CONSTANT_EXPRESSIONS["constexpr_lut_to_sparse"](np.ones((2, 2)), np.zeros(4), lut)


def arguments_of_ios18(random):
    indices, mask = random.integers(0, 4, (6, 4)), random.integers(0, 2, (6, 4))
    data = random.integers(-128, 128, (6, 4)).astype(np.int8)
    scale = random.random((3, 1)).astype(np.float32)
    offset = np.array([[3], [0], [-7]], np.int8)
    for blocks in ((1, 1), (3, 1), (2, 2)):
        lut = random.normal(size=(*blocks, 4, 1)).astype(np.float32)
        yield "constexpr_lut_to_dense", (indices, lut)
        yield "constexpr_lut_to_sparse", (mask, indices[mask != 0], lut)
    yield "constexpr_blockwise_shift_scale", (data, scale, offset)
    yield "constexpr_blockwise_shift_scale", (data, scale, None)
    yield "constexpr_sparse_blockwise_shift_scale", (mask, data[mask != 0], scale, offset)
    yield "constexpr_sparse_to_dense", (indices[mask != 0], mask)


def test_constant_expressions_of_ios18_give_what_coremltools_does():
    theirs = load_backend("coremltools.converters.mil.mil").ops.defs.iOS18.compression
    for name, arguments in arguments_of_ios18(np.random.default_rng(1)):
        vector_axis = (None,) if "lut" in name else ()
        expected = getattr(theirs, name).decompress(*arguments, *vector_axis)
        np.testing.assert_equal(CONSTANT_EXPRESSIONS[name](*arguments), expected, err_msg=name)


def test_constant_expressions_of_ios17_give_what_coremltools_does():
    theirs = load_backend("coremltools.converters.mil.mil").ops.defs.iOS16.constexpr_ops
    random = np.random.default_rng(2)
    packed, shape = random.integers(0, 256, 9).astype(np.uint8), np.array([6, 3])
    mask = packed[:3] & np.array([255, 255, 3], np.uint8)  # 18 bits
    lut = random.normal(size=16).astype(np.float16)
    kept = random.normal(size=np.unpackbits(mask, count=18, bitorder="little").sum())
    data = random.integers(-128, 128, (6, 3)).astype(np.int8)
    scale, zero = random.random(3).astype(np.float32), np.array([3, 0, -7], np.int8)
    for name, arguments in (
        ("constexpr_lut_to_dense", (packed, lut, shape)),
        ("constexpr_sparse_to_dense", (kept, mask, shape)),
        ("constexpr_affine_dequantize", (data, zero, scale, 1)),
        ("constexpr_affine_dequantize", (data, zero[0], scale[0], 0)),
    ):
        swapped = (arguments[1], arguments[0], *arguments[2:]) if "lut" in name else arguments
        expected = getattr(theirs, name).decompress(*swapped)
        found = CONSTANT_EXPRESSIONS[name](*arguments)
        np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=name)


@settings(max_examples=200, deadline=None)
@given(arrays(np.uint32, 64, elements=st.integers(0, 2**32 - 1)))
def test_rounding_to_half_is_that_of_numpy(bits):
    values = bits.view(np.float32)
    for some in (values, values[np.abs(values) < 70000], np.ldexp(values % 2 - 1, -20)):
        with np.errstate(all="ignore"):
            expected = some.astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(rounded_to_half(some), expected)


def test_ties_are_rounded_to_even_down_to_the_smallest_number():
    halves = np.arange(0, 0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    between = (halves[:-1] + halves[1:]) / 2  # exact in float32
    for some in (between, -between, np.float32([65519.99, 65520, np.inf, np.nan, -0.0])):
        with np.errstate(over="ignore"):
            expected = some.astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(rounded_to_half(some), expected)
    assert rounded_to_half(np.zeros(0, np.float32)).size == 0
