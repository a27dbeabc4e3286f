"""The forms of weights in Core ML programs: exactly ours, and no larger than they need be."""

from __future__ import annotations

import numpy as np
import pytest

from litecompress.encoding import (
    Affine,
    Bands,
    Dense,
    Palette,
    Sparse,
    packed_bytes,
    symmetric_int8,
)
from litecompress.export.coreml_codes import form_of
from litecompress.export.coreml_forms import forms, is_carried, smallest
from litecompress.runtime.mil_constexpr import CONSTANT_EXPRESSIONS

SHAPE = (24, 40)
RANDOM = np.random.default_rng(5)
MASK = RANDOM.random(SHAPE) < 0.4


def palette(shape, count=20, bits=5):
    return Palette(
        RANDOM.integers(0, count, shape).astype(np.uint8),
        np.sort(RANDOM.normal(size=count)).astype(np.float16),
        bits,
    )


def grid(shape, bits=8, scales=None, groups=0, zeros=False, axis=0):
    half = 1 << bits >> 1
    entries = (shape[0], -(-shape[1] // groups)) if groups else (scales or 1,)
    return Affine(
        RANDOM.integers(0 if zeros else -half, 2 * half if zeros else half, shape).astype(
            np.uint8 if zeros else np.int8
        ),
        RANDOM.random(entries).astype(np.float16) / 16,
        RANDOM.integers(0, 2 * half, entries).astype(np.uint8)
        if zeros
        else np.zeros(entries, np.int8),
        axis,
        bits,
        groups,
    )


def sparse(values):
    return Sparse(MASK, values)


def rows(part, count):
    return part((count, SHAPE[1]))


BAND = np.array([0, 0, 1, 1, 2, 2] * 4, np.uint8)
SURVIVORS = (int(MASK.sum()),)
MASKED_ROWS = RANDOM.random((8, SHAPE[1])) < 0.5
ENCODINGS = {
    "palette": palette(SHAPE),
    "sparse palette": sparse(palette(SURVIVORS)),
    "sparse": sparse(Dense(RANDOM.normal(size=SURVIVORS).astype(np.float16))),
    "nothing left": Sparse(np.zeros(SHAPE, bool), Dense(np.zeros(0, np.float32))),
    "sparse grid": sparse(grid(SURVIVORS)),
    "sparse grid of 4 bits": sparse(grid(SURVIVORS, 4, zeros=True)),
    "grid": grid(SHAPE, scales=24),
    "grid of 4 bits": grid(SHAPE, 4, scales=24, zeros=True),
    "grid of 3 bits": grid(SHAPE, 3, scales=24),
    "grid of 5 bits and zeros": grid(SHAPE, 5, scales=24, zeros=True),
    "grid of columns": grid(SHAPE, 8, scales=40, zeros=True, axis=1),
    "one grid of 6 bits": grid(SHAPE, 6),
    "groups of 8": grid(SHAPE, 4, groups=8),
    "groups of 16": grid(SHAPE, 4, groups=16, zeros=True),
    "bands of palettes": Bands(BAND, tuple(palette((8, 40), n) for n in (4, 9, 16))),
    "bands of sparse palettes": Bands(
        BAND,
        tuple(Sparse(MASKED_ROWS, palette((int(MASKED_ROWS.sum()),), n)) for n in (4, 9, 16)),
    ),
    "bands of grids": Bands(
        BAND, (grid((8, 40), 4), grid((8, 40), 6, scales=8), grid((8, 40), 4, groups=8))
    ),
}
BLOCKS = {"groups of 8", "groups of 16", *(name for name in ENCODINGS if "bands" in name)}


def decoded(stored):
    """What a program makes of a form, by the emulator's constant expressions."""
    before = ()
    for step in stored.steps:
        given = {}
        for key, constant in step.constants.items():
            kind = {"fp16": np.float16, "fp32": np.float32}.get(constant.kind)
            given[key] = constant.values if kind is None else constant.values.astype(kind)
        given |= dict(zip(step.feeds, before, strict=True))
        result = CONSTANT_EXPRESSIONS[step.operator](**given)
        before = result if isinstance(result, tuple) else (result,)
    return before[0]


@pytest.mark.parametrize("deployment", ["iOS17", "iOS18"])
@pytest.mark.parametrize("name", ENCODINGS)
def test_every_form_gives_exactly_what_the_encoding_does(name, deployment):
    encoding = ENCODINGS[name]
    expected = encoding.decode()
    found = list(forms(form_of(encoding), "fp32", deployment))
    assert bool(found) == (deployment == "iOS18" or name not in BLOCKS)
    assert is_carried(encoding, deployment) == bool(found)
    for stored in found:
        np.testing.assert_array_equal(decoded(stored), expected, err_msg=str(stored.steps))


@pytest.mark.parametrize("name", ENCODINGS)
def test_half_precision_rounds_products_and_nothing_else(name):
    encoding = ENCODINGS[name]
    expected = encoding.decode()
    for stored in forms(form_of(encoding), "fp16", "iOS18"):
        found = decoded(stored)
        assert found.dtype == np.float16
        np.testing.assert_array_equal(found, expected.astype(np.float16))


def test_indices_and_integers_have_no_more_bits_than_they_need():
    shape = (64, 96)
    widths = {
        4: palette(shape, 16),
        6: palette(shape, 20),
        3: grid(shape, 3, scales=64),
        8: grid(shape, 8, scales=64),
    }
    widths_of_groups = {4: grid(shape, 4, groups=32), 2: grid(shape, 2, groups=32)}
    for cases in (widths, widths_of_groups):
        for width, encoding in cases.items():
            stored = smallest(encoding, "fp16", "iOS18")
            most = max(c.nbytes for step in stored.steps for c in step.constants.values())
            assert most == packed_bytes(64 * 96, width)


def test_a_pruned_palette_is_jointly_sparse_where_that_is_smaller():
    for share, operator in ((0.3, "constexpr_lut_to_sparse"), (0.9, "constexpr_lut_to_dense")):
        mask = np.random.default_rng(1).random((64, 64)) < share
        pruned = Sparse(mask, palette((int(mask.sum()),), 15, 4))
        assert smallest(pruned, "fp16", "iOS18").steps[0].operator == operator


def test_what_is_smaller_as_plain_numbers_has_no_form():
    assert smallest(palette((8, 8)), "fp16", "iOS18") is None
    assert smallest(Dense(np.zeros((64, 64), np.float32)), "fp16", "iOS18") is None
    vector = Palette(np.zeros(4096, np.uint8), np.zeros(1, np.float16))
    assert smallest(vector, "fp16", "iOS18") is None


def test_grids_beyond_8_bits_and_mixed_bands_are_not_carried():
    wide = Affine(np.arange(4096).reshape(64, 64), np.ones(1), np.zeros(1, int))
    mixed = Bands(np.array([0, 1], np.uint8), (palette((1, 40)), grid((1, 40))))
    dense = Bands(np.array([0], np.uint8), (Dense(np.zeros((1, 40), np.float32)),))
    for encoding in (wide, mixed, dense):
        assert not is_carried(encoding, "iOS18")


def test_a_grid_of_int8_is_carried_by_both():
    encoding = symmetric_int8(RANDOM.normal(size=SHAPE).astype(np.float32))
    for deployment in ("iOS17", "iOS18"):
        stored = smallest(encoding, "fp32", deployment)
        assert len(stored.steps) == 1
        np.testing.assert_array_equal(decoded(stored), encoding.decode())
