"""Every storage of the ONNX target: bytes, load time, memory, and latency of one sentence.

    python benchmarks/onnx_storages.py                             # the shipped model
    python benchmarks/onnx_storages.py --preset wmt14-en-fr-embed496 --vocab 8000 [--keep FOLDER]

`int8 per block` quantizes activations by block, `native` is of the model pruned by 0.5 with
palettes of 6 bits, `native affine 4` of the model on grids of 4 bits with a scale for 32 in a row;
the other storages are of the model as it is. A preset has random weights. Load and memory are of
the first load in a process of its own, median of 3: processor time, and the peak over a load and a
translation above that of a process that has imported the runtime. Latency is greedy, 30 tokens in
and 30 out, one thread, all storages interleaved: median and 90th percentile of wall time, median of
processor time, which a busy machine disturbs less.
With `--keep FOLDER` packages are written there; those that are there are not made again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from litecompress.artifact import Artifact
from litecompress.artifact_file import load_model
from litecompress.encoding import Dense, Encoding, Palette, Sparse
from litecompress.export.base import is_matrix
from litecompress.model.config import EOS_ID
from litecompress.model.presets import preset
from litecompress.model.shapes import weight_shapes
from litecompress.runtime.ort import OnnxSession
from litecompress.stages.affine_grid import affine_quantized

MODEL = Path(__file__).resolve().parents[1] / "models" / "multi30k-en-de"
LENGTH = 30
SPARSITY, BITS = 0.5, 6
STORAGES = ("float32", "float16", "int8", "int4")


def random_model(name: str, vocab: int) -> Artifact:
    config, rng = preset(name, vocab), np.random.default_rng(0)
    weights: dict[str, Encoding] = {}
    for weight, shape in weight_shapes(config).items():
        if len(shape) == 2:
            weights[weight] = Dense(rng.normal(0, shape[1] ** -0.5, shape).astype(np.float32))
        else:
            one = weight.endswith("_norm.weight")
            weights[weight] = Dense(np.full(shape, one) + rng.normal(0, 0.02, shape).astype("f4"))
    return Artifact(config, weights, b"")


def with_palettes(artifact: Artifact) -> Artifact:
    """Half of each matrix left, on evenly spaced centroids; vectors in half precision."""
    return changed(artifact, palette)


def with_groups(artifact: Artifact) -> Artifact:
    return changed(artifact, lambda w: affine_quantized(w, 4, "per_group", group_size=32))


def changed(artifact: Artifact, matrix) -> Artifact:
    weights: dict[str, Encoding] = {}
    for name, encoding in artifact.weights.items():
        values = encoding.decode()
        half = Dense(values.astype(np.float16))
        weights[name] = matrix(values) if is_matrix(name, encoding) else half
    return Artifact(artifact.config, weights, artifact.tokenizer)


def palette(values: np.ndarray) -> Sparse:
    mask = np.abs(values) > np.quantile(np.abs(values), SPARSITY)
    kept = values[mask]
    codebook = np.linspace(kept.min(), kept.max(), 2**BITS - 1).astype(np.float16)
    step = (kept.max() - kept.min()) / (len(codebook) - 1)
    indices = np.rint((kept - kept.min()) / step).astype(np.uint8)
    return Sparse(mask, Palette(indices, codebook, BITS))


def packages(artifact: Artifact, folder: Path) -> Iterator[tuple[str, Path, float]]:
    """Each storage's name and folder, with the seconds of its export."""
    from litecompress.export.onnx import OnnxExport

    rows = [(storage, OnnxExport(storage), artifact) for storage in STORAGES]
    rows.append(("int8 per block", OnnxExport("int8", activations="per_block"), artifact))
    rows.append(("native", OnnxExport("native"), with_palettes(artifact)))
    rows.append(("native affine 4", OnnxExport("native"), with_groups(artifact)))
    for name, exporter, model in rows:
        path = folder / name.replace(" ", "-")
        started = time.perf_counter()
        if not path.is_dir():
            path.mkdir(parents=True)
            exporter(model, path)
        yield name, path, time.perf_counter() - started


def decode(session: OnnxSession, source: np.ndarray) -> None:
    state, token = session.start(source, LENGTH), np.array([EOS_ID])
    for step in range(LENGTH):
        logits, state = session.step(token, step, state)
        token = logits.argmax(axis=1)


def source(vocab: int) -> np.ndarray:
    ids = np.random.default_rng(1).integers(4, vocab, (1, LENGTH))
    ids[0, -1] = EOS_ID
    return ids


def peak_bytes() -> int:
    """Of this program alone; `ru_maxrss` would count what its parent had before it began."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def child(folder: Path, vocab: int) -> None:
    """Load and translate once; figures as JSON."""
    ids, before, started = source(vocab), peak_bytes(), time.process_time()
    session = OnnxSession(folder)
    load_s = time.process_time() - started
    decode(session, ids)
    print(json.dumps([load_s, peak_bytes() - before]))


def alone(folder: Path, vocab: int) -> tuple[float, float]:
    """Seconds of a first load, and peak bytes."""
    command = [sys.executable, __file__, "--child", str(folder), "--vocab", str(vocab)]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(3)]
    seconds, peak = np.median([json.loads(done.stdout) for done in runs], axis=0)
    return float(seconds), float(peak)


def latencies(
    folders: dict[str, Path], vocab: int, repeats: int
) -> dict[str, list[tuple[float, float]]]:
    """Milliseconds, wall and processor, of each storage, one sentence of each in turn."""
    sessions = {name: OnnxSession(folder) for name, folder in folders.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sessions}
    for i in range(repeats + 2):
        for name, session in sessions.items():
            wall, cpu = time.perf_counter(), time.process_time()
            decode(session, source(vocab))
            if i >= 2:
                spent = time.perf_counter() - wall, time.process_time() - cpu
                times[name].append((1e3 * spent[0], 1e3 * spent[1]))
    return times


def report(made: list[tuple[str, Path, float]], vocab: int, repeats: int) -> None:
    times = latencies({name: path for name, path, _ in made}, vocab, repeats)
    print(f"{'storage':16}{'export s':>9}{'weights MB':>11}{'rest KB':>8}{'load s':>8}", end="")
    print(f"{'peak MB':>9}{'p50 ms':>8}{'p90 ms':>8}{'cpu ms':>8}")
    for name, path, seconds in made:
        weights = (path / "weights.bin").stat().st_size
        rest = sum(p.stat().st_size for p in path.iterdir()) - weights
        (load_s, peak), (wall, cpu) = alone(path, vocab), np.array(times[name]).T
        p50, p90 = np.percentile(wall, [50, 90])
        print(f"{name:16}{seconds:9.1f}{weights / 1e6:11.2f}{rest / 1e3:8.0f}", end="")
        print(f"{load_s:8.3f}{peak / 1e6:9.1f}", end="")
        print(f"{p50:8.1f}{p90:8.1f}{np.median(cpu):8.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--preset", help="a configuration by name, with random weights")
    parser.add_argument("--vocab", type=int, default=8000)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--keep", type=Path, help="folder for the packages")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.vocab)
        return
    artifact = random_model(args.preset, args.vocab) if args.preset else load_model(args.model)
    vocab = artifact.config.target_vocab_size
    with tempfile.TemporaryDirectory() as folder:
        made = list(packages(artifact, args.keep or Path(folder)))
        report(made, vocab, args.repeats)


if __name__ == "__main__":
    main()
