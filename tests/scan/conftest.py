"""A small model with its text, scanned once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from litecompress.checkpoint import save_checkpoint
from litecompress.evaluate.job import Corpus
from litecompress.scan.run import ScanJob, scan
from litecompress.scan.settings import Grid
from tests import models

REFERENCES = ["zwei Hunde", "ein Mann am Strand", "ein Hut", "Kinder im Park"]
GRID = Grid(sparsities=(0.5, 0.9), num_bits=(1, 2, 4))
FEW = replace(GRID, targets=("decoder.0.ffn.*", "encoder.0.conv.*"))


def silent(what, done, total):
    pass


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """`model`, `other` and `pairs.tsv`."""
    root = tmp_path_factory.mktemp("scan")
    rows = zip(models.LINES, REFERENCES, strict=True)
    (root / "pairs.tsv").write_text("".join(f"{s}\t{r}\n" for s, r in rows))
    for name, seed in (("model", 0), ("other", 1)):
        (root / name).mkdir()
        save_checkpoint(models.checkpoint(seed=seed), root / name)
    return root


@pytest.fixture
def job(folder, tmp_path):
    """A scan's job with some of its fields changed."""

    def make(**changes) -> ScanJob:
        given = {"model": folder / "model", "corpus": Corpus(pairs=folder / "pairs.tsv")}
        given |= {"output": tmp_path / "out", "grid": FEW}
        return ScanJob(**{**given, **changes})

    return make


@pytest.fixture(scope="session")
def scanned(folder):
    """The scan of `model` and where it lies."""
    corpus = Corpus(pairs=folder / "pairs.tsv")
    output = folder / "scanned"
    return scan(ScanJob(folder / "model", corpus, output, GRID), silent), output
