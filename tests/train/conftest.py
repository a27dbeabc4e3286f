"""A small corpus and a recipe for it; accelerate's process-wide state is made anew every time."""

from __future__ import annotations

import pytest

from litecompress.train.recipe import TrainRecipe
from litecompress.train.schedule import InverseSqrt
from tests import models
from tests.corpora import own_accelerator, parallel_text  # noqa: F401


@pytest.fixture
def recipe(tmp_path):
    return TrainRecipe(
        data=parallel_text(tmp_path / "text", 6),
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
