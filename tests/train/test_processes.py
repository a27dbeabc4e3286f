"""The same recipe on one process and on two, as launchers start them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from litecompress.train.recipe import recipe_values

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
ACCELERATE = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes=2", "--num_machines=1"]
ACCELERATE += ["--mixed_precision=no", "--dynamo_backend=no", "--num_cpu_threads_per_process=1"]


@pytest.mark.parametrize("launcher", [TORCHRUN, [*ACCELERATE, "--main_process_port=0"]])
def test_two_processes_give_the_losses_of_one(recipe, tmp_path, launcher):
    recipe = replace(
        recipe, merge_dropout=0.2, batches_per_update=2, max_tokens=64, clip_norm=1.0, updates=9
    )
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe_values(recipe)))
    job = ["-m", "litecompress", "train", str(path), "-q", "-o"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for command in (
        [sys.executable, *job, str(tmp_path / "one")],
        [sys.executable, *launcher, *job, str(tmp_path / "two")],
    ):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    one, two = (
        [json.loads(row) for row in (tmp_path / d / "train-log.jsonl").read_text().splitlines()]
        for d in ("one", "two")
    )
    assert len(one) == len(two) == 3
    for a, b in zip(one, two, strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], abs=2e-4)
        assert a["valid_nll"] == pytest.approx(b["valid_nll"], abs=2e-4)
    weights, others = (load_file(tmp_path / d / "model.safetensors") for d in ("one", "two"))
    for name, weight in weights.items():
        np.testing.assert_allclose(weight, others[name], atol=1e-3, err_msg=name)
