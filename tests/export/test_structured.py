"""Models that were pruned in structure, on every target."""

from __future__ import annotations

import pytest

from litecompress.backends import load_exporter
from litecompress.errors import MissingBackendError
from litecompress.runtime.open import LEVELS, open_package
from litecompress.runtime.torch_session import TorchSession
from litecompress.stages import Context, Structured, apply
from litecompress.verify import Reference, parity
from tests import models

pytest.importorskip("torch_pruning", reason="needs the extra `prune`")

LENGTH = 12
SOURCES = [(5, 9, 2), (7, 8, 11, 4, 14, 30, 31, 2)]
EXPORTS = {
    "onnx": {"storage": "float32"},
    "coreml": {"storage": "float32", "precision": "float32", "length": LENGTH},
    "tflite": {"storage": "float32", "length": LENGTH},
}


@pytest.fixture(scope="module")
def artifact():
    layers = {"encoder_kernel_sizes": (3,), "decoder_kernel_sizes": (7,)}
    whole = models.artifact("dynamic", **layers)
    return apply(Structured(share=0.5, multiple=4), whole, Context())


@pytest.mark.parametrize(
    "target", ["onnx", "coreml", pytest.param("tflite", marks=pytest.mark.slow)]
)
def test_it_runs_as_in_pytorch(artifact, target, tmp_path):
    try:
        exporter = load_exporter(target)(**EXPORTS[target])
    except MissingBackendError as error:
        pytest.skip(str(error))
    exporter(artifact, tmp_path)
    session = open_package(tmp_path, target)
    reference = Reference.of(TorchSession.of(artifact), SOURCES, LENGTH)
    row = parity(reference, session, target, LEVELS[target], "float32", greedy=True)
    assert row.max_abs_err < 1e-4
    assert row.token_agreement == row.greedy_agreement == 1
