"""`docs/integration.md` holds: the trace fits model and package, and the loop as written works."""

from __future__ import annotations

import json
import re

import numpy as np
import onnxruntime
import pytest

from litecompress.export.package import read_manifest
from litecompress.runtime.ort import OnnxSession
from litecompress.runtime.search import beam_search
from litecompress.runtime.torch_session import TorchSession
from litecompress.tokenizer import Tokenizer
from tests.models import ROOT
from tests.runtime import trace

TRACE = json.loads((trace.FOLDER / "trace.json").read_text("utf-8"))
MOST = trace.LENGTH - 1


def assert_close(ours, theirs):
    """Equal in structure, and numbers as near as the trace says."""
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            assert_close(ours[key], value)
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs)
        if theirs and isinstance(theirs[0], (int, float)):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=TRACE["tolerance"])
        else:
            for a, b in zip(ours, theirs):
                assert_close(a, b)
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, abs=TRACE["tolerance"])
    else:
        assert ours == theirs


@pytest.fixture(scope="module")
def loop():
    """The page's own code, on its own package."""
    page = (ROOT / "docs" / "integration.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names = {"numpy": np}
    exec(compile(code, "docs/integration.md", "exec"), names)
    return names


def runner(role):
    session = onnxruntime.InferenceSession(trace.FOLDER / "onnx" / f"{role}.onnx")
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, inputs), strict=True))


def cache_shapes(rows, length):
    replaced = {0: rows, 2: length}
    return {
        name: [replaced.get(i, n) if i != 2 or len(shape) == 4 else n for i, n in enumerate(shape)]
        for name, shape in TRACE["caches"].items()
    }


@pytest.fixture(scope="module")
def package():
    return runner("encoder"), runner("decoder"), cache_shapes


def test_the_model_in_pytorch_gives_the_trace():
    assert_close(trace.record(TorchSession.of(trace.artifact())), TRACE)


def test_the_package_gives_the_trace():
    read_manifest(trace.FOLDER / "onnx")
    assert_close(trace.record(OnnxSession(trace.FOLDER / "onnx")), TRACE)


def test_model_package_and_trace_are_small():
    files = [path for path in trace.FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 200_000


def test_the_sentence_is_translated():
    assert TRACE["greedy"]["text"] == dict(trace.PAIRS)[TRACE["text"]]


def test_the_loop_of_the_page_decodes_greedily_as_the_trace(loop, package):
    source = TRACE["encoder"]["inputs"]["source"]["data"]
    assert loop["greedy"](source, MOST, *package) == TRACE["greedy"]["tokens"]


@pytest.mark.parametrize(("beam", "length_penalty"), [(1, 1.0), (3, 1.0), (4, 0.6), (5, 2.0)])
def test_the_loop_of_the_page_finds_what_our_search_finds(loop, package, beam, length_penalty):
    session = OnnxSession(trace.FOLDER / "onnx")
    tokenizer = Tokenizer((trace.FOLDER / "model" / "tokenizer.json").read_bytes())
    for text in ("a dog sleeps in the park .", "the child reads .", "sand ?"):
        source = tokenizer.encode(text)
        config = trace.SearchConfig(beam, length_penalty, max_length_a=0, max_length_b=9)
        (ours,) = beam_search(session, np.array([source]), config)
        found = loop["beam_search"](source, 9, beam, length_penalty, *package)
        assert [h.tokens for h in ours] == [tuple(tokens) for _, tokens in found]
        np.testing.assert_allclose([h.score for h in ours], [s for s, _ in found], atol=1e-4)


def test_beams_of_the_trace_are_those_of_the_loop(loop, package):
    source = TRACE["encoder"]["inputs"]["source"]["data"]
    found = loop["beam_search"](source, MOST, TRACE["beam"]["beam"], 1.0, *package)
    assert [tokens for _, tokens in found] == [h["tokens"] for h in TRACE["beam"]["hypotheses"]]
