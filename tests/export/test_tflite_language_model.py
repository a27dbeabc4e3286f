"""Language models as step graphs of a TFLite file: plain and adaptive vocabularies."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from litecompress import Generator, Translator
from litecompress.artifact import Artifact
from litecompress.encoding import Dense
from litecompress.errors import InputError
from litecompress.export.package import write_package
from litecompress.export.tflite import TfliteExport
from litecompress.export.tflite_plan import payload_bytes, plan_tflite
from litecompress.model.build import network
from litecompress.model.language_model import LanguageModel
from litecompress.runtime.torch_language import TorchLanguageSession
from litecompress.verify import psnr_db
from tests import models
from tests.export import tflite_reader

SIZE = {"source_vocab_size": 120, "target_vocab_size": 120, "embed_dim": 64, "ffn_dim": 48}
PLAIN = {**SIZE, "encoder_kernel_sizes": (), "decoder_kernel_sizes": (3, 0), "conv_type": "dynamic"}
ADAPTIVE = {**PLAIN, "normalize_before": True, "adaptive_cutoffs": (40, 90)}
TOKENS = np.array([[2, 5, 41, 119, 7, 95], [2, 99, 4, 39, 40, 89]])
LENGTHS = (4, 32)
CASES = {
    "plain-float32": (PLAIN, "float32", "dynamic"),
    "plain-int8": (PLAIN, "int8", "dynamic"),
    "adaptive-float32": (ADAPTIVE, "float32", "dynamic"),
    "adaptive-float16": (ADAPTIVE, "float16", "dynamic"),
    "adaptive-int8": (ADAPTIVE, "int8", "dynamic"),
    "adaptive-int8-weights": (ADAPTIVE, "int8", "float32"),
    "adaptive-int4": (ADAPTIVE, "int4", "dynamic"),
    "adaptive-int4-weights": (ADAPTIVE, "int4", "float32"),
}


def language_model(changes) -> Artifact:
    """A random one, biases and gains of norms too."""
    torch.manual_seed(0)
    config = models.config(**changes)
    weights = {}
    for name, tensor in network(config).state_dict().items():
        weights[name] = Dense((tensor + 0.02 * torch.randn_like(tensor)).numpy())
    return Artifact(config, weights, models.tokenizer().data)


class Case:
    """One package, and what it was made from."""

    def __init__(self, name, folder):
        changes, storage, activations = CASES[name]
        self.artifact, self.folder = language_model(changes), folder / name
        options = {"storage": storage, "activations": activations}
        exporter = TfliteExport(length=LENGTHS, **options)
        self.exported = write_package(exporter, self.artifact, self.folder)
        self.planned = plan_tflite(self.artifact, **options)
        weights = self.planned.decode()
        self.reference = TorchLanguageSession(
            LanguageModel.from_weights(self.artifact.config, weights)
        )
        self.rounds = storage in ("int8", "int4") and activations == "dynamic"


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    return Case(request.param, tmp_path_factory.mktemp("language"))


def decoded(session):
    """Log-probabilities (T, B, V) step by step."""
    state, rows = session.begin(len(TOKENS), TOKENS.shape[1]), []
    for step, tokens in enumerate(TOKENS.T):
        found, state = session.step(tokens, step, state)
        rows.append(found)
    return np.stack(rows)


def test_steps_give_what_the_model_gives(case):
    found = decoded(Generator.load(case.folder).session)
    expected = decoded(case.reference)
    np.testing.assert_allclose(np.exp(found).sum(-1), 1, atol=1e-4)
    if case.rounds:
        assert psnr_db(expected, found) > 40
    else:
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_every_weight_is_stored_once_and_as_planned(case):
    file = tflite_reader.File((case.folder / "model.tflite").read_bytes())
    assert case.exported.files == {"step": "model.tflite"}
    assert file.bytes_of(case.planned.weights) == sum(payload_bytes(case.planned).values())
    for name, encoding in case.planned.weights.items():
        columns = encoding.shape[-1]
        np.testing.assert_array_equal(file.value(name)[..., :columns], encoding.decode())


def test_a_package_continues_texts_as_the_model_does(case):
    if case.rounds:
        pytest.skip("rounded activations may choose another token")
    ours = Generator.load(case.folder)
    theirs = Generator(case.reference, ours.tokenizer)
    options = {"max_length": 12}
    for search in ({"beam": 3, "n_best": 2}, {}, {"seed": 2, "n_best": 2}):
        found = ours.generate(["a man rides", ""], **options, **search)
        expected = theirs.generate(["a man rides", ""], **options, **search)
        assert [f.tokens for f in found] == [f.tokens for f in expected]


def test_prompts_longer_than_the_longest_length_are_refused(case):
    with pytest.raises(InputError, match="prompt 1: expected fewer than 2 tokens"):
        Generator.load(case.folder).generate(["a man rides"], max_length=30)
    with pytest.raises(InputError, match="got a language model; use litecompress generate"):
        Translator.load(case.folder)
