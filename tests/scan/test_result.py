"""`scan.json`: what is written is read back, and nothing else is taken."""

from __future__ import annotations

import json

import pytest

from litecompress.errors import InputError
from litecompress.scan.result import Cost, Tensor, read_scan
from litecompress.scan.settings import Setting


def tensor(*costs):
    return Tensor("w", (2, 3), 24, costs)


def test_the_prediction_is_the_sum_of_both_parts():
    both = Cost(0.5, 3, 1, 0.0, 0.01)
    parts = Cost(0.5, 0, 1, 0.0, 0.01, 0.2, 0.0), Cost(0.0, 3, 1, 0.0, 0.01, 0.1, 0.0)
    assert tensor(*parts, both).predicted(Setting(0.5, 3)) == pytest.approx(0.3)
    assert tensor(*parts, both).predicted(Setting(0.5)) == 0.2


def test_the_prediction_is_never_below_the_second_order():
    gain = Cost(0.5, 0, 1, -0.3, 0.05, -0.2, 0.0)
    assert tensor(gain).predicted(Setting(0.5)) == 0.05
    assert tensor(Cost(0.5, 0, 1, -0.3, 0.05)).predicted(Setting(0.5)) == 0.05


def test_an_estimate_is_measured_if_it_can_be():
    assert Cost(0.5, 0, 1, -0.3, 0.05, -0.2, 0.0).estimate == -0.2
    assert Cost(0.5, 0, 1, -0.3, 0.05).estimate == pytest.approx(-0.25)


def test_tensors_come_in_the_order_of_the_network(scanned):
    names = [t.name for t in scanned[0].ordered]
    assert names[0] == "embedding.weight"
    layers = [name.split(".")[:2] for name in names[1:]]
    assert layers == sorted(layers, key=lambda at: (at[0] == "decoder", int(at[1])))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.clear(), "version 1, got None"),
        (lambda v: v.update(schema_version=2), "version 1, got 2"),
        (lambda v: v.update(loss=float("nan")), "loss: input should be a finite number"),
        (lambda v: v.update(extra=1), "got 'extra'"),
        (lambda v: v.pop("tensors"), "tensors"),
        (lambda v: v["tensors"][0].update(kept_bytes=-1), "tensors.0.kept_bytes"),
        (lambda v: v["tensors"][0]["costs"][0].update(coded_bytes="x"), "and 1 more|coded_bytes"),
    ],
)
def test_other_content_is_refused(scanned, tmp_path, change, message):
    values = json.loads((scanned[1] / "scan.json").read_text())
    change(values)
    (tmp_path / "scan.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match=message):
        read_scan(tmp_path)


@pytest.mark.parametrize("content", ["", "[1]", "{", "[" * 100_000, "\x00"])
def test_what_is_no_scan_is_refused(tmp_path, content):
    (tmp_path / "scan.json").write_text(content)
    with pytest.raises(InputError, match="scan again"):
        read_scan(tmp_path)


def test_no_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="got none; `litecompress scan` writes one"):
        read_scan(tmp_path / "gone.json")
