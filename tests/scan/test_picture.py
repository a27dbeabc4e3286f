"""The picture is whole, says what it shows, and its colours rise with the loss."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from litecompress.scan.curve import uniform
from litecompress.scan.heat import colour, number
from litecompress.scan.options import options
from litecompress.scan.picture import picture
from litecompress.scan.result import Cost, Scan, Tensor
from litecompress.scan.settings import Setting

SVG = "{http://www.w3.org/2000/svg}"


def texts(scan: Scan) -> list[str]:
    return [e.text or "" for e in ElementTree.fromstring(picture(scan)).iter(f"{SVG}text")]


def test_every_tensor_and_setting_is_named(scanned):
    found = texts(scanned[0])
    assert {t.name.removesuffix(".weight") for t in scanned[0].tensors} <= set(found)
    assert {"0.5", "0.9", "1 bit", "2 bits", "4 bits", "pruned", "quantized"} <= set(found)
    assert any("nats a token (measured)" in line for line in found)


def test_everything_lies_within_the_picture(scanned):
    root = ElementTree.fromstring(picture(scanned[0]))
    width, height = float(root.get("width")), float(root.get("height"))
    for rect in root.iter(f"{SVG}rect"):
        assert 0 <= float(rect.get("x", 0)) <= width - float(rect.get("width"))
        assert 0 <= float(rect.get("y", 0)) <= height - float(rect.get("height"))
    for label in root.iter(f"{SVG}text"):
        assert 0 <= float(label.get("x")) <= width and 0 < float(label.get("y")) < height


def test_numbers_are_those_of_the_scan(scanned):
    root = ElementTree.fromstring(picture(scanned[0]))
    titles = [title.text for title in root.iter(f"{SVG}title")]
    tensor = scanned[0].tensors[0]
    for cost in (c for c in tensor.costs if c.loss is not None):
        expected = f"{tensor.name}, {cost.setting}: {cost.loss:+.5f} nats, {cost.coded_bytes} bytes"
        assert expected in titles


def test_estimates_are_called_so(scanned):
    tensors = tuple(
        replace(t, costs=tuple(replace(c, loss=None, stderr=None) for c in t.costs))
        for t in scanned[0].tensors
    )
    found = texts(replace(scanned[0], tensors=tensors))
    assert any("estimated by gradient and curvature, not measured" in line for line in found)


def test_names_cannot_break_out_of_the_picture(scanned):
    hostile = replace(scanned[0], model='</text><script>alert("x")</script>\x1b&')
    root = ElementTree.fromstring(picture(hostile))
    assert not list(root.iter(f"{SVG}script"))


def test_redder_is_worse_and_blue_is_better():
    def channels(loss):
        return [int(colour(loss)[i : i + 2], 16) for i in (1, 3, 5)]

    greens = [channels(loss)[1] for loss in (0.0, 0.001, 0.01, 0.1, 1.0)]
    assert greens == sorted(greens, reverse=True)
    assert channels(0.1)[0] > channels(0.1)[2]
    assert channels(-0.1)[0] < channels(-0.1)[2]


@pytest.mark.parametrize(
    ("loss", "expected"),
    [(0.0004, "0"), (-0.0651, "-.065"), (0.999, ".999"), (1.935, "1.94"), (12.34, "12.3")],
)
def test_numbers_are_short(loss, expected):
    assert number(loss) == expected


def test_dots_are_every_tensor_in_one_setting(scanned):
    dots = {label: rest for label, *rest in uniform(scanned[0])}
    assert set(dots) == {"1", "2", "4"}
    values = json.loads((scanned[1] / "scan.json").read_text())
    two = [
        c for t in values["tensors"] for c in t["costs"] if (c["sparsity"], c["num_bits"]) == (0, 2)
    ]
    assert dots["2"][0] == sum(c["coded_bytes"] for c in two)
    assert dots["2"][1] == pytest.approx(sum(max(c["loss"], c["second_order"]) for c in two))


def test_settings_that_come_to_the_same_are_one_option(scanned):
    """Too few weights for a codebook are in half precision, whatever the bits."""
    costs = tuple(Cost(0.0, bits, 24, 0.0, 0.1) for bits in (4, 6, 8))
    tensors = (Tensor("w", (4, 3), 48, costs),)
    found = options(replace(scanned[0], tensors=tensors))
    assert found == [[(Setting(), (48, 0.0)), (Setting(num_bits=4), (24, 0.1))]]
