"""The model that ships here: its size, quality and card, held in CI."""

from __future__ import annotations

import json

import pytest

from litecompress.artifact_file import dump_artifact, load_model
from litecompress.evaluate.corpus import Samples, read_samples
from litecompress.evaluate.likelihood import token_nll
from litecompress.evaluate.model import translations
from litecompress.evaluate.text_metrics import bleu
from litecompress.pipeline import compress
from litecompress.recipe import load_recipe
from litecompress.runtime.search import SearchConfig
from litecompress.runtime.torch_session import TorchSession
from litecompress.tokenizer import Tokenizer
from tests.models import ROOT
from tests.reference import SHARED

MODEL = ROOT / "models" / "multi30k-en-de"
MULTI30K = SHARED / "data" / "multi30k"
needs_corpus = pytest.mark.skipif(
    not MULTI30K.is_dir(), reason="shared/data/multi30k is not beside the checkout"
)


@pytest.fixture(scope="module")
def trained():
    return load_model(MODEL)


@pytest.fixture(scope="module")
def artifact(trained):
    return compress(trained, load_recipe(ROOT / "recipes" / "demo.yaml"), lambda _: None)


def corpus(split, tokenizer):
    sides = (
        (MULTI30K / f"{split}.{side}").read_text("utf-8").splitlines() for side in ("en", "de")
    )
    return Samples.of(*sides, tokenizer, 1024)


def test_the_artifact_is_at_most_a_fifth_of_the_float32_weights(trained, artifact):
    assert (MODEL / "model.safetensors").stat().st_size < 0.51 * trained.float32_bytes(
        embeddings=True
    )
    assert len(dump_artifact(artifact)) * 5 <= trained.float32_bytes(embeddings=True)


def test_samples_are_a_hundred_pairs_that_the_corpus_does_not_hold(trained):
    sources, references = read_samples(MODEL / "samples.tsv")
    assert len(set(sources)) == len(set(references)) == 100
    Samples.of(sources, references, Tokenizer(trained.tokenizer), 64)
    if MULTI30K.is_dir():
        lines = {line for path in MULTI30K.iterdir() for line in path.read_text().splitlines()}
        assert not lines & {*sources, *references}


def test_quality_on_the_samples(trained, artifact):
    tokenizer = Tokenizer(trained.tokenizer)
    samples = Samples.of(*read_samples(MODEL / "samples.tsv"), tokenizer, 1024)
    nll = [token_nll(TorchSession.of(a).model, samples) for a in (trained, artifact)]
    assert nll[0] < 0.7
    assert nll[1] - nll[0] < 0.05


@needs_corpus
def test_quality_on_the_validation_text(trained, artifact):
    samples = corpus("val", Tokenizer(trained.tokenizer))
    nll = [token_nll(TorchSession.of(a).model, samples) for a in (trained, artifact)]
    assert nll[0] < 1.6
    assert nll[1] - nll[0] < 0.05


def test_the_log_tells_of_every_validation():
    rows = [json.loads(r) for r in (MODEL / "train-log.jsonl").read_text().splitlines()]
    assert [r["update"] for r in rows] == [128 * i for i in range(1, len(rows) + 1)]
    assert f"{rows[-1]['update']:,}" in (MODEL / "README.md").read_text("utf-8")


@needs_corpus
@pytest.mark.slow
def test_bleu_on_test_2016(trained, artifact):
    tokenizer = Tokenizer(trained.tokenizer)
    samples = corpus("test_2016_flickr", tokenizer)
    scores = []
    for model in (trained, artifact):
        network = TorchSession.of(model).model
        hypotheses = translations(network, samples, tokenizer, SearchConfig(beam=5))
        scores.append(bleu(hypotheses, samples.references).score)
    assert scores[0] >= 40
    assert scores[1] >= scores[0] - 0.5
