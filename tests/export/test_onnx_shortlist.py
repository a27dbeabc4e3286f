"""Graphs for a shortlist: the right rows, no weight twice, and the search of a masked model."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import pairwise

import numpy as np
import onnx
import pytest

from litecompress.export.onnx import OnnxExport
from litecompress.export.onnx_plan import plan_onnx
from litecompress.export.package import read_manifest, write_package
from litecompress.runtime.open import open_model
from litecompress.runtime.ort import load
from litecompress.runtime.search import SearchConfig, n_best
from litecompress.shortlist import Shortlist, save_shortlist
from litecompress.stages import Context, Prune, Quantize, apply
from tests import models
from tests.runtime.restricted import Restricted

UNTIED = {"share_embeddings": False, "encoder_kernel_sizes": (7,), "decoder_kernel_sizes": (5,)}
GROUPS = Quantize(num_bits=3, granularity="per_group", group_size=24)
STORED = {  # the convolution, what else differs, what quantized the model, and the exporter
    "untied float32": ("lightweight", UNTIED, (), OnnxExport("float32")),
    "float16": ("dynamic", {}, (), OnnxExport("float16")),
    "int8": ("dynamic", {}, (), OnnxExport("int8")),
    "int8 by block": ("dynamic", {}, (), OnnxExport("int8", activations="per_block")),
    "int8, a zero point each": (
        "lightweight",
        UNTIED,
        (Quantize("affine", granularity="per_channel", symmetric=False),),
        OnnxExport("native"),
    ),
    "int4": ("dynamic", {}, (), OnnxExport("int4")),
    "palettes": ("lightweight", UNTIED, (Quantize(),), OnnxExport("native")),
    "sparse palettes": ("dynamic", {}, (Prune(0.5), Quantize(num_bits=5)), OnnxExport("native")),
    "bands": ("dynamic", {}, (GROUPS,), OnnxExport("native", "custom")),
}
SOURCES = [[5, 9, 2], [7, 8, 11, 4, 14, 30, 31, 32, 12, 6, 2], [6, 2], [*range(4, 40), 2]]


def random_table(vocab, seed=0, frequent=20):
    """Three random targets of each source id, and `frequent` for all."""
    rng = np.random.default_rng(seed)
    always = np.sort([*range(4), *rng.choice(np.arange(4, vocab), frequent, replace=False)])
    rows = [np.sort(rng.choice(vocab, 3, replace=False)) for _ in range(vocab)]
    return Shortlist(vocab, always, np.full(vocab, 3), np.concatenate(rows), copies=False)


@pytest.fixture(scope="module")
def table_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "table.safetensors"
    table = random_table(models.tokenizer().vocab_size)
    save_shortlist(table, path)
    return path, table


def exported(folder, artifact, exporter, path):
    write_package(replace(exporter, shortlist=str(path)), artifact, folder)
    return folder


@pytest.mark.parametrize("name", STORED)
def test_rows_are_those_of_the_stored_output_layer_and_nothing_is_stored_twice(
    name, table_file, tmp_path
):
    conv, changes, stages, exporter = STORED[name]
    artifact = models.artifact(conv, **changes)
    for stage in stages:
        artifact = apply(stage, artifact, Context())
    package = exported(tmp_path / "with", artifact, exporter, table_file[0])
    for path in package.glob("shortlist_*.onnx"):
        onnx.checker.check_model(path, full_check=True)
    ids = np.array([0, 1, 2, 3, 50, 7, 7, artifact.config.target_vocab_size - 1])
    (rows,) = load(package / "shortlist_rows.onnx", 1).run(None, {"candidates": ids})
    weights = plan_onnx(artifact, exporter.storage).decode()
    table = "embedding.weight" if artifact.config.share_embeddings else "output.weight"
    np.testing.assert_allclose(rows, weights[table][ids], rtol=1e-6, atol=1e-7)
    write_package(exporter, artifact, tmp_path / "without")
    for file in ("encoder.onnx", "decoder.onnx", "weights.bin", "tokenizer.json"):
        assert (package / file).read_bytes() == (tmp_path / "without" / file).read_bytes()
    added = {p.name for p in package.iterdir()} - {p.name for p in (tmp_path / "without").iterdir()}
    tables = {"shortlist.safetensors"}
    assert added == tables | {"shortlist_rows.onnx", "shortlist_decoder.onnx"}
    assert sum(len(_embedded(package / f"shortlist_{g}.onnx")) for g in ("rows", "decoder")) < 8000


def _embedded(path):
    """The bytes of what a graph holds of constants itself."""
    initializers = onnx.load(path, load_external_data=False).graph.initializer
    return b"".join(t.raw_data for t in initializers if not t.external_data)


@pytest.mark.parametrize(
    "config",
    [
        SearchConfig(1),
        SearchConfig(1, unk_penalty=2.0, no_repeat_ngram=2),
        SearchConfig(4, min_length=5),
        SearchConfig(3, 0.6, no_repeat_ngram=1, max_length_a=0, max_length_b=9),
    ],
)
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("name", ["untied float32"])
def test_it_finds_what_a_model_with_masked_logits_finds(name, batch, config, table_file, tmp_path):
    conv, changes, stages, exporter = STORED[name]
    artifact = models.artifact(conv, **changes)
    for stage in stages:
        artifact = apply(stage, artifact, Context())
    path, table = table_file
    session, _ = open_model(exported(tmp_path / "p", artifact, exporter, path), shortlist=True)
    found = n_best(session, SOURCES, config, batch)
    expected = n_best(Restricted(artifact, table), SOURCES, config, batch)
    for ours, theirs in zip(found, expected):
        assert [h.tokens for h in ours] == [h.tokens for h in theirs]
        for a, b in zip(ours, theirs):
            assert a.score == pytest.approx(b.score, abs=1e-4)
            np.testing.assert_allclose(a.token_scores, b.token_scores, atol=1e-4)
    if batch == 1 and not config.no_repeat_ngram:
        written = {t for hypotheses in found for h in hypotheses for t in h.tokens}
        allowed = {t for s in SOURCES for t in table.candidates(s, 8).tolist()}
        assert written <= allowed
        whole = n_best(session.whole(), SOURCES, config, 1)
        assert [h[0].tokens for h in whole] != [h[0].tokens for h in found]  # it does restrict


@pytest.mark.parametrize("beam", [1, 4])
def test_a_shortlist_of_the_whole_vocabulary_changes_nothing(beam, tmp_path):
    artifact, vocab = models.artifact("dynamic"), models.tokenizer().vocab_size
    every = Shortlist(vocab, np.arange(vocab), np.zeros(vocab, int), np.zeros(0, int), copies=True)
    save_shortlist(every, tmp_path / "table")
    package = exported(tmp_path / "p", artifact, OnnxExport("float32"), tmp_path / "table")
    session, _ = open_model(package, shortlist=True)
    found = n_best(session, SOURCES, SearchConfig(beam), 3)
    expected = n_best(session.whole(), SOURCES, SearchConfig(beam), 3)
    for ours, theirs in zip(found, expected):
        assert [h.tokens for h in ours] == [h.tokens for h in theirs]
        assert ours[0].score == pytest.approx(theirs[0].score, abs=1e-5)


def test_sentences_one_after_the_other_have_candidates_of_their_own(table_file, tmp_path):
    package = exported(tmp_path / "p", models.artifact(), OnnxExport("float32"), table_file[0])
    session, _ = open_model(package, shortlist=True)
    alone = [n_best(session, [source], SearchConfig(3), 1)[0] for source in SOURCES]
    again = [n_best(session, [source], SearchConfig(3), 1)[0] for source in reversed(SOURCES)]
    assert [h[0] for h in reversed(again)] == [h[0] for h in alone]
    widths = {len(session.start(np.array([s]), 4).candidates) for s in SOURCES}
    assert len(widths) > 1 and all(w % 8 == 0 for w in widths)


def test_the_manifest_vouches_for_the_table_but_not_for_where_it_was(table_file, tmp_path):
    package = exported(tmp_path / "p", models.artifact(), OnnxExport("int8"), table_file[0])
    manifest = read_manifest(package)
    name = manifest["roles"]["shortlist"]
    content = table_file[0].read_bytes()
    assert (package / name).read_bytes() == content
    assert manifest["files"][name]["sha256"] == hashlib.sha256(content).hexdigest()
    assert "shortlist" not in manifest["options"]
    assert all(a < b for a, b in pairwise(manifest["files"]))
