"""Training speed in target tokens a second, for the model and batches of the authors' baseline.

    python benchmarks/training_speed.py --data FOLDER_OF_MULTI30K [--threads 2] [--updates 30]

The authors' code trains 3,750 to 3,950 target tokens a second on 2 cores: d 160, 4+4 layers,
kernels 3 7 15 31, lightweight convolution, one table of 8,000, batches of 4,096 tokens, float32.
Printed are the medians of several rounds, by wall clock and by processor time; where the two differ
by much, something else was using the cores.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from litecompress.batches import Batch, batches
from litecompress.corpus import ParallelText
from litecompress.tokenizer import Tokenizer, Tokenizers
from litecompress.train.engine import Engine, make_accelerator
from litecompress.train.examples import read_examples
from litecompress.train.objective import Objective
from litecompress.train.recipe import TrainRecipe
from litecompress.train.schedule import InverseSqrt

KERNELS = (3, 7, 15, 31)
ROUNDS = 5


def recipe(folder: str) -> TrainRecipe:
    return TrainRecipe(
        data=ParallelText("parallel", folder, "en", "de"),
        model={
            "embed_dim": 160,
            "encoder_kernel_sizes": KERNELS,
            "decoder_kernel_sizes": KERNELS,
            "conv_type": "lightweight",
            "conv_glu": False,
            "dropout": 0.3,
            "weight_dropout": 0.1,
        },
        updates=10_000,
        interval=10_000,
        schedule=InverseSqrt("inverse_sqrt", 3e-3, 800),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/multi30k"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--updates", type=int, default=30, help="in each of five rounds")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    job = recipe(str(options.data))
    text = job.data.read("train")
    tokenizer = Tokenizer.learn((line for side in text for line in side), job.vocab_size)
    examples = read_examples(job, "train", Tokenizers(tokenizer, tokenizer)).plain()
    order = batches(examples, job.max_tokens, np.random.default_rng(1))
    groups = [[Batch.of([examples[i] for i in batch])] for batch in order[: options.updates]]
    objective = Objective(job.model_config(tokenizer.vocab_size), job.label_smoothing)
    engine = Engine(objective, job, make_accelerator(job))
    wall, cpu = [], []
    for number in range(ROUNDS + 1):
        started, used = time.perf_counter(), time.process_time()
        tokens = sum(engine.update(group, i + 1).tokens for i, group in enumerate(groups))
        if number:  # the first round warms up
            wall.append(tokens / (time.perf_counter() - started))
            cpu.append(tokens / (time.process_time() - used) * options.threads)
    result = {
        "target_tokens_per_s": round(statistics.median(wall)),
        "target_tokens_per_s_of_processor_time": round(statistics.median(cpu)),
        "threads": options.threads,
        "updates": options.updates,
        "torch": torch.__version__,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
