"""Quantization by rate and distortion: a file within its budget, spent where it matters."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from litecompress.artifact import Artifact
from litecompress.artifact_file import dump_artifact, parse_artifact
from litecompress.checkpoint import Checkpoint
from litecompress.corpus import ParallelText, PlainText
from litecompress.encoding import Affine, Bands, Dense
from litecompress.errors import InputError, RecipeError, StageError
from litecompress.recipe import dump_recipe, parse_recipe
from litecompress.stages import Context, Prune, RateDistortion, apply
from tests import models
from tests.corpora import parallel_text
from tests.evaluate.test_running_text import BANDS, language_model


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return parallel_text(tmp_path_factory.mktemp("text"), 2)


def made(artifact, data, **options):
    return apply(RateDistortion(data, bands=4, **options), artifact, Context())


def test_the_file_is_within_its_budget_and_uses_it(data):
    artifact = models.artifact(embed_dim=64, ffn_dim=128)
    whole = len(dump_artifact(artifact))
    for limit in (whole // 4, whole // 6):
        content = dump_artifact(made(artifact, data, max_bytes=limit))
        assert 0.9 * limit < len(content) <= limit
        assert dump_artifact(parse_artifact(content)) == content


def test_a_budget_that_cannot_be_met(data):
    with pytest.raises(StageError, match=r"max_bytes of at least about \d+, the fewest .* got 900"):
        made(models.artifact(), data, max_bytes=900)


def test_a_steeper_slope_takes_fewer_bytes_and_loses_more(data):
    artifact = models.artifact(embed_dim=64, ffn_dim=128)
    found = [made(artifact, data, slope=slope) for slope in (1e-9, 1e-8, 1e-7)]
    sizes = [len(dump_artifact(one)) for one in found]
    losses = [one.history[-1].summary["predicted_loss"] for one in found]
    assert sizes == sorted(sizes, reverse=True)
    assert losses == sorted(losses)
    assert losses[0] < losses[2]


def test_forms(data):
    artifact = models.artifact(share_embeddings=False)
    found = made(artifact, data, slope=1e-8)
    skipped = found.history[-1].summary["skipped"]
    for name, encoding in found.weights.items():
        if name in skipped:
            assert isinstance(encoding, Dense)
            assert encoding.values.dtype == np.float16
        elif name in ("source_embedding.weight", "target_embedding.weight", "output.weight"):
            assert isinstance(encoding, Bands)
            assert 2 <= len(encoding.parts) <= 4
        else:
            assert isinstance(encoding, Affine)
            assert encoding.scale.dtype == np.float16


def test_pruned_zeros_stay(data):
    pruned = apply(Prune(0.6), models.artifact(), Context())
    found = made(pruned, data, slope=1e-9)
    for name, weight in pruned.decode().items():
        assert not found.weights[name].decode()[weight == 0].any()


def test_a_language_model(tmp_path):
    network = language_model(**BANDS)
    weights = {name: w.numpy() for name, w in network.state_dict().items()}
    checkpoint = Checkpoint(network.config, weights, models.tokenizer().data)
    (tmp_path / "t.txt").write_text("\n".join(models.LINES))
    data = PlainText("text", str(tmp_path), ("t.txt",), ("t.txt",))
    artifact = Artifact.from_checkpoint(checkpoint)
    found = made(artifact, data, slope=1e-8)
    assert len(dump_artifact(found)) < len(dump_artifact(artifact)) / 2


def test_what_is_quantized_already_is_refused(data):
    with pytest.raises(StageError, match="which is quantized already; change targets"):
        made(models.compressed(), data, slope=1e-8)
    with pytest.raises(StageError, match="got none"):
        made(models.artifact(), data, slope=1e-8, exclude=("*",))


def test_text_that_is_too_long_or_missing(data, tmp_path):
    with pytest.raises(InputError, match="at most 2 tokens a line, got none"):
        made(models.artifact(max_positions=2), data, slope=1e-8)
    nowhere = ParallelText("parallel", str(tmp_path), "en", "de")
    with pytest.raises(InputError, match=r"train\.en"):
        made(models.artifact(), nowhere, slope=1e-8)


def test_options_that_cannot_be(data):
    for options in ({}, {"max_bytes": 9, "slope": 1e-8}):
        with pytest.raises(StageError, match="either max_bytes or a slope"):
            RateDistortion(data, **options)
    with pytest.raises(StageError, match=r"slope from 1e-12 to 0\.0001, got 1; .* 0 and 900"):
        RateDistortion(data, slope=1, sentences=0, bands=900)


def test_it_is_a_stage_of_recipes(data):
    stage = RateDistortion(data, max_bytes=1000, targets=("*.weight",))
    values = {"model": "m", "checks": {"samples": "s"}, "exports": []}
    entry = {"stage": "rate_distortion", "max_bytes": 1000, "targets": ["*.weight"]}
    entry["data"] = {"kind": "parallel", "folder": data.folder, "source": "en", "target": "de"}
    recipe = parse_recipe({**values, "stages": [entry]})
    assert recipe.stages == (stage,)
    assert parse_recipe(yaml.safe_load(dump_recipe(recipe))) == recipe
    with pytest.raises(RecipeError, match="max_byte"):
        parse_recipe({**values, "stages": [{**entry, "max_byte": 3}]})
