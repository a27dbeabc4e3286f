"""Which lines of a text stand for it."""

from __future__ import annotations

import numpy as np
import pytest

from litecompress.artifact import Artifact
from litecompress.corpus import ParallelText, PlainText
from litecompress.errors import InputError
from litecompress.train.calibration import BLOCK, calibration_examples
from tests import models
from tests.corpora import parallel_text


@pytest.fixture
def pairs(tmp_path):
    return parallel_text(tmp_path / "pairs", 3)


def running_text(folder, lines):
    (folder / "text.txt").write_text("\n".join(lines))
    return PlainText("text", str(folder), ("text.txt",), ("text.txt",))


def language_model():
    config = models.config(encoder_kernel_sizes=())
    return Artifact(config, {}, models.tokenizer().data)


def test_lines_are_spread_over_the_text(pairs):
    artifact = models.artifact()
    found = calibration_examples(artifact, pairs, 2)
    ends = models.LINES[0], models.LINES[-1]
    for example, source, target in zip(found, ends, ends[::-1], strict=True):
        encode = artifact.tokenizers()[0].encode
        assert example.source.tolist() == encode(source)
        assert example.target.tolist() == encode(target)
    assert len(calibration_examples(artifact, pairs, 10**6)) == 12


def test_what_is_blank_or_too_long_is_left_out(tmp_path):
    for side in ("en", "de"):
        lines = ["short .", "", "much too long " * 20, "short !"]
        (tmp_path / f"train.{side}").write_text("\n".join(lines) + "\n")
    text = ParallelText("parallel", str(tmp_path), "en", "de")
    artifact = models.artifact(max_positions=24)
    assert len(calibration_examples(artifact, text, 4)) == 2
    with pytest.raises(InputError, match="at most 2 tokens a line, got none"):
        calibration_examples(models.artifact(max_positions=2), text, 4)


def test_running_text_comes_in_blocks(tmp_path):
    text = running_text(tmp_path, models.LINES * 10)
    found = calibration_examples(language_model(), text, 40)
    encode = models.tokenizer().encode
    expected = [i for line in models.LINES * 10 for i in encode(line)]
    assert np.concatenate([example.target for example in found]).tolist() == expected
    assert {len(example.target) for example in found[:-1]} == {BLOCK}


def test_the_wrong_kind_of_text(tmp_path, pairs):
    with pytest.raises(InputError, match="kind text for this model, got parallel"):
        calibration_examples(language_model(), pairs, 4)
    with pytest.raises(InputError, match="kind parallel or table for this model, got text"):
        calibration_examples(models.artifact(), running_text(tmp_path, models.LINES), 4)
