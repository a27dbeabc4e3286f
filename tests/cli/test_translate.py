"""`translate`, `summarize` and `generate` as a user holds them."""

from __future__ import annotations

import io
import json
import lzma
import shutil
import subprocess
import sys
from itertools import pairwise

import pytest

from litecompress import Translator
from litecompress.runtime.ort import OnnxSession
from tests import models
from tests.command import least_seconds, run_command
from tests.runtime import trace

PACKAGE = trace.FOLDER / "onnx"
TEXTS = [source for source, _ in trace.PAIRS[:5]]


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the command line in this process: exit code, stdout, stderr."""

    def run(*arguments, stdin=None):
        if stdin is not None:
            stream = io.TextIOWrapper(io.BytesIO(stdin), "utf-8")
            monkeypatch.setattr(sys, "stdin", stream)
        return run_command(monkeypatch, capsys, *arguments)

    return run


@pytest.fixture(scope="module")
def expected():
    return [found.text for found in Translator.load(PACKAGE).translate(TEXTS)]


def test_texts_come_by_argument_file_or_stdin(call, expected, tmp_path):
    lines = "".join(f"{text}\n" for text in TEXTS)
    (tmp_path / "in.txt").write_text(lines)
    (tmp_path / "in.txt.xz").write_bytes(lzma.compress(lines.encode()))
    answer = (0, "".join(f"{text}\n" for text in expected), "")
    assert call("translate", PACKAGE, *TEXTS) == answer
    assert call("translate", "-m", PACKAGE, *TEXTS) == answer
    assert call("translate", PACKAGE, stdin=lines.encode()) == answer
    assert call("translate", PACKAGE, stdin=lines.replace("\n", "\r\n").encode()[:-2]) == answer
    assert call("translate", PACKAGE, "--input", tmp_path / "in.txt", "--batch-size", 2) == answer
    assert call("translate", "-m", PACKAGE, "-i", tmp_path / "in.txt.xz") == answer


def test_empty_lines_stay_in_place(call, expected):
    code, out, _ = call("translate", PACKAGE, stdin=f"\n{TEXTS[0]}\n \n\n{TEXTS[1]}\n".encode())
    assert code == 0
    assert out.split("\n") == ["", expected[0], "", "", expected[1], ""]


def test_json_is_one_object_a_line(call):
    options = ["--json", "--beam", 3, "--n-best", 2]
    code, out, _ = call("translate", PACKAGE, *options, stdin=f"{TEXTS[0]}\n\n".encode())
    first, empty = map(json.loads, out.splitlines())
    (found,) = Translator.load(PACKAGE).translate(TEXTS[:1], beam=3, n_best=2)
    assert code == 0
    assert first["text"] == found.text
    assert first["score"] == pytest.approx(found.score)
    assert tuple(first["tokens"]) == found.tokens
    assert [c["text"] for c in first["n_best"]] == [c.text for c in found.n_best]
    assert first["pieces"] == 1
    assert empty == {"text": "", "score": 0.0, "tokens": [], "n_best": [], "pieces": 0}


def test_n_best_has_number_and_score(call):
    code, out, _ = call("translate", PACKAGE, *TEXTS[:2], "--beam", 3, "--n-best", 3)
    rows = [line.split("\t") for line in out.splitlines()]
    assert code == 0
    assert [row[0] for row in rows] == ["1"] * 3 + ["2"] * 3
    scores = [float(row[1]) for row in rows]
    assert scores[:3] == sorted(scores[:3], reverse=True)
    assert len({row[2] for row in rows[:3]}) == 3


def test_the_search_is_what_the_options_say(call):
    def tokens(*options):
        code, out, _ = call("translate", PACKAGE, "--json", TEXTS[4], *options)
        assert code == 0
        return json.loads(out)["tokens"]

    plain = tokens()
    assert len(tokens("--max-length", 3)) == 4
    assert len(tokens("--min-length", 20, "--max-length", 22)) > 20
    repeated = tokens("--min-length", 30, "--max-length", 30, "--beam", 1)
    assert len(set(repeated)) < len(repeated)
    unique = tokens("--min-length", 30, "--max-length", 30, "--no-repeat-ngram", 2, "--beam", 1)
    pairs = list(pairwise(unique))
    assert len(set(pairs)) == len(pairs)
    assert plain == tokens("--threads", 2)
    assert tokens("--max-source", 2) != plain


def test_summarize_has_limits_of_its_own(call):
    code, out, _ = call("summarize", PACKAGE, "--json", TEXTS[4])
    ours = json.loads(out)
    (theirs,) = Translator.load(PACKAGE).translate(
        TEXTS[4:5], beam=4, no_repeat_ngram=3, max_length=140
    )
    assert code == 0
    assert (ours["text"], tuple(ours["tokens"])) == (theirs.text, theirs.tokens)
    code, out, _ = call("summarize", PACKAGE, "--max-length", 2, "--json", TEXTS[4])
    assert len(json.loads(out)["tokens"]) == 3


def test_a_sentence_that_the_model_has_no_room_for_is_refused_or_split(call, monkeypatch):
    monkeypatch.setattr(OnnxSession, "max_source", 20)
    long = "a woman reads on the beach . the child runs in the park ."
    code, out, err = call("translate", PACKAGE, TEXTS[0], long)
    assert (code, out) == (2, "")
    assert "sentence 2: expected at most 20 tokens, got 2" in err
    assert "overlong: split" in err
    code, out, _ = call("translate", PACKAGE, "--overlong", "split", TEXTS[0], long)
    assert code == 0
    assert out.splitlines()[1] == "eine Frau liest am Strand . das Kind läuft im Park ."
    code, out, _ = call("translate", PACKAGE, "--overlong", "split", "--json", long)
    assert json.loads(out)["pieces"] == 2


def test_an_artifact_is_translated_as_its_package(call, expected):
    answer = (0, "".join(f"{text}\n" for text in expected[:2]), "")
    assert call("translate", trace.FOLDER / "model", *TEXTS[:2]) == answer


@pytest.mark.slow
@pytest.mark.parametrize("target", ["tflite", "coreml"])
def test_every_target_finds_the_same(call, expected, tmp_path, target):
    options = ["--storage", "float32", "--length", "20"]
    model = trace.FOLDER / "model"
    assert call("export", "-m", model, "-o", tmp_path / "p", "-t", target, *options)[0] == 0
    answer = (0, "".join(f"{text}\n" for text in expected), "")
    assert call("translate", tmp_path / "p", *TEXTS) == answer
    long = " ".join(TEXTS)
    code, _, err = call("translate", tmp_path / "p", long)
    assert (code, "expected at most 20 tokens" in err) == (2, True)
    code, out, _ = call("translate", tmp_path / "p", "--overlong", "split", long)
    assert (code, out) == (0, " ".join(expected) + "\n")


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        ([], None, "expected a model, got none"),
        (["{package}"], b"", "got none"),
        (["{package}", "x", "--input", "{file}"], None, "by --input, got both"),
        (["{package}", "--input", "{gone}"], None, "expected a text file"),
        (["{package}", "--input", "{latin}"], None, "continuation byte in line 2; convert it"),
        (["{package}"], b"a man .\nStra\xdfe\n", "stdin: expected UTF-8 text"),
        (["{package}", " "], None, "sentence 1: expected a sentence"),
        (["{package}", "fine", "horse " * 2000], None, "sentence 2: expected at most 1024 tokens"),
        (["{package}", "x", "--beam", "2", "--n-best", "3"], None, "n_best of at most the beam, 2"),
        (["{package}", "x", "--overlong", "drop"], None, "overlong refuse or split, got 'drop'"),
        (["{gone}", "x"], None, "no such file"),
        (["{broken}", "x"], None, "files missing or changed: weights.bin"),
        (["{language}", "x"], None, "got a language model; use litecompress generate"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    call, tmp_path, language_model, arguments, stdin, message
):
    shutil.copytree(PACKAGE, tmp_path / "broken")
    (tmp_path / "broken" / "weights.bin").write_bytes(b"changed")
    (tmp_path / "latin").write_bytes(b"a man .\nStra\xdfe\n")
    (tmp_path / "file").write_text("a man .\n")
    names = {"package": PACKAGE, "language": language_model}
    names |= {n: tmp_path / n for n in ("gone", "broken", "latin", "file")}
    code, _, err = call("translate", *(a.format(**names) for a in arguments), stdin=stdin)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1


def test_lines_before_a_bad_one_are_answered(call, expected):
    code, out, err = call("translate", PACKAGE, stdin=f"{TEXTS[0]}\n".encode() + b"\xff\n")
    assert (code, out) == (2, f"{expected[0]}\n")
    assert "in line 2" in err


def test_a_runtime_that_is_not_installed_is_exit_code_3(call, monkeypatch):
    for name in ("ort", "ort_buffers"):
        monkeypatch.delitem(sys.modules, f"litecompress.runtime.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    code, _, err = call("translate", PACKAGE, "x")
    assert code == 3
    assert "pip install 'litecompress[runtime]'" in err


def test_a_pipe_is_answered_line_by_line(expected):
    command = [sys.executable, "-m", "litecompress", "translate", str(PACKAGE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        for text, answer in zip(TEXTS[:3], expected):
            process.stdin.write(f"{text}\n".encode())
            process.stdin.flush()
            assert process.stdout.readline().decode() == f"{answer}\n"  # before the next is sent
        process.stdin.close()
        assert process.wait(timeout=60) == 0


def test_a_reader_that_leaves_is_no_error():
    script = f"yes 'a man runs .' | {sys.executable} -m litecompress translate {PACKAGE} | head -2"
    done = subprocess.run(script, shell=True, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 2
    assert "rror" not in done.stderr


def test_a_package_needs_neither_torch_nor_the_compression_to_run():
    script = (
        "import sys\nfrom litecompress.cli import main\n"
        f"sys.argv = ['litecompress', 'translate', {str(PACKAGE)!r}, 'a man runs .']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted(sys.modules))"
    )
    printed, seconds = least_seconds(script)
    text, loaded = printed.splitlines()
    unwanted = ("torch", "transformers", "onnx", "zstandard", "yaml", "rich")
    unwanted += ("litecompress.stages", "litecompress.recipe", "litecompress.artifact_file")
    assert text == "ein Mann läuft ."
    assert [name for name in unwanted if f"'{name}'" in loaded] == []
    assert seconds < 2


@pytest.fixture(scope="module")
def language_model(tmp_path_factory):
    import torch

    from litecompress.checkpoint import Checkpoint, save_checkpoint
    from litecompress.model.language_model import LanguageModel

    torch.manual_seed(1)
    config = models.config(
        "dynamic", embed_dim=16, ffn_dim=16, encoder_kernel_sizes=(), decoder_kernel_sizes=(3,)
    )
    weights = {n: w.numpy() for n, w in LanguageModel(config).state_dict().items()}
    folder = tmp_path_factory.mktemp("language-model")
    save_checkpoint(Checkpoint(config, weights, models.tokenizer().data), folder)
    return folder


def test_generate_continues_prompts(call, language_model):
    code, out, _ = call("generate", language_model, "a man", "--max-length", 6)
    assert code == 0
    assert out.startswith("a man")
    code, out, _ = call(
        "generate", "-m", language_model, "--json", "--max-length", 6, stdin=b"a man\n\n"
    )
    first, second = map(json.loads, out.splitlines())
    assert first.keys() == {"prompt", "text", "score", "tokens", "n_best"}
    assert (first["prompt"], second["prompt"]) == ("a man", "")
    assert len(first["tokens"]) <= 6


def test_generate_draws_by_seed(call, language_model):
    def drawn(*options):
        command = ["generate", language_model, "a man", "--max-length", 8, "--json"]
        code, out, _ = call(*command, *options)
        assert code == 0
        return json.loads(out)

    assert drawn("--temperature", 2, "--seed", 4) == drawn("--temperature", 2, "--seed", 4)
    assert drawn("--temperature", 2, "--seed", 4) != drawn("--temperature", 2, "--seed", 5)
    assert drawn("--seed", 0, "--top-k", 1)["tokens"] == drawn()["tokens"]
    assert len(drawn("--temperature", 2, "--n-best", 4)["n_best"]) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--beam", "2", "--seed", "1"], "beam 1 where tokens are drawn, got 2"),
        (["--temperature", "0"], "a temperature above 0"),
        (["--n-best", "2"], "n_best of at most the beam"),
        (["--max-length", "1024"], "prompt 1: expected fewer than 0 tokens"),
    ],
)
def test_generate_refuses_what_makes_no_sense(call, language_model, options, message):
    code, out, err = call("generate", language_model, "a man", *options)
    assert (code, out) == (2, "")
    assert message in err
    assert call("generate", PACKAGE, "a man")[0] == 2
