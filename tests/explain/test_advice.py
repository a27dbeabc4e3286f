"""Sentences of advice: said where they hold, with the share of time that they are about."""

from __future__ import annotations

from dataclasses import replace

import pytest

from litecompress.explain.advice import advice
from litecompress.explain.finding import Operator

REST = Operator("decoder", "r", "Softmax", "decoder.0", "attention", "other", runs=1, time_us=60.0)
FLOATS = Operator(
    *("decoder", "m", "MatMul", "decoder.0", "ffn", "float32"),
    weights=("decoder.0.ffn.fc1.weight",),
    runs=1,
    time_us=40.0,
)


@pytest.mark.parametrize(
    ("changes", "beginning", "remedy"),
    [
        ({"densified": True}, "40% of the time is in float32 products of 1", "--storage int8"),
        ({}, "40% of the time is in float32 products of 1 weights held as", "--storage int8"),
        (
            {"arithmetic": "int8", "kernel": "MatMulInteger"},
            "40% of the time is in integer products that are not fused",
            "export again",
        ),
        (
            {"arithmetic": "int8", "component": "output"},
            "40% of the time is in the output projection",
            "shortlist",
        ),
        (
            {"arithmetic": "quantizing", "weights": ()},
            "40% of the time is in finding the range of activations",
            "per_block",
        ),
        (
            {"arithmetic": "other", "fallback": True},
            "40% of the time is in nodes that stand in for the custom convolution",
            "no kernel of that name",
        ),
    ],
)
def test_a_finding_has_its_share_and_a_remedy(changes, beginning, remedy):
    (found,) = advice([REST, replace(FLOATS, **changes)])
    assert found.startswith(beginning)
    assert remedy in found


def test_palettes_and_plain_floats_are_told_apart():
    palettes = replace(FLOATS, densified=True, time_us=100.0, weights=("a.weight", "b.weight"))
    first, second = advice([REST, FLOATS, palettes])
    assert first.startswith("50% of the time is in float32 products of 2 weights that the file")
    assert "they make the package smaller, not faster" in first
    assert second.startswith("20% of the time is in float32 products of 1 weights held as floats")


def test_little_time_is_no_finding():
    assert advice([REST, replace(FLOATS, time_us=1.0)]) == []


def test_without_times_products_are_counted():
    untimed = replace(FLOATS, time_us=None)
    plain, outside = advice([untimed, replace(untimed, arithmetic="int8", delegated=False)])
    assert plain.startswith("1 products hold their weights as floats")
    assert outside == "1 products (MatMul) are not taken by XNNPACK and run the slower way"
