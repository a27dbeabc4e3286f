"""Whole updates of the authors' code: rates, losses, gradient norms and the weights after them."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch.nn.functional import log_softmax

from litecompress.batches import Batch
from litecompress.corpus import ParallelText
from litecompress.fairseq.convert import read_checkpoint
from litecompress.fairseq.names import their_name
from litecompress.train.engine import Engine, make_accelerator
from litecompress.train.objective import Objective
from litecompress.train.optimizer import Adam, Nag
from litecompress.train.recipe import TrainRecipe
from litecompress.train.schedule import Cosine, InverseSqrt
from tests.reference import REFERENCE, needs_reference

MODELS = ("tiny_iwslt32", "tiny_wmt64", "tiny_lm64")


def recipe_of(args, updates, accumulated):
    if args["lr_scheduler"] == "cosine":
        schedule = Cosine(
            "cosine",
            args["max_lr"],
            args["warmup_updates"],
            args["warmup_init_lr"],
            args["lr"][0],
            int(args["lr_period_updates"]),
            args["t_mult"],
            args["lr_shrink"],
        )
    else:
        schedule = InverseSqrt("inverse_sqrt", args["lr"][0], args["warmup_updates"])
    optimizer = (
        Nag(momentum=args["momentum"])
        if args["optimizer"] == "nag"
        else Adam(weight_decay=args["weight_decay"])
    )
    return TrainRecipe(
        data=ParallelText("parallel", "", "a", "b"),
        model={},
        updates=updates,
        interval=updates,
        schedule=schedule,
        optimizer=optimizer,
        batches_per_update=accumulated,
        label_smoothing=args.get("label_smoothing", 0.0),
        clip_norm=args["clip_norm"] or 1e9,  # so that the norm is known
        device="cpu",
    )


class AuthorsAdaptiveObjective(Objective):
    """The authors' loss leaves out the second word of each tail within its band.

    It compares indices within a band with that of padding, which is 1 there too.
    """

    def forward(self, batch):
        features, target = self.network.features(batch.previous), batch.target
        features, target = features.flatten(0, 1), target.flatten()
        embedding = self.network.embedding
        loss = -embedding.target_log_probs(features, target)
        head = log_softmax(embedding.head_logits(features), dim=-1)
        for i, start in enumerate(embedding.starts[1:]):
            loss = torch.where(target == start + 1, -head[:, embedding.ends[0] + i], loss)
        return loss.sum(), loss.sum().detach()


def batch(data, i):
    source = torch.from_numpy(data[f"b{i}_src_tokens"])
    target = torch.from_numpy(data[f"b{i}_target"])
    if f"b{i}_prev_output_tokens" not in data:
        return Batch(None, source, target)
    return Batch(source, torch.from_numpy(data[f"b{i}_prev_output_tokens"]), target)


@needs_reference
@pytest.mark.parametrize("name", MODELS)
def test_updates_equal_those_of_the_authors(name):
    with np.load(REFERENCE / name / "train.npz") as file:
        data = dict(file)
    args, accumulated = json.loads(str(data["args"])), int(data["accum"])
    updates = len(data["T_lr"])
    recipe = recipe_of(args, updates, accumulated)
    converted = read_checkpoint(REFERENCE / name / "checkpoint.pt")
    dropouts = [f.name for f in fields(converted.config) if f.name.endswith("dropout")]
    config = replace(converted.config, **dict.fromkeys(dropouts, 0.0))
    kind = AuthorsAdaptiveObjective if config.adaptive_cutoffs else Objective
    objective = kind(config, recipe.label_smoothing)
    weights = {n: torch.tensor(w) for n, w in converted.weights.items()}
    objective.network.load_state_dict(weights)
    engine = Engine(objective, recipe, make_accelerator(recipe))
    for i in range(updates):
        rate = recipe.schedule.rate(i + 1, updates)
        assert rate == pytest.approx(data["T_lr"][i], rel=1e-6)
        group = [batch(data, i * accumulated + j) for j in range(accumulated)]
        losses = engine.update(group, i + 1)
        assert losses.loss / math.log(2) == pytest.approx(data["T_loss"][i], abs=1e-4)
        assert losses.gradient_norm == pytest.approx(data["T_gnorm"][i], rel=1e-4)
    after, _ = engine.state()
    for ours, weight in after.items():
        if ours.endswith("attention.key.bias"):
            continue  # shifts every score alike: its gradient is nothing but rounding
        theirs = data[f"final/{their_name(ours, converted.config, True, False)}"]
        difference = np.abs(weight.numpy() - theirs.reshape(weight.shape))
        assert np.quantile(difference, 0.95) < 2e-5, ours
        assert difference.max() < 2e-4, ours  # Adam makes much of the rounding of tiny gradients
