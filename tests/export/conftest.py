"""Tracing a model takes most of an export's time: tests trace each config once."""

from __future__ import annotations

import pytest

import litecompress.export.onnx as onnx_export


@pytest.fixture(scope="session", autouse=True)
def traced_once():
    """Graphs of a config are traced for the first of its exports and copied for the others."""
    known, trace = {}, onnx_export.trace

    def copied(config, planned):
        if config not in known:
            known[config] = trace(config, planned)
        return {role: model.clone() for role, model in known[config].items()}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_export, "trace", copied)
        yield
