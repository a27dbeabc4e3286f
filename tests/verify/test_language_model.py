"""Language models: likelihoods in place of decodes, and the layer that departs."""

from __future__ import annotations

import pytest
import torch

from litecompress.artifact import Artifact
from litecompress.encoding import Dense
from litecompress.errors import InputError
from litecompress.model.build import network
from litecompress.verify_job import Job
from tests import models
from tests.verify import packages


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    shape = {"encoder_kernel_sizes": (), "decoder_kernel_sizes": (3, 5), "ffn_dim": 48}
    config = models.config("dynamic", **shape)
    weights = {
        name: Dense((tensor + 0.02 * torch.randn_like(tensor)).numpy())
        for name, tensor in network(config).state_dict().items()
    }
    artifact = Artifact(config, weights, models.tokenizer().data)
    return packages.made(tmp_path_factory.mktemp("made"), artifact, storage="float32")


def verified(folder, package):
    job = Job(package, folder / "model.litec", folder / "samples.tsv", count=4, longest=16)
    return job.run(lambda message: None)


def test_perplexity_stands_for_decodes(folder):
    found = verified(folder, folder / "package")
    assert found.passed
    checks = {check.check: check for check in found.checks}
    assert set(checks) == {"structure", "logits", "forced", "perplexity", "batch"}
    figures = checks["perplexity"].figures
    assert figures["perplexity_ratio"] == pytest.approx(1, abs=1e-5)
    assert 1 < figures["perplexity"] < 1e4


def test_one_wrong_weight_is_located(folder, tmp_path):
    def change(values):
        values[5] += 1

    wrong = packages.corrupted(
        folder / "package", tmp_path / "package", "decoder.1.conv.linear1.weight", change
    )
    found = verified(folder, wrong)
    assert not found.passed
    assert (found.located.layer, found.located.place) == ("decoder.1", "decoder.1.conv.linear1")


def test_a_model_of_another_kind_is_refused(folder, tmp_path):
    other = packages.made(tmp_path, storage="float32")
    with pytest.raises(InputError, match="which is of another kind; name the right one"):
        verified(other, folder / "package")
