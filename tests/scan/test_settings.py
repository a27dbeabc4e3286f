"""Settings, the grid of them, and how they are written."""

from __future__ import annotations

import re

import numpy as np
import pytest

from litecompress.encoding import Dense, Palette, Sparse
from litecompress.errors import InputError, RecipeError, StageError
from litecompress.scan.settings import KEPT, Grid, Setting, encoded, parse_setting, stages
from litecompress.stages import Context, Prune, Quantize, apply
from tests import models


@pytest.mark.parametrize("setting", [*Grid(num_bits=(1, 2, 8)).all(prunable=True), KEPT])
def test_what_is_written_is_read_back(setting):
    values = parse_setting(str(setting))
    assert Setting(**values) == setting


@pytest.mark.parametrize("text", ["", "bits", "bits=x", "bits=3,bits=4", "zeros=1", "bits=2.5"])
def test_other_text_is_refused(text):
    with pytest.raises(RecipeError, match=f"or keep, got {text!r}"):
        parse_setting(text)


def test_settings_are_pruning_and_quantization_alone_and_together():
    grid = Grid(sparsities=(0.5, 0.9), num_bits=(1, 2, 4))
    alone = {Setting(0.5), Setting(0.9), *(Setting(num_bits=b) for b in (1, 2, 4))}
    assert set(grid.alone(prunable=True)) == alone
    together = {Setting(s, b) for s in (0.5, 0.9) for b in (2, 4)}
    assert set(grid.all(prunable=True)) == alone | together
    assert all(set(s.parts) <= alone for s in grid.all(prunable=True))
    assert set(grid.all(prunable=False)) == {s for s in alone if not s.sparsity}


@pytest.mark.parametrize(
    ("options", "problems"),
    [
        ({"sparsities": (), "num_bits": ()}, ["expected sparsities or bits"]),
        ({"sparsities": (0.0, 1.0)}, ["above 0, got 0.0", r"in [0, 1), got 1.0"]),
        ({"num_bits": (4, 3, 9)}, ["once and rising, got [4, 3, 9]", "from 1 to 8, got 9"]),
        ({"quantize": {"num_bits": 3, "method": "x"}}, ["num_bits is the scan's", "quantize.met"]),
    ],
)
def test_all_that_is_wrong_with_a_grid_is_one_error(options, problems):
    with pytest.raises(InputError, match=".*".join(map(re.escape, problems))):
        Grid(**options)


@pytest.mark.parametrize("setting", [Setting(0.5), Setting(num_bits=3), Setting(0.5, 3), KEPT])
def test_a_weight_is_encoded_as_a_recipe_would(setting):
    artifact, name = models.artifact(), "encoder.0.ffn.fc1.weight"
    expected = artifact
    if setting.sparsity:
        expected = apply(Prune(setting.sparsity, targets=(name,)), expected, Context())
    if setting.num_bits:
        step = Quantize(num_bits=setting.num_bits, targets=(name,))
        expected = apply(step, expected, Context())
    got = encoded(artifact, name, setting, {})
    assert type(got) is type(expected.weights[name])
    np.testing.assert_array_equal(got.decode(), expected.weights[name].decode())


def test_stages_name_their_tensors_and_take_further_options():
    prune, quantize = stages(Setting(0.5, 3), ["a", "b"], {"method": "kmeans"})
    assert prune == Prune(0.5, targets=("a", "b"))
    assert quantize == Quantize(method="kmeans", num_bits=3, targets=("a", "b"))


def test_tensors_are_the_matrices_and_all_others_have_a_reason():
    artifact = models.artifact()
    names, skipped = Grid(exclude=("embedding*", "*.fc1.bias")).tensors(artifact)
    assert {*names, *skipped} == set(artifact.weights)
    assert all(len(artifact.weights[n].shape) == 2 for n in names)
    assert skipped["embedding.weight"] == skipped["encoder.0.ffn.fc1.bias"] == "left out"
    assert skipped["encoder.0.ffn.fc2.bias"] == "vector"


def test_what_is_quantized_already_is_refused_by_name():
    with pytest.raises(StageError, match="17 quantized, such as decoder"):
        Grid().tensors(models.compressed())
    with pytest.raises(StageError, match="got none"):
        Grid(targets=("*.bias",)).tensors(models.artifact())


def test_zeros_of_a_pruned_model_survive():
    pruned = apply(Prune(0.5), models.artifact(), Context())
    got = encoded(pruned, "encoder.0.ffn.fc1.weight", Setting(num_bits=3), {})
    assert isinstance(got, Sparse) and isinstance(got.values, Palette)
    before = pruned.weights["encoder.0.ffn.fc1.weight"]
    assert isinstance(before, Sparse) and isinstance(before.values, Dense)
    np.testing.assert_array_equal(got.mask, before.mask)
