"""A small corpus and a recipe for it; accelerate's process-wide state is made anew every time."""

from __future__ import annotations

import pytest
from accelerate.state import AcceleratorState

from litecompress.corpus import ParallelText
from litecompress.train.recipe import TrainRecipe
from litecompress.train.schedule import InverseSqrt
from tests import models


@pytest.fixture(autouse=True)
def _own_accelerator():
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def recipe(tmp_path):
    text = tmp_path / "text"
    text.mkdir()
    for split in ("train", "val"):
        (text / f"{split}.en").write_text("\n".join(models.LINES * 6))
        (text / f"{split}.de").write_text("\n".join(models.LINES[::-1] * 6))
    return TrainRecipe(
        data=ParallelText("parallel", str(text), "en", "de"),
        model={
            "embed_dim": 32,
            "encoder_kernel_sizes": (3, 7),
            "decoder_kernel_sizes": (3, 7),
            "conv_type": "lightweight",
            "conv_glu": False,
            "dropout": 0.1,
            "weight_dropout": 0.1,
        },
        vocab_size=models.VOCABULARY,
        updates=12,
        interval=3,
        schedule=InverseSqrt("inverse_sqrt", 3e-3, 4),
        max_tokens=128,
        average=2,
        device="cpu",
    )
