"""The recipe: strict, round-trippable, all problems at once."""

from __future__ import annotations

import copy

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from litecompress.errors import RecipeError
from litecompress.gate import Gate
from litecompress.recipe import Checks, Recipe, dump_recipe, load_recipe, parse_recipe
from litecompress.stages import Prune, Quantize

VALUES = {
    "model": "models/x",
    "stages": [{"stage": "prune", "sparsity": 0.5}, {"stage": "quantize", "num_bits": 4}],
    "exports": [{"target": "onnx", "storage": "int8", "conv_branch": "custom"}],
    "checks": {"samples": "samples.tsv"},
    "gate": {"min_ratio": 5},
}


def changed(path, value):
    values = copy.deepcopy(VALUES)
    place = values
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return values


def test_values_become_stages_exporters_and_gate():
    recipe = parse_recipe(VALUES)
    assert recipe.stages == (Prune(0.5), Quantize(num_bits=4))
    assert recipe.exports[0].conv_branch == "custom"
    assert recipe.gate == Gate(min_ratio=5)
    assert recipe.checks.profiles == ("raspberry-pi-4", "raspberry-pi-5")


patterns = st.lists(st.text("abc*.", min_size=1, max_size=5), min_size=1, max_size=3).map(tuple)
stages = st.one_of(
    st.builds(
        Prune, sparsity=st.floats(0, 1, exclude_max=True), targets=patterns, exclude=patterns
    ),
    st.builds(
        Quantize,
        st.just("kmeans"),
        st.integers(1, 8),
        targets=patterns,
        exclude=patterns,
    ),
)
gates = st.builds(
    Gate,
    min_ratio=st.none() | st.floats(0.1, 100),
    max_artifact_bytes=st.none() | st.integers(0, 10**9),
    min_parity_db=st.none() | st.floats(0, 200),
)


@given(st.lists(stages, max_size=4).map(tuple), gates, st.integers(0, 2**31), st.text())
def test_parse_of_dump_is_the_same_recipe(stages, gate, seed, samples):
    exports = parse_recipe(VALUES).exports
    recipe = Recipe("m", Checks(samples), stages, exports, gate, seed)
    assert parse_recipe(yaml.safe_load(dump_recipe(recipe))) == recipe


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("sparsity",), 1, "expected a key of model.*got 'sparsity'"),
        (("stages", 0, "sparsty"), 1, r"stages\[0\].*key of sparsity.*got 'sparsty'"),
        (
            ("stages", 0, "stage"),
            "prun",
            r"stages\[0\].*stage of .*quantize, rate_distortion, recover, structured, got 'prun'",
        ),
        (("stages", 0), "prune", r"stages\[0\]: expected `stage: NAME`"),
        (("stages", 0, "sparsity"), 1.0, r"sparsity in \[0, 1\), got 1.0"),
        (("stages", 0, "sparsity"), "much", r"stages\[0\].sparsity.*number.*'much'"),
        (("stages", 1, "method"), "magic", r"stages\[1\].method.*'kmeans'.*got 'magic'"),
        (("stages",), {"a": 1}, "stages: expected a list"),
        (("exports", 0, "target"), "tensorrt", r"target of coreml, onnx, tflite, got 'tensorrt'"),
        (("exports", 0, "storage"), "int3", r"exports\[0\].storage"),
        (("exports", 0, "bits"), 3, r"exports\[0\].*got 'bits'"),
        (("gate", "min_rato"), 3, "gate.*got 'min_rato'"),
        (("checks", "sentences"), 0, "at least 1 sentence"),
        (("stages", 0, "stage"), [1], r"stages\[0\].*got '\[1\]'"),
        (("stages", 0, "sparsity"), float("nan"), r"stages\[0\].*got nan"),
        (("exports",), VALUES["exports"] * 2, "expected onnx once"),
        (("checks", "profiles"), ["cray-1"], "checks: expected a profile.*got 'cray-1'"),
        (("gate", "min_ratio"), float("nan"), "gate: expected finite limits"),
        (("model",), 3, "model: expected str, got 3"),
        (("seed",), "x", "seed: expected int"),
    ],
)
def test_wrong_keys_and_values(path, value, message):
    with pytest.raises(RecipeError, match=message):
        parse_recipe(changed(path, value))


def test_all_problems_are_named_at_once():
    values = changed(("stages", 0, "sparsity"), 7)
    values["exports"][0]["target"] = "nowhere"
    del values["checks"]
    with pytest.raises(RecipeError) as error:
        parse_recipe(values)
    for part in ("sparsity in [0, 1)", "'nowhere'", "checks: expected it"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    "text", ["- a list", "{unclosed", "", "!!python/object:os.system {}", "a: {b: 1, b: 2}"]
)
def test_files_that_are_no_recipe(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=r"recipe\.yaml: expected"):
        load_recipe(path)


def test_missing_file(tmp_path):
    with pytest.raises(RecipeError, match="no such file"):
        load_recipe(tmp_path / "none.yaml")
