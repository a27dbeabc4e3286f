"""`litecompress evaluate` as a user holds it."""

from __future__ import annotations

import inspect
import json
import sys

import pytest
import torch

from litecompress.artifact_file import save_artifact
from litecompress.checkpoint import Checkpoint, save_checkpoint
from litecompress.cli.evaluate import _progress as progress
from litecompress.cli.evaluate import evaluate as command
from litecompress.evaluate.bootstrap import Resampling
from litecompress.evaluate.running_text import Windows
from litecompress.model.build import network
from litecompress.runtime.search import SearchConfig
from litecompress.text import read_lines
from tests import models
from tests.command import run_command

SOURCES = models.LINES * 2
REFERENCES = ["zwei Hunde", "ein Mann am Strand", "ein Hut", "Kinder im Park"] * 2
FAST = ("--beam", 2, "--max-length", 8, "--resamples", 100)


def language_model(tokenizer, seed: int = 0) -> Checkpoint:
    torch.manual_seed(seed)
    changes = {"encoder_kernel_sizes": (), "normalize_before": True}
    sizes = dict.fromkeys(("source_vocab_size", "target_vocab_size"), tokenizer.vocab_size)
    model = network(models.config("dynamic", **changes, **sizes))
    weights = {name: w.numpy() for name, w in model.state_dict().items()}
    return Checkpoint(model.config, weights, tokenizer.data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluate")
    (root / "source").write_text("\n".join(SOURCES))
    (root / "reference").write_text("\n".join(REFERENCES))
    rows = (f"x\t{s}\t{r}\n" for s, r in zip(SOURCES, REFERENCES))
    (root / "pairs.tsv").write_text("name\tlong\tshort\n" + "".join(rows))
    checkpoints = {
        "model": models.checkpoint(),
        "other": models.checkpoint(seed=1),
        "lm": language_model(models.tokenizer()),
        "lm2": language_model(models.tokenizer(), seed=1),
        "lm3": language_model(models.Tokenizer.learn(SOURCES, 60)),
    }
    for name, checkpoint in checkpoints.items():
        (root / name).mkdir()
        save_checkpoint(checkpoint, root / name)
    save_artifact(models.compressed(), root / "model.litec")
    return root


@pytest.fixture
def call(folder, monkeypatch, capsys):
    """Run the command on files of the folder: exit code, stdout, stderr."""

    def run(*arguments):
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLUMNS", "100")
        return run_command(monkeypatch, capsys, "evaluate", *arguments)

    return run


@pytest.fixture
def result(call):
    """The JSON of an evaluation that goes well, quietly."""

    def run(*arguments):
        code, out, err = call(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return run


SIDES = ("--source", "source", "--reference", "reference")
COLUMNS = ("--pairs", "pairs.tsv", "--source-column", "long", "--target-column", "short")


def test_translation_of_a_checkpoint_and_of_an_artifact(result):
    plain = result("-m", "model", *SIDES, *FAST)
    assert plain["task"] == "translation"
    assert plain["sentences"] == 8
    assert plain["search"]["beam"] == 2
    assert (plain["search"]["max_length_a"], plain["search"]["max_length_b"]) == (0, 8)
    assert list(plain["scores"]) == ["bleu", "bleu_lowercased", "chrf", "token_nll", "perplexity"]
    for row in plain["scores"].values():
        assert row["low"] <= row["high"]
        assert row["signature"]
    assert plain["bootstrap"] == {
        "resamples": 100,
        "seed": 12345,
        "confidence": 0.95,
        "unit": "sentences",
    }
    assert plain == result("-m", "model", *SIDES, *FAST)
    assert plain == result("-m", "model", *COLUMNS, *FAST)
    packed = result("-m", "model.litec", *SIDES, *FAST)["scores"]["token_nll"]["score"]
    assert packed == pytest.approx(plain["scores"]["token_nll"]["score"], abs=0.2)
    assert packed != plain["scores"]["token_nll"]["score"]


def test_baselines_are_models_and_files(result, tmp_path):
    written = tmp_path / "new" / "hypotheses"
    result("-m", "other", *SIDES, *FAST, "--hypotheses", written)
    assert len(read_lines(written)) == 8
    both = ("--against", "other", "--against", "model", "--against-file", written)
    shown = result("-m", "model", *SIDES, *FAST, *both)
    other, same, file = shown["baselines"]
    assert (other["name"], same["name"], file["name"]) == ("other", "model", str(written))
    assert all(d["delta"] == 0 and d["p_value"] == 1 for d in same["deltas"].values())
    assert set(file["deltas"]) == {"bleu", "bleu_lowercased", "chrf"}
    for name, delta in file["deltas"].items():
        assert delta == other["deltas"][name]
        expected = shown["scores"][name]["score"] - other["scores"][name]["score"]
        assert delta["delta"] == pytest.approx(expected)


def test_summarization_against_the_lead(result):
    options = ("--task", "summarization", "--lead", 3, "--limit", 5)
    shown = result("-m", "model", *COLUMNS, *FAST, *options)
    assert shown["sentences"] == 5
    assert list(shown["scores"])[:3] == ["rouge1", "rouge2", "rougel"]
    lead = shown["baselines"][0]
    assert lead["name"] == "lead: 3"
    assert set(lead["deltas"]) == {"rouge1", "rouge2", "rougel"}


def test_a_language_model_is_known_by_its_config(result, folder):
    shown = result("-m", "lm", "--text", "source", "--against", "lm2", "--against", "lm3")
    assert (shown["task"], shown["lines"]) == ("language-model", 8)
    assert (shown["window"], shown["context"]) == (512, 256)
    assert shown["bootstrap"]["unit"] == "lines"
    names = ["token_nll", "perplexity", "bits_per_character"]
    assert list(shown["scores"]) == names
    same_tokens, other_tokens = shown["baselines"]
    assert list(same_tokens["deltas"]) == names
    assert list(other_tokens["deltas"]) == ["bits_per_character"]


def test_the_table_tells_scores_settings_and_differences(call):
    code, out, err = call("-m", "model", *SIDES, *FAST, "--against", "other")
    assert (code, err) == (0, "")
    assert out.startswith("model: translation, 8 sentences, beam 2, length penalty 1")
    for part in ("BLEU, lower-cased", "chrF2", "perplexity", "Difference to other", "tok:13a"):
        assert part in out
    assert "100 resamples of sentences, seed 12345; p two-sided" in out
    code, out, _ = call("-m", "lm", "--text", "source", "--against", "lm3", "--window", 64,
                        "--context", 8, "--resamples", 100)  # fmt: skip
    assert out.startswith("lm: language-model, 8 lines, window 64, context 8")
    assert "other tokens" in out


def test_hypotheses_replace_nothing_unasked(call, tmp_path):
    path = tmp_path / "hypotheses"
    path.write_text("mine")
    options = ("-m", "model", *SIDES, *FAST, "--limit", 2, "--hypotheses")
    code, _, err = call(*options, path)
    assert code == 2
    assert "use --force" in err
    assert path.read_text() == "mine"
    assert call(*options, path, "--force")[0] == 0
    assert path.read_text() != "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["hypotheses"]
    assert "apart from the input" in call(*options, "source", "--force")[2]


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["-m", "model"], ["--source and --reference or --pairs, got none"]),
        (["-m", "model", *SIDES, "--pairs", "pairs.tsv"], ["got --pairs and --reference"]),
        (["-m", "model", "--text", "source"], ["expected the text of translation"]),
        (["-m", "lm", *SIDES], ["expected the text of language-model as --text"]),
        (["-m", "model", *SIDES, "--lead", "3"], ["--lead is for summarization"]),
        (
            ["-m", "lm", "--text", "source", "--hypotheses", "x", "--against-file", "source"],
            ["--against-file is for tasks that write text", "--hypotheses is for tasks"],
        ),
        (
            ["-m", "model", *SIDES, "--against", "lm", "--task", "translation"],
            ["expected a model for translation, got a language model: lm"],
        ),
        (["-m", "model", *SIDES, "--task", "poetry"], ["translation, summarization", "'poetry'"]),
        (
            ["-m", "model", *SIDES, "--against-file", "pairs.tsv"],
            ["expected 8 hypotheses", "got 9"],
        ),
        (["-m", "model", *SIDES, "--min-length", "9", "--max-length", "8"], ["--min-length up to"]),
        (["-m", "model", *SIDES, "--device", "tpu"], ["expected device auto, cpu", "got tpu"]),
        (["-m", "model", "--source", "source", "--reference", "pairs.tsv"], ["got 8 and 9"]),
        (["-m", "lm", "--text", "source", "--window", "2000"], ["at most 1024 tokens, got 2000"]),
        (["-m", "lm", "--text", "source", "--window", "8"], ["from 0 to below the window"]),
        (
            ["-m", "model", "--pairs", "pairs.tsv", "--task", "summarization", "--lead", "half"],
            ["'sentence' or a number of words, got 'half'"],
        ),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(call, folder, arguments, messages):
    before = sorted(p.name for p in folder.iterdir())
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    for message in messages:
        assert message in err
    assert sorted(p.name for p in folder.iterdir()) == before


def test_sentences_that_a_model_cannot_take_are_listed(call, folder, tmp_path):
    bad = tmp_path / "bad.tsv"
    bad.write_text(f"fine\tfine\n{'horse ' * 2000}\tfine\n \tfine\nfine\t\n")
    code, _, err = call("-m", "model", "--pairs", bad)
    assert code == 2
    for part in ("model: source: sentence 2: expected at most 1024", "sentence 3: expected a"):
        assert part in err
    assert "reference: sentence 4: expected a sentence" in err


@pytest.mark.parametrize("module", ["sacrebleu", "rouge_score"])
def test_a_missing_scorer_is_exit_code_3_before_anything_is_decoded(call, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delattr("litecompress.evaluate.run.translations")
    task = "translation" if module == "sacrebleu" else "summarization"
    code, _, err = call("-m", "model", *SIDES, *FAST, "--task", task)
    assert code == 3
    assert "pip install 'litecompress[eval]'" in err


def test_progress_is_on_stderr(capsys, monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    batches = [[1, 2], [3]]
    assert list(progress(shown=True)(batches, "decoding")) == batches
    out, err = capsys.readouterr()
    assert out == ""
    assert "decoding" in err
    assert progress(shown=False)(batches, "decoding") is batches


def test_the_defaults_of_the_options_are_those_of_the_code():
    given = {n: p.default for n, p in inspect.signature(command).parameters.items()}
    assert Resampling(given["resamples"], given["seed"]) == Resampling()
    assert Windows(given["window"], given["context"]) == Windows()
    names = ("beam", "length_penalty", "no_repeat_ngram", "min_length")
    assert SearchConfig(**{n: given[n] for n in names}) == SearchConfig()
