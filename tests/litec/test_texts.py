"""A tokenizer comes back byte for byte, in far fewer bytes where its merges say it all."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from litecompress.artifact_file import load_model
from litecompress.errors import ArtifactError
from litecompress.litec.streams import compress, pack, plain, symbols, unpack
from litecompress.litec.texts import MOST_CHARS, describe_text, restore_text
from tests import models
from tests.models import ROOT


def through(text: bytes) -> tuple[bytes, int, str]:
    tree = describe_text(text)
    header, frames = pack(tree)
    again = restore_text(unpack(header, memoryview(b"".join(frames))))
    return again, sum(map(len, frames)), tree["kind"]


def test_the_shipped_tokenizer_takes_a_third_of_its_zstd_frame():
    text = (ROOT / "models/multi30k-en-de/tokenizer.json").read_bytes()
    again, size, kind = through(text)
    assert (again, kind) == (text, "merges")
    assert size < len(compress(text)) / 3


@given(
    text=st.binary()
    | st.text().map(str.encode)
    | st.just(b'{"model": {"vocab": {}, "merges": []}}')
)
def test_any_text_comes_back(text):
    assert through(text)[0] == text


@given(data=st.data())
def test_a_changed_tokenizer_comes_back(data):
    values = json.loads(models.checkpoint().tokenizer)
    model = values["model"]
    tokens = list(model["vocab"])
    one, other = (data.draw(st.sampled_from(tokens)) for _ in range(2))
    match data.draw(st.sampled_from(["swap", "rename", "merge", "drop", "old"])):
        case "swap":
            model["vocab"][one], model["vocab"][other] = model["vocab"][other], model["vocab"][one]
        case "rename":
            model["vocab"][one + "\0"] = model["vocab"].pop(one)
        case "merge":
            model["merges"].append([one, other])
        case "drop":
            model["merges"] = model["merges"][:-1]
        case "old":
            model["merges"] = [" ".join(merge) for merge in model["merges"]]
    indent = data.draw(st.sampled_from([None, 2]))
    text = json.dumps(values, ensure_ascii=data.draw(st.booleans()), indent=indent).encode()
    assert through(text)[0] == text


def test_merges_that_double_without_end_are_refused():
    count = 60
    ids = np.arange(count, dtype=np.uint8)
    high = symbols(np.zeros(count, np.uint8))
    planes = {
        f"{side}_{p}": x
        for side in ("left", "right")
        for p, x in (("high", high), ("low", symbols(ids)))
    }
    rest = plain(b'{"model":{"vocab":{},"merges":[]}}')
    header, frames = pack({"kind": "merges", "rest": rest, "tokens": plain(b"a"), **planes})
    tree = unpack(header, memoryview(b"".join(frames)))
    with pytest.raises(ArtifactError, match="expected merges of shorter tokens"):
        restore_text(tree)
    assert 2**count > MOST_CHARS


def test_a_merge_of_a_token_that_does_not_exist_yet():
    planes = {f"{side}_high": np.zeros(1, np.uint8) for side in ("left", "right")}
    planes |= {f"{side}_low": np.ones(1, np.uint8) for side in ("left", "right")}
    tree = {
        "kind": "merges",
        "rest": np.frombuffer(b"{}", "u1"),
        "tokens": np.frombuffer(b"a", "u1"),
    }
    with pytest.raises(ArtifactError, match="the tokenizer is damaged"):
        restore_text({**tree, **planes})
    with pytest.raises(ArtifactError, match="expected a known tokenizer, got 'lz'"):
        restore_text({"kind": "lz"})


def test_tokenizers_of_imported_kinds_come_back(tmp_path):
    model = load_model(ROOT / "models/multi30k-en-de")
    spaced = json.dumps(json.loads(model.tokenizer), indent=1).encode()
    assert through(spaced) == (spaced, len(compress(spaced)), "text")
