"""The whole chain on random weights of embed496, beside coremltools' palettization of the same.

    python benchmarks/compression_speed.py                       # ours: 39.4 M weights
    python benchmarks/compression_speed.py --layers 1 --vocab 8000 --peer

Ours: magnitude pruning by 0.25, 8-bit k-means, the `.litec` file, and that file read and decoded
to float32. The peer's: `palettize_weights` in mode kmeans with 8 bits of a Core ML program that
holds the same matrices (no pruning, no entropy coding, no reading). Processor time, wall time, and
the peak of resident memory above what the process held before it made the weights. `--layers`
takes so many of the 6 + 6 layers: all of them keep the peer busy for a quarter of an hour.
"""

from __future__ import annotations

import argparse
import re
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litecompress.artifact import Artifact
from litecompress.artifact_file import dump_artifact, parse_artifact
from litecompress.checkpoint import Checkpoint
from litecompress.model.presets import preset
from litecompress.model.shapes import weight_shapes
from litecompress.stages import Context, Prune, Quantize, apply
from litecompress.tokenizer import Tokenizer

Weights = dict[str, NDArray[np.float32]]
SPARSITY, BITS = 0.25, 8


def random_weights(vocab: int, layers: int) -> Weights:
    """Gaussian matrices as wide as their fan-in has it; of the first layers only."""
    rng = np.random.default_rng(0)
    found = {}
    for name, shape in weight_shapes(preset("wmt14-en-fr-embed496", vocab)).items():
        number = re.match(r"(?:en|de)coder\.(\d+)\.", name)
        if number is None or int(number[1]) < layers:
            scale = np.float32(shape[-1] ** -0.5)
            found[name] = rng.standard_normal(shape, np.float32) * scale
    return found


class Clock:
    """Seconds of each step."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[float, float]] = {}

    def step(self, name: str, work: Callable[[], Any]) -> Any:
        used, passed = time.process_time(), time.perf_counter()
        result = work()
        self.rows[name] = (time.process_time() - used, time.perf_counter() - passed)
        return result


def chain(weights: Weights, vocab: int) -> Clock:
    """Ours, on the weights of a model; the file is checked against what went in."""
    clock = Clock()
    config = preset("wmt14-en-fr-embed496", vocab)
    layers = 1 + max(int(n.split(".")[1]) for n in weights if n.startswith("encoder."))
    kernels = config.encoder_kernel_sizes[:layers], config.decoder_kernel_sizes[:layers]
    config = replace(config, encoder_kernel_sizes=kernels[0], decoder_kernel_sizes=kernels[1])
    tokenizer = Tokenizer.learn(["a line of text"], 40).data
    state = Artifact.from_checkpoint(Checkpoint(config, weights, tokenizer))
    weights.clear()
    for name, stage in (("prune", Prune(SPARSITY)), ("k-means", Quantize(num_bits=BITS))):
        state = clock.step(name, partial(apply, stage, state, Context()))
    content = clock.step("encode", partial(dump_artifact, state))
    del state
    again = clock.step("decode", partial(parse_artifact, content))
    clock.step("to float32", again.decode)
    assert dump_artifact(again) == content
    print(f"artifact {len(content):,} bytes")
    return clock


def peer(weights: Weights, _vocab: int) -> Clock:
    """coremltools on the matrices of the same weights."""
    import coremltools as ct
    import coremltools.optimize.coreml as cto
    from coremltools.converters.mil import Builder as mb  # noqa: N813

    matrices = {n: w for n, w in weights.items() if w.ndim == 2 and w.size > 4096}
    specs = [mb.TensorSpec(shape=(1, w.shape[1])) for w in matrices.values()]

    def linears(*inputs: Any) -> Any:
        pairs = zip(inputs, matrices.values(), strict=True)
        return tuple(mb.linear(x=x, weight=w) for x, w in pairs)

    names = [f"x{i}" for i in range(len(matrices))]  # coremltools counts the arguments by name
    program = eval(f"lambda {', '.join(names)}: linears({', '.join(names)})", {"linears": linears})
    program = mb.program(input_specs=specs, opset_version=ct.target.iOS18)(program)

    model = ct.convert(
        program,
        minimum_deployment_target=ct.target.iOS18,
        compute_precision=ct.precision.FLOAT32,
        skip_model_load=True,
    )
    options = cto.OpPalettizerConfig(mode="kmeans", nbits=BITS, weight_threshold=0)
    clock = Clock()
    config = cto.OptimizationConfig(global_config=options)
    clock.step("palettize_weights", lambda: cto.palettize_weights(model, config))
    return clock


def measured(name: str, work: Callable[[Weights, int], Clock], vocab: int, layers: int) -> float:
    """Run in this process, print, and give the processor time in all."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    weights = random_weights(vocab, layers)
    count = sum(w.size for w in weights.values())
    size = 4 * count
    clock = work(weights, vocab)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    print(f"{name}: {count / 1e6:.1f} M weights, float32 {size / 1e6:.0f} MB")
    for step, (used, passed) in clock.rows.items():
        rate = count / passed / 1e6
        print(f"  {step:18}{used:9.2f} s of processor time{passed:9.2f} s passed{rate:9.1f} M/s")
    print(f"  peak memory {peak / 1e6:.0f} MB, {peak / size:.2f} times their size")
    return sum(used for used, _ in clock.rows.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--vocab", type=int, default=44512)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--peer", action="store_true")
    options = parser.parse_args()
    jobs = [("litecompress", chain)] + [("coremltools", peer)] * options.peer
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        used = [pool.apply(measured, (*job, options.vocab, options.layers)) for job in jobs]
    if options.peer:
        print(f"coremltools takes {used[1] / used[0]:.1f} times our processor time")


if __name__ == "__main__":
    main()
