"""Second moments of inputs, against those of what each layer is given."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from litecompress.batches import blocks
from litecompress.model.build import from_weights
from litecompress.train.calibration import calibration_examples
from litecompress.train.input_moments import input_moments
from tests import models
from tests.corpora import parallel_text
from tests.evaluate.test_running_text import BANDS, language_model


@pytest.mark.parametrize("shared", [True, False])
def test_of_every_layer_and_of_the_output_table(tmp_path, shared):
    artifact = models.artifact(share_embeddings=shared)
    examples = calibration_examples(artifact, parallel_text(tmp_path / "text", 1), 3)
    network = from_weights(artifact.config, artifact.decode())
    found = input_moments(network, examples)
    matrices = {n for n, m in network.named_modules() if isinstance(m, torch.nn.Linear)}
    table = "embedding.weight" if shared else "output.weight"
    assert set(found) == {f"{name}.weight" for name in matrices} | {table}
    features, memories = [], []
    with torch.no_grad():
        for example in examples:
            memory, bias = network.encode(torch.tensor(example.source[None]))
            previous = torch.tensor([[2, *example.target[:-1]]])
            features.append(network.decode(previous, memory, bias)[0].numpy())
            memories.append(memory[0].numpy())
    for name, x in {table: features, "decoder.0.cross_attention.key.weight": memories}.items():
        x = np.concatenate(x)
        np.testing.assert_allclose(found[name], x.T @ x / len(x), rtol=1e-4, atol=1e-5)


def test_an_adaptive_table_is_left_out(tmp_path):
    network = language_model(**BANDS)
    lines = [models.tokenizer().encode(line) for line in models.LINES]
    found = input_moments(network, blocks(np.concatenate(lines).astype(np.int32), 16))
    assert found
    assert all(moments.ndim == 2 for moments in found.values())
    assert not any(name.endswith("table.weight") for name in found)
