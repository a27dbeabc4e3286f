"""A small parallel corpus on disk, and a process's accelerator made anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from litecompress.corpus import ParallelText
from tests import models


def parallel_text(folder: Path, times: int) -> ParallelText:
    """`models.LINES` so many times over, and the same backwards, as both splits of a corpus."""
    folder.mkdir(exist_ok=True)
    for split in ("train", "val"):
        (folder / f"{split}.en").write_text("\n".join(models.LINES * times))
        (folder / f"{split}.de").write_text("\n".join(models.LINES[::-1] * times))
    return ParallelText("parallel", str(folder), "en", "de")


@pytest.fixture(autouse=True)
def own_accelerator() -> Iterator[None]:
    """`accelerate` keeps state for a process; the next test shall not see it."""
    from accelerate.state import AcceleratorState

    yield
    AcceleratorState._reset_state(reset_partial_state=True)
