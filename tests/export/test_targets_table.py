"""The table of `docs/targets.md` is what the exporters do."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest

from litecompress.encoding import Dense
from litecompress.errors import ExportError
from litecompress.export.base import is_matrix
from litecompress.export.coreml import CoreMLExport
from litecompress.export.onnx import OnnxExport
from litecompress.export.onnx_plan import plan_onnx
from litecompress.export.tflite_plan import plan_tflite
from tests.export.one_encoding import CONFIG, ENCODINGS, artifact, one_encoding
from tests.export.targets_table import (
    BEGIN,
    END,
    PAGE,
    became,
    exported,
    planned,
    rewritten,
    written,
)

DEPLOYMENTS = ("iOS18", "iOS17")


def outcomes_by_target() -> dict[str, dict[str, str]]:
    """The first of the page's columns of each target, `native`, read from its Markdown."""
    rows = [line.strip("| ").split(" | ") for line in written().splitlines() if line[:1] == "|"]
    storages = [cell.strip("`") for cell in rows[2]]
    natives = [i for i, storage in enumerate(storages) if storage == "native"]
    targets = ("onnx", *DEPLOYMENTS, "tflite")
    return {t: {row[0]: row[i] for row in rows[3:]} for t, i in zip(targets, natives)}


def mixed(config=CONFIG):
    """Matrices that take one encoding after the other."""
    encodes = cycle(ENCODINGS.values())

    def encode(matrix):
        return next(encodes)(matrix)

    return artifact(encode, config)


def test_the_page_holds_what_the_exporters_report():
    page = PAGE.read_text()
    assert page.count(BEGIN) == page.count(END) == 1
    remedy = "an exporter changed: python -m tests.export.targets_table, and read the notes below"
    assert rewritten(page) == page, remedy


def test_writing_replaces_what_is_between_the_markers_and_nothing_else():
    before, after = f"above\n{BEGIN}\n", f"{END}\nbelow | refused |\n"
    once = rewritten(f"{before}stale\n{after}")
    assert once == f"{before}{written()}\n{after}"
    assert rewritten(before + after) == once == rewritten(once)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_native_in_the_table_is_native_by_value(encoding):
    model = one_encoding(encoding)
    for target, plan in (("onnx", plan_onnx), ("tflite", plan_tflite)):
        if outcomes_by_target()[target][encoding] == "refused":
            with pytest.raises(ExportError, match="other encodings"):
                plan(model, "native")
            continue
        for name, values in plan(model, "native").decode().items():
            np.testing.assert_array_equal(values, model.weights[name].decode())


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_strict_core_ml_refuses_what_the_table_does_not_call_native(encoding, deployment):
    strict = CoreMLExport(deployment=deployment, strict=True)
    if outcomes_by_target()[deployment][encoding] == "native":
        strict.layout(one_encoding(encoding))
        return
    with pytest.raises(ExportError, match=f"encodings that {deployment} programs carry"):
        strict.layout(one_encoding(encoding))


def test_every_outcome_among_the_matrices_counts():
    assert became(mixed(), OnnxExport("int8")) == ["native", "re-encoded"]
    assert became(artifact(Dense), OnnxExport("int8")) == ["re-encoded"]  # vectors do not


@pytest.mark.slow
@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_core_ml_exports_what_it_plans(deployment):
    model = mixed(replace(CONFIG, decoder_kernel_sizes=(3, 3)))
    assert sum(is_matrix(n, w) for n, w in model.weights.items()) > len(ENCODINGS)
    exporter = CoreMLExport(length=8, deployment=deployment)
    assert exported(model, exporter) == planned(model, exporter)
