"""The comparison: what changed adds up to the totals' difference, and limits are kept."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litecompress.artifact_file import save_artifact
from litecompress.checkpoint import save_checkpoint
from litecompress.errors import InputError
from litecompress.sizes.account import account
from litecompress.sizes.difference import Limits, compare, difference_values
from litecompress.sizes.sheet import Part, Sheet
from litecompress.stages import Context, Quantize, apply
from tests import models

NAMES = [f"encoder.{i}.ffn.fc1.weight" for i in range(6)]


def sheet(sizes, kind="artifact", target="") -> Sheet:
    parts = tuple(Part(n, "ffn", "values", s, s, "f") for n, s in sizes.items())
    return Sheet(kind, kind, parts, {"f": sum(sizes.values())}, target)


SHEETS = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 1000), min_size=1).map(sheet)


@given(before=SHEETS, after=SHEETS)
def test_changes_add_up_and_are_sorted_by_growth(before, after):
    values = json.loads(json.dumps(difference_values(before, after, Limits()), allow_nan=False))
    growths = [change["growth"] for change in values["changes"]]
    assert growths == sorted(growths, reverse=True)
    assert sum(growths) == values["growth_bytes"] == after.total_bytes - before.total_bytes
    names = {part.name for s in (before, after) for part in s.parts}
    assert len(growths) + values["unchanged"] == len(names)
    assert 0 not in growths
    backwards = compare(after, before)
    assert sum(change.growth for change in backwards) == -values["growth_bytes"]


@given(before=SHEETS, after=SHEETS, percent=st.floats(-100, 1000), size=st.integers(-999, 999))
def test_limits_fail_only_what_grew_more(before, after, percent, size):
    growth = after.total_bytes - before.total_bytes
    gate = difference_values(before, after, Limits(percent, size))["gate"]
    verdicts = {check["name"]: check["passed"] for check in gate["checks"]}
    assert verdicts == {
        "growth_percent": 100 * growth / before.total_bytes <= percent,
        "growth_bytes": growth <= size,
    }
    assert gate["passed"] == all(verdicts.values())


def test_without_limits_nothing_fails():
    gate = difference_values(sheet({NAMES[0]: 1}), sheet({NAMES[0]: 999}), Limits())["gate"]
    assert gate == {"passed": True, "checks": []}
    for wrong in (math.nan, math.inf):
        with pytest.raises(InputError, match="finite --fail-above"):
            Limits(wrong)


def test_a_tensor_that_is_only_in_one_counts_from_nothing():
    changes = compare(sheet({"a": 5, "b": 2}), sheet({"b": 2, "c": 7}))
    assert [(c.name, c.before, c.after) for c in changes] == [("c", 0, 7), ("b", 2, 2), ("a", 5, 0)]


def test_artifacts_by_tensor(tmp_path):
    artifact = models.artifact()
    fewer = apply(Quantize(num_bits=3, targets=("encoder.*",)), artifact, Context())
    for name, model in (("a.litec", artifact), ("b.litec", fewer)):
        save_artifact(model, tmp_path / name)
    before, after = (account(tmp_path / name).sheet for name in ("a.litec", "b.litec"))
    changes = {c.name: c.growth for c in compare(before, after)}
    assert all(growth < 0 for n, growth in changes.items() if n.startswith("encoder."))
    assert all(growth == 0 for n, growth in changes.items() if n.startswith("decoder."))
    assert sum(changes.values()) == after.total_bytes - before.total_bytes


def test_a_checkpoint_and_its_artifact_by_tensor(tmp_path):
    (tmp_path / "model").mkdir()
    save_checkpoint(models.checkpoint(), tmp_path / "model")
    save_artifact(models.compressed(), tmp_path / "a.litec")
    before, after = (account(tmp_path / name).sheet for name in ("model", "a.litec"))
    values = difference_values(before, after, Limits())
    assert (values["before"]["scope"], values["after"]["scope"]) == (
        "checkpoint_bytes",
        "artifact_bytes",
    )
    changed = {change["name"]: change for change in values["changes"]}
    for name, weight in models.artifact().weights.items():
        assert changed[name]["before"] == 4 * weight.decode().size
        assert changed[name]["after"] < changed[name]["before"] or weight.decode().size < 40
    assert changed["tokenizer.json"]["growth"] < 0


@pytest.mark.parametrize(
    ("one", "other"),
    [(("package", "onnx"), ("package", "coreml")), (("package", "onnx"), ("artifact", ""))],
)
def test_what_has_nothing_in_common_is_refused(one, other):
    sides = [sheet({NAMES[0]: 1}, *side) for side in (one, other)]
    with pytest.raises(InputError, match="expected packages of one target, or artifacts"):
        compare(*sides)
    with pytest.raises(InputError, match=r"got .* and a package for onnx"):
        compare(*reversed(sides))
    assert compare(sides[0], sides[0])[0].growth == 0


def test_a_package_goes_by_file_and_tensor():
    parts = tuple(Part("w", "ffn", "values", s, s, f) for f, s in (("a", 3), ("b", 4)))
    before = Sheet("x", "package", parts, {"a": 3, "b": 4}, "coreml")
    after = Sheet("y", "package", parts[:1], {"a": 3}, "coreml")
    assert [(c.file, c.growth) for c in compare(before, after)] == [("a", 0), ("b", -4)]
