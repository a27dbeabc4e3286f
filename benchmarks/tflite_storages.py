"""Every storage of the TFLite target: bytes, load time, memory, latency and fidelity.

    python benchmarks/tflite_storages.py                             # the shipped model
    python benchmarks/tflite_storages.py --preset wmt14-en-fr-embed496 --vocab 8000 [--keep FOLDER]

As `onnx_storages.py` measures, for files with lengths 16, 32 and 64, run by the session that
`translate` uses. `cpu ms` and the latencies are of one sentence, 30 tokens in and 30 out, greedy,
one thread; `PSNR` is of the logits to those of the weights as they are stored, in PyTorch, then to
those of the model itself: of 20 of the model's own sentences, or of 3 random ones for a preset.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
from onnx_storages import MODEL, decode, peak_bytes, random_model, source

from litecompress.artifact import Artifact
from litecompress.artifact_file import load_model
from litecompress.runtime.litert import LiteRTSession

LENGTHS = (16, 32, 64)
KINDS = {  # name: storage, activations, conv_branch
    "float32": ("float32", "dynamic", "builtin"),
    "float32 composite": ("float32", "dynamic", "custom"),
    "float16": ("float16", "dynamic", "builtin"),
    "int8": ("int8", "dynamic", "builtin"),
    "int8 weight-only": ("int8", "float32", "builtin"),
    "int4 blocks": ("int4", "dynamic", "builtin"),
    "int4 weight-only": ("int4", "float32", "builtin"),
}


def packages(artifact: Artifact, folder: Path) -> Iterator[tuple[str, Path, float]]:
    """Each storage's name and folder, with the seconds of its export."""
    from litecompress.export.tflite import TfliteExport

    for name, (storage, activations, conv_branch) in KINDS.items():
        path = folder / name.replace(" ", "-")
        started = time.perf_counter()
        if not path.is_dir():
            path.mkdir(parents=True)
            TfliteExport(storage, LENGTHS, activations, conv_branch)(artifact, path)
        yield name, path, time.perf_counter() - started


def child(folder: Path, vocab: int) -> None:
    """Load and translate once; figures as JSON."""
    for module in ("compiled_model", "interpreter"):
        import_module(f"ai_edge_litert.{module}")
    ids, before, started = source(vocab), peak_bytes(), time.process_time()
    session = LiteRTSession(folder)
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
    sessions = {name: LiteRTSession(folder) for name, folder in folders.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sessions}
    for i in range(repeats + 2):
        for name, session in sessions.items():
            wall, cpu = time.perf_counter(), time.process_time()
            decode(session, source(vocab))
            if i >= 2:
                spent = time.perf_counter() - wall, time.process_time() - cpu
                times[name].append((1e3 * spent[0], 1e3 * spent[1]))
    return times


def sentences(artifact: Artifact, preset: str | None) -> list[tuple[int, ...]]:
    """Sources of at most 40 tokens."""
    if preset:
        vocab, rng = artifact.config.target_vocab_size, np.random.default_rng(2)
        return [(*rng.integers(4, vocab, n).tolist(), 2) for n in (7, 19, 39)]
    lines = (MODEL / "samples.tsv").read_text("utf-8").splitlines()
    encode = artifact.tokenizers().source.encode
    found = [tuple(encode(line.split("\t")[0])) for line in lines]
    return [ids for ids in found if len(ids) <= 40][:20]


def fidelity(artifact: Artifact, name: str, path: Path, reference) -> tuple[float, float]:
    """Decibels to the weights as stored, and to the model itself."""
    from litecompress.export.tflite_plan import plan_tflite
    from litecompress.model.lite_transformer import LiteTransformer
    from litecompress.runtime.torch_session import TorchSession
    from litecompress.verify import forced_logits, psnr_db

    storage, activations, _ = KINDS[name]
    planned = plan_tflite(artifact, storage, activations)
    as_stored = TorchSession(LiteTransformer.from_weights(artifact.config, planned.decode()))
    session = LiteRTSession(path)
    pairs = list(zip(reference.sources, reference.tokens, strict=True))
    ours = np.concatenate([forced_logits(session, s, t) for s, t in pairs])
    stored = np.concatenate([forced_logits(as_stored, s, t) for s, t in pairs])
    return psnr_db(stored, ours), psnr_db(np.concatenate(reference.logits), ours)


def report(
    artifact: Artifact, made: list[tuple[str, Path, float]], repeats: int, preset: str | None
) -> None:
    from litecompress.export.tflite_plan import payload_bytes, plan_tflite
    from litecompress.runtime.torch_session import TorchSession
    from litecompress.verify import Reference

    vocab = artifact.config.target_vocab_size
    times = latencies({name: path for name, path, _ in made}, vocab, repeats)
    reference = Reference.of(TorchSession.of(artifact), sentences(artifact, preset), 40)
    print(f"{'storage':18}{'export s':>9}{'weights MB':>11}{'rest KB':>8}{'load s':>8}", end="")
    print(f"{'peak MB':>9}{'p50 ms':>8}{'p90 ms':>8}{'cpu ms':>8}{'PSNR dB':>14}")
    for name, path, seconds in made:
        size = (path / "model.tflite").stat().st_size
        weights = sum(payload_bytes(plan_tflite(artifact, *KINDS[name][:2])).values())
        (load_s, peak), (wall, cpu) = alone(path, vocab), np.array(times[name]).T
        p50, p90 = np.percentile(wall, [50, 90])
        stored, model = fidelity(artifact, name, path, reference)
        print(f"{name:18}{seconds:9.1f}{weights / 1e6:11.2f}{(size - weights) / 1e3:8.0f}", end="")
        print(f"{load_s:8.3f}{peak / 1e6:9.1f}", end="")
        print(f"{p50:8.1f}{p90:8.1f}{np.median(cpu):8.1f}{stored:7.0f}{model:7.0f}")


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
    with tempfile.TemporaryDirectory() as folder:
        made = list(packages(artifact, args.keep or Path(folder)))
        report(artifact, made, args.repeats, args.preset)


if __name__ == "__main__":
    main()
