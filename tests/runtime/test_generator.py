"""Language models continue texts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from litecompress import Generator, Translator
from litecompress.artifact import Artifact
from litecompress.checkpoint import Checkpoint, save_checkpoint
from litecompress.errors import InputError
from litecompress.export.onnx import OnnxExport
from litecompress.export.package import write_package
from litecompress.model.config import EOS_ID, PAD_ID
from litecompress.model.language_model import LanguageModel
from tests import models

PROMPTS = ["a man rides", "", "two dogs run through the"]
CONFIG = {
    "embed_dim": 16,
    "ffn_dim": 16,
    "encoder_kernel_sizes": (),
    "decoder_kernel_sizes": (3,),
    "normalize_before": True,
    "adaptive_cutoffs": (40, 90),
    "max_positions": 48,
}


@pytest.fixture(scope="module")
def checkpoint():
    torch.manual_seed(0)
    model = LanguageModel(models.config("dynamic", **CONFIG))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    weights = {name: w.numpy() for name, w in model.state_dict().items()}
    return Checkpoint(model.config, weights, models.tokenizer().data)


@pytest.fixture(scope="module")
def folder(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("language-model")
    save_checkpoint(checkpoint, folder)
    return folder


@pytest.fixture(scope="module")
def generator(folder):
    return Generator.load(folder)


def argmax_continuation(checkpoint, ids, most):
    """The same by reading everything again at every step."""
    model = LanguageModel.from_weights(checkpoint.config, checkpoint.weights)
    tokens, total = list(ids), 0.0
    for step in range(most):
        with torch.inference_mode():
            log_probs = model(torch.tensor([tokens]))[0, -1]
        allowed = log_probs.clone()
        allowed[PAD_ID] = -torch.inf
        if step == 0:
            allowed[EOS_ID] = -torch.inf
        tokens.append(int(allowed.argmax()))
        total += float(log_probs[tokens[-1]])
        if tokens[-1] == EOS_ID:
            break
    return tuple(tokens[len(ids) :]), total


@pytest.mark.parametrize("prompt", PROMPTS)
def test_greedy_is_the_likeliest_token_each_time(generator, checkpoint, prompt):
    (found,) = generator.generate([prompt], max_length=9)
    ids = [EOS_ID, *(generator.tokenizer.encode(prompt)[:-1] if prompt else [])]
    expected, total = argmax_continuation(checkpoint, ids, 9)
    assert found.tokens == expected
    assert found.score == pytest.approx(total / len(expected), abs=1e-4)
    assert found.text == generator.tokenizer.decode([*ids, *expected])
    assert found.prompt == prompt
    assert found.text.startswith(prompt)


def test_beam_search_finds_no_worse_than_greedy(generator):
    options = {"max_length": 6, "length_penalty": 0.0}
    greedy = generator.generate(PROMPTS, **options)
    beams = generator.generate(PROMPTS, beam=4, n_best=4, **options)
    for one, many in zip(greedy, beams):
        scores = [c.score for c in many.n_best]
        assert scores == sorted(scores, reverse=True)
        assert many.score >= one.score - 1e-4
        assert len({c.tokens for c in many.n_best}) == 4


def test_the_prompt_counts_as_text_that_is_not_repeated(generator):
    prompt = "a man a man a"
    ids = [EOS_ID, *generator.tokenizer.encode(prompt)[:-1]]
    (found,) = generator.generate([prompt], max_length=20, no_repeat_ngram=2)
    pairs = list(zip([*ids, *found.tokens], [*ids, *found.tokens][1:]))
    new = pairs[len(ids) - 1 :]
    assert len(set(new)) == len(new)
    assert not set(new) & set(pairs[: len(ids) - 1])


def test_samples_repeat_by_seed_and_are_in_the_order_drawn(generator):
    draw = {"temperature": 1.5, "top_k": 20, "max_length": 8}
    found = generator.generate(PROMPTS, n_best=3, seed=5, **draw)
    assert found == generator.generate(PROMPTS, n_best=3, seed=5, **draw)
    assert found != generator.generate(PROMPTS, n_best=3, seed=6, **draw)
    again = [generator.generate([p], seed=5, first=i, **draw)[0] for i, p in enumerate(PROMPTS, 1)]
    assert [f.tokens for f in found] == [f.tokens for f in again]
    assert all(f.tokens == f.n_best[0].tokens for f in found)
    assert len({c.tokens for f in found for c in f.n_best}) > 3


def test_prompts_without_room_are_named(generator):
    long = "a man rides a horse " * 9
    with pytest.raises(InputError, match=r"prompt 2: expected fewer than 40 tokens, so that 8"):
        generator.generate(["a", long], max_length=8)
    with pytest.raises(InputError, match="prompt 8: expected UTF-8"):
        generator.generate(["caf\udce9"], first=8)


def test_a_package_gives_what_the_checkpoint_gives(generator, checkpoint, tmp_path):
    write_package(OnnxExport("float32"), Artifact.from_checkpoint(checkpoint), tmp_path / "p")
    package = Generator.load(tmp_path / "p", threads=1)
    for options in ({"beam": 3, "n_best": 2}, {}, {"seed": 2, "n_best": 2}):
        ours = package.generate(PROMPTS, max_length=20, **options)
        theirs = generator.generate(PROMPTS, max_length=20, **options)
        assert [f.tokens for f in ours] == [f.tokens for f in theirs]
        np.testing.assert_allclose(
            [f.score for f in ours], [f.score for f in theirs], rtol=0, atol=1e-4
        )
    with pytest.raises(InputError, match="got a language model; use litecompress generate"):
        Translator.load(tmp_path / "p")


def test_the_wrong_kind_of_model_is_refused(folder):
    with pytest.raises(InputError, match="got a language model; use litecompress generate"):
        Translator.load(folder)
    with pytest.raises(InputError, match=r"got a translation .*; use litecompress translate"):
        Generator.load(models.ROOT / "docs" / "trace" / "model")
    with pytest.raises(InputError, match=r"got a translation .*; use litecompress translate"):
        Generator.load(models.ROOT / "docs" / "trace" / "onnx")
