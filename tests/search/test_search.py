"""A search's promises against the files that its recipes make, and against brute force."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import reduce
from itertools import product

import numpy as np
import pytest

from litecompress.artifact_file import dump_artifact, load_model
from litecompress.encoding import Dense, Palette, Sparse, sparsity
from litecompress.errors import InputError, RecipeError
from litecompress.recipe import parse_recipe
from litecompress.scan.settings import KEPT, Setting
from litecompress.search.recipe import recipe_values, stage_values
from litecompress.search.rules import Rule, choices
from litecompress.search.run import Search
from litecompress.stages import Context, apply


@pytest.fixture(scope="module")
def search(folder, scanned):
    return Search(folder / "model", scanned[0])


@pytest.fixture(scope="module")
def least(search):
    return search.within_loss(1e9).artifact_bytes


def made(folder, found):
    return reduce(lambda a, s: apply(s, a, Context()), found.stages, load_model(folder / "model"))


@pytest.mark.parametrize("factor", [1.0, 1.1, 1.3, 1.6, 9.0])
def test_the_file_keeps_within_its_bytes_and_uses_them(folder, search, least, factor):
    limit = round(factor * least)
    found = search.within_bytes(limit)
    assert len(dump_artifact(made(folder, found))) == found.artifact_bytes <= limit
    if 1 < factor < 9:
        assert found.artifact_bytes > 0.97 * limit
    predicted = found.coded_bytes + found.other_bytes
    assert predicted == pytest.approx(found.artifact_bytes, rel=0.25)  # streams are tiny here


def test_more_bytes_lose_less_and_plenty_lose_nothing(search, least):
    losses = [search.within_bytes(round(f * least)).loss for f in (1.0, 1.2, 1.5, 2.0, 20.0)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == 0
    assert set(search.within_bytes(20 * least).settings.values()) == {KEPT}


def test_the_loss_is_kept_within_and_more_loss_saves_bytes(search):
    found = [search.within_loss(limit) for limit in (0.0, 0.001, 0.01, 0.1)]
    assert all(f.loss <= limit for f, limit in zip(found, (0.0, 0.001, 0.01, 0.1)))
    sizes = [f.coded_bytes for f in found]
    assert sizes == sorted(sizes, reverse=True)
    assert all(f.bound <= f.coded_bytes for f in found)


def test_two_tensors_get_what_brute_force_gives_them(folder, scanned):
    tensors = tuple(t for t in scanned[0].tensors if t.name.startswith("encoder.0.conv.linear"))
    search = Search(folder / "model", replace(scanned[0], tensors=tensors))
    for limit in np.quantile([c.second_order for t in tensors for c in t.costs], (0.3, 0.6, 0.9)):
        found = search.within_loss(float(limit))
        sums = [np.sum(pair, axis=0) for pair in product(*search.parts)]
        assert found.coded_bytes == min(cost for cost, loss in sums if loss <= limit)


def test_every_tensor_is_in_its_setting_once(folder, search, least):
    found = search.within_bytes(round(1.3 * least))
    artifact = made(folder, found)
    assert len(set(found.settings.values())) > 2
    for name, setting in found.settings.items():
        weight = artifact.weights[name]
        values = weight.values if isinstance(weight, Sparse) else weight
        assert isinstance(weight, Sparse) == (setting.sparsity > 0)
        assert sparsity(weight) == pytest.approx(setting.sparsity, abs=0.01)
        if isinstance(values, Palette):
            assert values.num_bits == setting.num_bits
        else:
            assert isinstance(values, Dense)
    vectors = [w for w in artifact.weights.values() if len(w.shape) == 1]
    assert all(w.values.dtype == np.float16 for w in vectors)


def test_a_whole_recipe_is_one_that_run_takes(folder, search, least):
    found = search.within_bytes(round(1.3 * least))
    gate = {"max_artifact_bytes": 10}
    values = recipe_values(folder / "model", found.stages, "samples.tsv", [], gate)
    recipe = parse_recipe(values)
    assert recipe.stages == found.stages
    assert recipe.gate.max_artifact_bytes == 10
    assert all(set(v) <= {"stage", "sparsity", "num_bits", "targets"} for v in values["stages"])
    assert stage_values(found.stages) == values["stages"]


def test_too_few_bytes_say_how_many_it_takes(search, least):
    with pytest.raises(InputError, match=f"at least {least} bytes.*got {least - 1}"):
        search.within_bytes(least - 1)


def test_too_little_loss_says_how_much_it_takes(folder, scanned):
    rules = [Rule.parse("embedding.weight:bits=1")]
    search = Search(folder / "model", scanned[0], rules)
    loss = next(t for t in scanned[0].tensors if t.name == "embedding.weight")
    needed = loss.predicted(Setting(num_bits=1))
    with pytest.raises(InputError, match=re.escape(f"at least {needed:g} nats")):
        search.within_loss(needed / 2)
    with pytest.raises(InputError, match="got nan"):
        search.within_loss(float("nan"))


def test_a_scan_of_another_model_is_refused(folder, scanned):
    with pytest.raises(InputError, match="got one of another model"):
        Search(folder / "other", scanned[0])


def test_a_scan_without_tensors_of_the_model_is_refused(folder, scanned):
    strange = replace(scanned[0].tensors[0], name="strange")
    for tensors, got in (((), "got none"), ((strange,), "got one such as strange")):
        with pytest.raises(InputError, match=got):
            Search(folder / "model", replace(scanned[0], tensors=tensors))


def test_rules_are_kept(folder, scanned, least):
    rules = ["embedding.weight:bits=4", "encoder.*:sparsity=0.5", "decoder.1.*:keep"]
    search = Search(folder / "model", scanned[0], [Rule.parse(r) for r in rules[:1] + rules[2:]])
    settings = search.within_loss(1e9).settings
    assert settings["embedding.weight"] in (Setting(num_bits=4), Setting(0.9, 4), Setting(0.5, 4))
    kept = {name for name, setting in settings.items() if setting == KEPT}
    assert kept == {name for name in settings if name.startswith("decoder.1.")}
    with pytest.raises(InputError, match=r"conv\.kernel one of keep, bits=1"):
        choices(scanned[0], [Rule.parse(rules[1])])


def test_all_that_is_wrong_with_rules_is_one_error(scanned):
    rules = ["embedding*:bits=4", "*.weight:keep", "no*:keep"]
    with pytest.raises(InputError) as error:
        choices(scanned[0], [Rule.parse(rule) for rule in rules])
    assert "for the rule no*:sparsity=0,bits=0, got none" in str(error.value)
    assert "one rule for embedding.weight, got embedding*:bits=4 and *.weight" in str(error.value)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [("bits=4", InputError, "GLOB:SETTING"), ("*:x", RecipeError, "or keep, got 'x'")],
)
def test_other_rules_are_refused(text, kind, message):
    with pytest.raises(kind, match=message):
        Rule.parse(text)
