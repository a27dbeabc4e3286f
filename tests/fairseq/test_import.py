"""`import fairseq` from files to a folder that translates, and all that cannot become one."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from litecompress.artifact import Artifact
from litecompress.artifact_file import load_artifact, load_model, save_artifact
from litecompress.checkpoint import load_checkpoint, save_checkpoint
from litecompress.errors import CheckpointError, InputError
from litecompress.export.base import Exported
from litecompress.export.package import package_tokenizers, read_manifest, write_package
from litecompress.runtime.open import open_model
from litecompress.runtime.search import SearchConfig, translate
from litecompress.runtime.torch_session import TorchSession
from litecompress.stages import Context, Prune, apply
from tests import reference
from tests.command import run_command
from tests.fairseq import subword_nmt
from tests.fairseq.checkpoints import (
    VOCABULARY,
    arguments,
    assert_same,
    config,
    dictionary,
    theirs,
    weights,
    write,
)

LINES = ["the man sees the dog .", "the dogs see a man , a dog and a cat ."] * 3


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the command line in this process: exit code, stdout, stderr."""

    def run(*words):
        return run_command(monkeypatch, capsys, *words)

    return run


@pytest.fixture
def inputs(tmp_path):
    """A checkpoint with two vocabularies, and their dictionaries."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    return {
        "checkpoint": write(folder / "checkpoint.pt", theirs(weights(config()))),
        "--source-dict": dictionary(folder / "dict.src.txt", VOCABULARY, "s"),
        "--target-dict": dictionary(folder / "dict.tgt.txt", VOCABULARY - 4, "t"),
    }


def words(inputs):
    paths = (
        [inputs["checkpoint"]]
        if not isinstance(inputs["checkpoint"], list)
        else inputs["checkpoint"]
    )
    return [*paths, *(w for k, v in inputs.items() if k != "checkpoint" for w in (k, v))]


def test_two_dictionaries_give_two_tokenizers(call, inputs, tmp_path):
    folder = tmp_path / "ours"
    code, out, _ = call("import", "fairseq", *words(inputs), "-o", folder, "--json")
    assert code == 0
    summary = json.loads(out)
    assert (summary["tokenizers"], summary["checkpoints"]) == (2, 1)
    assert (summary["source_vocab_size"], summary["target_vocab_size"]) == (24, 20)
    loaded = load_checkpoint(folder)
    assert_same(loaded.weights, weights(config()))
    assert loaded.config == config()
    names = {p.name for p in folder.iterdir()}
    assert names == {"config.json", "model.safetensors", "tokenizer.json", "target_tokenizer.json"}
    tokenizers = load_model(folder).tokenizers()
    assert tokenizers.source.encode("s0 s19 t0") == [4, 23, 3, 2]
    assert tokenizers.target.encode("t0 t15 s0") == [4, 19, 3, 2]
    code, out, _ = call("translate", "-m", folder, "s1 s2 s3")
    assert code == 0
    session = TorchSession.of(load_model(folder))
    best = translate(session, [[5, 6, 7, 2]], SearchConfig(beam=5))[0].tokens
    assert out.split() == [f"t{i - 4}" for i in best if i > 3]


def test_one_dictionary_for_one_table_and_an_existing_output(call, tmp_path):
    shared = config(share_embeddings=True, target_vocab_size=VOCABULARY)
    args = arguments(share_all_embeddings=True)
    files = [write(tmp_path / f"{i}.pt", theirs(weights(shared, i)), args) for i in range(2)]
    path, folder = dictionary(tmp_path / "dict.txt", VOCABULARY), tmp_path / "ours"
    for options in (["--source-dict", path], ["--target-dict", path]):
        code, out, _ = call("import", "fairseq", *files, *options, "-o", folder)
        assert code == 0
        assert "1 tokenizer(s)" in out
        assert not (folder / "target_tokenizer.json").exists()
        found = load_checkpoint(folder).weights["encoder.0.ffn.fc1.weight"]
        both = [weights(shared, i)["encoder.0.ffn.fc1.weight"].double() for i in range(2)]
        np.testing.assert_array_equal(found, (sum(both) / 2).float().numpy())
        before = sorted((p.name, p.read_bytes()) for p in folder.iterdir())
        code, _, err = call("import", "fairseq", *files, *options, "-o", folder)
        assert code == 2
        assert "got an existing one" in err
        assert sorted((p.name, p.read_bytes()) for p in folder.iterdir()) == before
        for file in folder.iterdir():
            file.unlink()


def test_raw_text_through_a_model_with_codes(call, tmp_path):
    learnt = subword_nmt.learn(LINES, 12)
    ranks = {pair: i for i, pair in enumerate(learnt)}
    codes = tmp_path / "codes"
    codes.write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in learnt))
    pieces = sorted({p for line in LINES for p in subword_nmt.apply(line, ranks)})
    path, rows = tmp_path / "dict.txt", len(pieces) + 4
    path.write_text("".join(f"{p} 1\n" for p in pieces))
    shared = config(share_embeddings=True, source_vocab_size=rows, target_vocab_size=rows)
    args = arguments(share_all_embeddings=True)
    file = write(tmp_path / "x.pt", theirs(weights(shared)), args)
    options = ["--source-dict", path, "--bpe-codes", codes, "--lowercase"]
    assert call("import", "fairseq", file, *options, "-o", tmp_path / "ours")[0] == 0
    session, tokenizers = open_model(tmp_path / "ours")
    ids = [4 + pieces.index(p) for p in subword_nmt.apply("the dog , a man .", ranks)]
    assert tokenizers.source.encode("The dog, a man.") == [*ids, 2]
    code, out, _ = call("translate", "-m", tmp_path / "ours", "The dog, a man.")
    assert code == 0
    best = translate(session, [[*ids, 2]], SearchConfig(beam=5))[0].tokens
    assert out.strip() == tokenizers.target.decode(best)


@reference.needs_reference
@pytest.mark.parametrize("name", [*reference.MODELS, reference.LANGUAGE_MODEL])
def test_the_references_become_folders(call, tmp_path, name):
    folder = reference.REFERENCE / name
    sides = {"--source-dict": "dict.src.txt", "--target-dict": "dict.tgt.txt"}
    if name == reference.LANGUAGE_MODEL:
        sides = {"--source-dict": "dict.txt"}
    options = [w for option, file in sides.items() for w in (option, folder / file)]
    path = tmp_path / "ours"
    code, out, err = call("import", "fairseq", folder / "checkpoint.pt", *options, "-o", path)
    assert (code, err) == (0, "")
    assert ("2 tokenizer(s)" in out) == (name == "tiny_iwslt32")
    loaded, expected = load_checkpoint(path), reference.converted(name)
    assert loaded.config == expected.config
    assert loaded.config.conv_padding == "leaky"
    for weight, values in expected.weights.items():
        np.testing.assert_array_equal(loaded.weights[weight], values)
    load_model(path)


@pytest.fixture
def imported(inputs, tmp_path):
    from litecompress.fairseq.job import ImportJob

    files = inputs["--source-dict"], inputs["--target-dict"]
    return ImportJob((inputs["checkpoint"],), *files).run()


def test_artifacts_and_stages_keep_both_tokenizers(imported, tmp_path):
    artifact = apply(Prune(0.5), Artifact.from_checkpoint(imported), Context())
    save_artifact(artifact, tmp_path / "x.litec")
    loaded = load_artifact(tmp_path / "x.litec")
    assert loaded.tokenizer == imported.tokenizer
    assert loaded.target_tokenizer == imported.target_tokenizer is not None
    assert loaded.tokenizers().target.encode("t0") == [4, 2]


def test_a_folder_written_again_has_no_stale_tokenizer(imported, tmp_path):
    save_checkpoint(imported, tmp_path)
    assert load_checkpoint(tmp_path).target_tokenizer == imported.target_tokenizer
    save_checkpoint(replace(imported, target_tokenizer=None), tmp_path)
    assert load_checkpoint(tmp_path).target_tokenizer is None


def test_a_tokenizer_of_another_model(imported, tmp_path):
    swapped = replace(imported, target_tokenizer=imported.tokenizer)
    save_checkpoint(swapped, tmp_path)
    with pytest.raises(CheckpointError, match="a tokenizer of at most 20 ids, got 24"):
        load_model(tmp_path)


@dataclass(frozen=True)
class FakeExport:
    """Writes one file."""

    target: ClassVar[str] = "onnx"

    def __call__(self, artifact, folder):
        (folder / "model.bin").write_bytes(b"weights")
        return Exported("onnx", folder, {"model": "model.bin"}, {}, (), (), (), (), None, 0.0)


def test_the_manifest_covers_both_tokenizers(imported, tmp_path):
    own = replace(imported, target_tokenizer=None)
    for checkpoint, name in ((imported, "two"), (own, "one")):
        write_package(FakeExport(), Artifact.from_checkpoint(checkpoint), tmp_path / name)
        found = package_tokenizers(tmp_path / name, read_manifest(tmp_path / name))
        assert found == (checkpoint.tokenizer, checkpoint.target_tokenizer)
    foreign = tmp_path / "one" / "target_tokenizer.json"
    foreign.write_bytes(imported.target_tokenizer)  # not in the manifest
    assert package_tokenizers(tmp_path / "one", read_manifest(tmp_path / "one"))[1] is None
    (tmp_path / "two" / "target_tokenizer.json").write_bytes(b"{}")
    with pytest.raises(InputError, match=r"missing or changed: target_tokenizer\.json"):
        read_manifest(tmp_path / "two")


@pytest.mark.slow
def test_a_package_translates_with_both_tokenizers(call, imported, tmp_path):
    model, package = tmp_path / "model", tmp_path / "package"
    model.mkdir()
    save_checkpoint(imported, model)
    assert call("export", "-m", model, "-t", "onnx", "-o", package)[0] == 0
    files = json.loads((package / "manifest.json").read_text())["files"]
    assert "target_tokenizer.json" in files
    ours = call("translate", "-m", model, "s1 s2 s3", "s4")
    assert call("translate", "-m", package, "s1 s2 s3", "s4") == ours
    samples = tmp_path / "samples.txt"
    samples.write_text("s1 s2 s3\ns5\n")
    assert call("verify", package, "-m", model, "--samples", samples, "--longest", 32)[0] == 0
    other = tmp_path / "other"
    other.mkdir()
    save_checkpoint(replace(imported, target_tokenizer=imported.target_tokenizer + b" "), other)
    code, _, err = call("verify", package, "-m", other, "--samples", samples)
    assert code == 2
    assert "with another tokenizer" in err


def broken(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    return path


BAD = {
    "no dictionary": (
        lambda i, f: {"checkpoint": i["checkpoint"]},
        "expected --source-dict and --target-dict for this model, got 0 of them",
    ),
    "one dictionary": (
        lambda i, f: {k: v for k, v in i.items() if k != "--target-dict"},
        "expected --source-dict and --target-dict for this model, got 1 of them",
    ),
    "files that are not there": (
        lambda i, f: i | {"--source-dict": f / "a", "--bpe-codes": f / "b"},
        "expected these files, got none: ",
    ),
    "dictionaries the wrong way round": (
        lambda i, f: i | {"--source-dict": i["--target-dict"], "--target-dict": i["--source-dict"]},
        "dict.src.txt: expected a dictionary of the 20 rows of its table, 4 special ones "
        "included, got 24; is it another model's?",
    ),
    "small dictionaries": (
        lambda i, f: i | dict.fromkeys(("--source-dict", "--target-dict"), dictionary(f / "d", 9)),
        "of the 24 rows of its table, 4 special ones included, got 9; is it another model's?; ",
    ),
    "bad lines in two files": (
        lambda i, f: (
            i
            | {
                "--source-dict": broken(f, "s", b"a\n"),
                "--bpe-codes": broken(f, "c", b"#version: 9.9\n"),
            }
        ),
        "line 1 is not `token count`: 'a'; ",
    ),
    "text that is not UTF-8": (
        lambda i, f: i | {"--target-dict": broken(f, "t", b"\xff 1\n")},
        "expected UTF-8 text",
    ),
    "a truncated checkpoint": (
        lambda i, f: i | {"checkpoint": broken(f, "x.pt", i["checkpoint"].read_bytes()[:-2000])},
        "expected a whole file of torch.save",
    ),
    "a hostile checkpoint": (
        lambda i, f: i | {"checkpoint": broken(f, "x.pt", b"cos\nsystem\n(S'touch hostile'\ntR.")},
        "expected a file of torch.save",
    ),
    "a vocabulary of special tokens": (
        lambda i, f: (
            i
            | {
                "checkpoint": write(
                    f / "x.pt", theirs(weights(config(source_vocab_size=4, target_vocab_size=4)))
                )
            }
        ),
        "expected a vocabulary of more than the 4 special tokens, got 4 rows",
    ),
    "another architecture": (
        lambda i, f: i | {"checkpoint": write(f / "x.pt", OrderedDict(weight=torch.zeros(3)))},
        "is it another architecture?",
    ),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_leaves_nothing(call, inputs, tmp_path, change, message):
    changed = change(inputs, tmp_path)
    before = sorted(tmp_path.iterdir())
    code, out, err = call("import", "fairseq", *words(changed), "-o", tmp_path / "ours")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ")
    assert message in err
    assert sorted(tmp_path.iterdir()) == before


def test_two_dictionaries_of_one_table_must_agree(call, tmp_path):
    shared = config(share_embeddings=True, target_vocab_size=VOCABULARY)
    file = write(tmp_path / "x.pt", theirs(weights(shared)), arguments(share_all_embeddings=True))
    paths = [dictionary(tmp_path / name, VOCABULARY, name) for name in ("a", "b")]
    options = ["--source-dict", paths[0], "--target-dict", paths[1], "-o", tmp_path / "ours"]
    code, _, err = call("import", "fairseq", file, *options)
    assert code == 2
    assert "expected one dictionary for both sides" in err
    assert call("import", "fairseq", file, *options, "--target-dict", paths[0])[0] == 0


def test_a_disk_that_fills_up_leaves_nothing(call, inputs, tmp_path, monkeypatch):
    def full(checkpoint, folder):
        (folder / "config.json").write_text("{}")
        raise OSError("no space left on device")

    monkeypatch.setattr("litecompress.checkpoint.save_checkpoint", full)
    before = sorted(tmp_path.iterdir())
    code, _, err = call("import", "fairseq", *words(inputs), "-o", tmp_path / "ours")
    assert code == 2
    assert "no space left" in err
    assert sorted(tmp_path.iterdir()) == before
