"""Bounds and verdicts."""

from __future__ import annotations

import json
import math

import pytest

from litecompress.verify.check import Bounds, Check


def check(figures, bounds):
    return Check("logits", "length 4", "executed", figures, bounds)


@pytest.mark.parametrize(
    ("figure", "value", "bound", "passed"),
    [
        ("psnr_db", 40.0, 40, True),
        ("psnr_db", 39.9, 40, False),
        ("psnr_db", math.inf, 40, True),
        ("max_abs_err", 1e-4, 1e-4, True),
        ("max_abs_err", math.nan, 1e-4, False),
        ("argmax_agreement", 0.994, 0.995, False),
        ("bleu_delta", -0.3, 0.2, False),
        ("bleu_delta", 0.1, 0.2, True),
        ("perplexity_ratio", 1.02, 1.01, False),
    ],
)
def test_a_bound_is_a_floor_or_a_ceiling_by_its_figure(figure, value, bound, passed):
    assert check({figure: value}, {figure: bound}).passed is passed


def test_every_bound_has_to_hold():
    figures = {"psnr_db": 50.0, "max_abs_err": 1.0}
    assert check(figures, {"psnr_db": 40, "max_abs_err": 1e-4}).passed is False


def test_without_bounds_there_is_no_verdict():
    assert check({"psnr_db": 1.0}, {}).passed is None


def test_what_is_not_finite_is_null_in_json():
    values = check({"psnr_db": math.inf, "max_abs_err": math.nan}, {}).to_dict()
    assert (values["psnr_db"], values["max_abs_err"]) == (None, None)
    json.dumps(values, allow_nan=False)


def test_defaults_go_by_precision_and_give_way_to_what_is_asked_for():
    assert Bounds.of("float32").max_abs_err == 1e-4
    assert Bounds.of("int8").max_abs_err is None
    assert (Bounds.of("int8").psnr_db, Bounds.of("int4").psnr_db) == (40, 30)
    asked = Bounds.of("int4", psnr_db=35.0, bleu_delta=None)
    assert (asked.psnr_db, asked.bleu_delta) == (35, 0.2)
    assert "argmax_agreement" not in Bounds.of("int8").logits()
    assert Bounds.of("int8", argmax_agreement=0.9).logits()["argmax_agreement"] == 0.9
    assert Bounds.of("int8").processors() == {"psnr_db": 40, "argmax_agreement": 0.995}
