"""The gate: a verdict a line, and nothing passes unmeasured."""

from __future__ import annotations

import pytest

from litecompress.errors import RecipeError
from litecompress.gate import Gate, judge, passed


def report(**changes):
    return {
        "sizes": {"artifact_bytes": {"baseline": 1000, "compressed": 200}},
        "quality": {"delta": 0.01},
        "parity": [
            {"target": "onnx", "precision": "int8", "psnr_db": 45.0},
            {"target": "coreml", "precision": "float32", "psnr_db": None},
        ],
        "encodings": [{"target": "onnx", "quantized_byte_share": 1.0}],
        **changes,
    }


ALL = Gate(5.0, 200, 0.01, 45.0, 1.0)


def test_limits_are_inclusive():
    checks = judge(ALL, report())
    assert [c.name for c in checks] == [
        "min_ratio",
        "max_artifact_bytes",
        "max_nll_increase",
        "min_parity_db.onnx.int8",
        "min_parity_db.coreml.float32",
        "min_quantized_byte_share.onnx",
    ]
    assert passed(checks)


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        ({"sizes": {"artifact_bytes": {"baseline": 999, "compressed": 200}}}, "min_ratio"),
        ({"quality": {"delta": 0.011}}, "max_nll_increase"),
        ({"quality": {"delta": float("nan")}}, "max_nll_increase"),
        (
            {"parity": [{"target": "onnx", "precision": "int8", "psnr_db": 44.9}]},
            "min_parity_db.onnx.int8",
        ),
        (
            {"encodings": [{"target": "onnx", "quantized_byte_share": 0.9}]},
            "min_quantized_byte_share.onnx",
        ),
    ],
)
def test_each_limit_can_fail(change, failed):
    checks = judge(ALL, report(**change))
    assert [c.name for c in checks if not c.passed] == [failed]
    assert not passed(checks)


def test_what_is_left_out_is_not_checked():
    assert judge(Gate(), report()) == []


def test_a_senseless_limit_is_refused():
    with pytest.raises(RecipeError, match="min_ratio above 0"):
        Gate(min_ratio=0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_limits_are_finite(value):
    with pytest.raises(RecipeError, match=r"finite limits.*max_nll_increase"):
        Gate(max_nll_increase=value)
