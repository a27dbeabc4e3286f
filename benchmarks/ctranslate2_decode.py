"""Ours against CTranslate2 and against a plain export, in one run: greedy, one thread, int8.

    python benchmarks/ctranslate2_decode.py --keep FOLDER [--rounds 20] [--json FILE]

Every system writes 30 tokens for 30 (its </s> among them), vocabulary 8,000, random weights; what
they are says `ctranslate2_packages.py`, which makes them in FOLDER first. The length is forced:
</s> is ruled out until the last token, so that everyone runs the encoder once and the decoder 30
times, and nobody is spared a step by what random weights happen to say.

Systems take turns, the first of a round last in the next; in each turn a sentence is decoded to
warm up and `--burst` others are timed. `cpu` is the processor time of the whole process, which
other work on the machine disturbs less than `wall`: median, and the range of the middle half. Where
wall is above 1.2 of cpu the machine was busy, and the row is marked `!`. Ratios are of processor
time, round by round: their median and middle half.

`--map N K`: the vocabulary map, and our shortlist, allow N targets of each source id and K ids
always.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnxruntime
from ctranslate2_model import Decoder

from litecompress.model.config import EOS_ID
from litecompress.runtime.open import open_package
from litecompress.runtime.ort_shortlist import OnnxShortlistSession
from litecompress.runtime.search import SearchConfig, n_best
from litecompress.runtime.session import Logits, Session, State, Tokens
from litecompress.shortlist import FILE, load_shortlist

LENGTH = 30
BUSY = 1.2  # wall over processor time
Job = Callable[[list[int], int], int]  # a source and how many tokens to write; how many were


@dataclass(frozen=True)
class Goal:
    """Ours (the best of them) is to be so many times as fast as a peer."""

    label: str
    ours: tuple[str, ...]
    peer: str
    least: float | None


ONNX = ("onnx-int8-per-tensor", "onnx-int8-per-block", "onnx-int4")
SHORT = tuple(f"{name}-shortlist" for name in ONNX[:2])
TFLITE = ("tflite-int8",)
INT8 = (*ONNX[:2], *TFLITE)
GOALS = (
    Goal("best int8 / CTranslate2 base", INT8, "ct2-base", 2.5),
    Goal("ONNX Runtime int8 / CTranslate2 base", ONNX[:2], "ct2-base", 2.0),
    Goal("best int8 / CTranslate2 at equal parameters", INT8, "ct2-d320", 1.5),
    Goal("ONNX Runtime int8 / CTranslate2 at equal parameters", ONNX[:2], "ct2-d320", None),
    Goal("best int8 / plain export", INT8, "plain", 1.5),
    Goal("ONNX Runtime int8 / plain export", ONNX[:2], "plain", None),
    Goal("int4 / CTranslate2 base", ONNX[2:], "ct2-base", None),
    Goal("best int8 / CTranslate2 base with map", (*SHORT, *INT8), "ct2-base-map", 2.5),
    Goal("ONNX Runtime with shortlist / CTranslate2 base with map", SHORT, "ct2-base-map", None),
    Goal("best int8 / CTranslate2 d320 with map", (*SHORT, *INT8), "ct2-d320-map", None),
    Goal("per tensor, shortlist / whole vocabulary", SHORT[:1], ONNX[0], None),
    Goal("per block, shortlist / whole vocabulary", SHORT[1:], ONNX[1], None),
)


class PlainSession:
    """Graphs as `torch.onnx.export` leaves them: caches of the full length, handed in and out."""

    max_source = max_target = 1024

    def __init__(self, folder: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.encoder, self.decoder = (
            onnxruntime.InferenceSession(folder / f"{role}.onnx", options)
            for role in ("encoder", "decoder")
        )
        self._fixed = [o.name for o in self.encoder.get_outputs()]
        self._outputs = [o.name for o in self.decoder.get_outputs()]
        self._caches = [
            i for i in self.decoder.get_inputs() if f"next_{i.name}" in set(self._outputs)
        ]

    def start(self, source: Tokens, length: int) -> State:
        values = self.encoder.run(self._fixed, {"source": source})
        caches = {i.name: self._zeros(i, len(source), length) for i in self._caches}
        return State(dict(zip(self._fixed, values, strict=True)), caches)

    def step(self, tokens: Tokens, step: int, state: State) -> tuple[Logits, State]:
        feeds = {"token": tokens[:, None], "step": np.array([step]), **state.fixed, **state.caches}
        values = self.decoder.run(self._outputs, feeds)
        found = dict(zip(self._outputs, values, strict=True))
        caches = {name: found[f"next_{name}"] for name in state.caches}
        return found["logits"], State(state.fixed, caches)

    def _zeros(self, cache: onnxruntime.NodeArg, batch: int, length: int) -> np.ndarray:
        free = iter((batch, length))  # the free axes of a cache, in this order
        return np.zeros([n if isinstance(n, int) else next(free) for n in cache.shape], np.float32)


def searched(session: Session) -> Job:
    """Greedy search as `translate` does it, without scores."""

    def decode(source: list[int], length: int) -> int:
        exact = SearchConfig(1, min_length=length - 1, max_length_a=0, max_length_b=length - 1)
        ((best, *_),) = n_best(session, [source], exact, scores=False)
        return len(best.tokens)

    return decode


def shortlisted(folder: Path, vocab: int) -> Session:
    """Ours with the vocabulary maps' content as its shortlist."""
    table = load_shortlist(folder.parent / FILE, vocab, vocab)
    return OnnxShortlistSession(folder, 1, table, lambda: open_package(folder, "onnx"))


def systems(folder: Path, vocab: int, without: Sequence[str]) -> dict[str, tuple[Path, Job]]:
    """Every system's folder and what decodes with it."""
    found: dict[str, tuple[Path, Job]] = {}
    for name in filter(lambda name: (folder / name).is_dir(), ("ct2-base", "ct2-d320")):
        for use_map in (False, True):
            job = Decoder(folder / name, vocab, use_map=use_map)
            found[name + ("-map" if use_map else "")] = folder / name, job
    for name in (*ONNX, *TFLITE):
        if (folder / name).is_dir():
            found[name] = folder / name, searched(open_package(folder / name, name.split("-")[0]))
    for name in SHORT:
        if (folder / name).is_dir():
            found[name] = folder / name, searched(shortlisted(folder / name, vocab))
    if (folder / "plain").is_dir():
        found["plain"] = folder / "plain", searched(PlainSession(folder / "plain"))
    return {name: system for name, system in found.items() if name not in without}


def measure(jobs: dict[str, Job], sources: list[list[int]], rounds: int, burst: int) -> np.ndarray:
    """Milliseconds (systems, rounds, wall and cpu), the mean of a burst."""
    names = list(jobs)
    times = np.zeros((len(names), rounds, 2))
    for i in range(rounds):
        for name in np.roll(names, -i).tolist():
            chosen = [sources[(i * (burst + 1) + k) % len(sources)] for k in range(burst + 1)]
            times[names.index(name), i] = turn(jobs[name], name, chosen)
    return times


def turn(job: Job, name: str, sources: list[list[int]]) -> tuple[float, float]:
    """Wall and processor milliseconds a sentence, the first one not counted."""
    written = [job(sources[0], LENGTH)]
    wall, cpu = time.perf_counter(), time.process_time()
    written += [job(source, LENGTH) for source in sources[1:]]
    spent = time.perf_counter() - wall, time.process_time() - cpu
    if set(written) != {LENGTH}:
        raise SystemExit(f"{name}: expected {LENGTH} tokens a sentence, got {written}")
    return 1e3 * spent[0] / (len(sources) - 1), 1e3 * spent[1] / (len(sources) - 1)


def row(name: str, folder: Path, times: np.ndarray) -> dict[str, object]:
    wall, cpu = np.median(times, axis=0)
    low, high = np.percentile(times[:, 1], [25, 75])
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        "system": name,
        "bytes": sum(path.stat().st_size for path in files if path.name != "vmap.txt"),
        "cpu_ms": cpu,
        "cpu_ms_middle_half": [low, high],
        "wall_ms": wall,
        "wall_over_cpu": wall / cpu,
        "busy": bool(wall > BUSY * cpu),
    }


def ratio(goal: Goal, cpu: dict[str, np.ndarray], busy: set[str]) -> dict[str, object]:
    """The peer's processor time over that of ours, of which the quickest by median counts.

    No verdict where the machine was busy with either.
    """
    ours = min(set(goal.ours) & set(cpu), key=lambda name: float(np.median(cpu[name])))
    found = cpu[goal.peer] / cpu[ours]
    low, middle, high = np.percentile(found, [25, 50, 75])
    unsure = not busy.isdisjoint((ours, goal.peer))
    return {
        "what": goal.label,
        "ours": ours,
        "peer": goal.peer,
        "ratio": middle,
        "middle_half": [low, high],
        "goal": goal.least,
        "reached": None if goal.least is None or unsure else bool(middle >= goal.least),
    }


def candidates(folder: Path, vocab: int, sources: list[list[int]]) -> dict[str, float]:
    """How many targets the vocabulary map leaves of a sentence."""
    shortlist = load_shortlist(folder / FILE, vocab, vocab)
    counts = [len(shortlist.candidates(source)) for source in sources]
    return {"candidates_mean": float(np.mean(counts)), "candidates_most": max(counts)}


def machine() -> dict[str, object]:
    """Where this ran, and with what."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    values = {key.strip(): value for key, _, value in (line.partition(": ") for line in lines)}
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "asimddp")
    flags = values.get("flags", values.get("Features", "")).split()
    packages = ("ctranslate2", "onnxruntime", "ai-edge-litert", "numpy", "litecompress")
    return {
        "cpu": values.get("model name", "unknown"),
        "flags": [flag for flag in wanted if flag in flags],
        "load": os.getloadavg()[0],
        "versions": {name: version(name) for name in packages},
    }


def show(result: dict) -> None:
    print(
        f"{result['machine']['cpu']} {result['machine']['flags']}, load {result['machine']['load']}"
    )
    print(f"vocabulary map: {result['map']['candidates_mean']:.0f} candidates a sentence")
    print(f"{'system':32}{'MB':>7}{'cpu ms':>8}{'middle half':>16}{'wall ms':>9}{'wall/cpu':>9}")
    for r in result["rows"]:
        low, high = r["cpu_ms_middle_half"]
        print(
            f"{r['system']:32}{r['bytes'] / 1e6:7.2f}{r['cpu_ms']:8.1f}{low:8.1f}{high:8.1f}"
            f"{r['wall_ms']:9.1f}{r['wall_over_cpu']:8.2f}{'!' if r['busy'] else ' '}"
        )
    print("times as fast (processor time, round by round)")
    for r in result["ratios"]:
        low, high = r["middle_half"]
        verdict = {None: "busy, no verdict", True: "yes", False: "NO"}[r["reached"]]
        goal = "" if r["goal"] is None else f"  goal {r['goal']}: {verdict}"
        print(f"{r['what']:58}{r['ratio']:6.2f} ({low:.2f} to {high:.2f}) by {r['ours']}{goal}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--keep", type=Path, required=True, help="folder for the packages")
    parser.add_argument("--vocab", type=int, default=8000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--burst", type=int, default=3, help="sentences timed in a turn")
    parser.add_argument("--map", type=int, nargs=2, default=[10, 800], metavar=("N", "K"))
    parser.add_argument("--without", nargs="*", default=[], help="systems to leave out")
    parser.add_argument("--json", type=Path, help="where to write everything, each turn included")
    args = parser.parse_args()
    maker = Path(__file__).with_name("ctranslate2_packages.py")
    command = [sys.executable, maker, args.keep, "--vocab", args.vocab, "--without", *args.without]
    command += ["--targets", args.map[0], "--frequent", args.map[1]]
    subprocess.run(list(map(str, command)), check=True)  # apart: this one shall have no torch in it
    made = systems(args.keep, args.vocab, args.without)
    rng = np.random.default_rng(1)
    sources = [[*rng.integers(4, args.vocab, LENGTH - 1).tolist(), EOS_ID] for _ in range(50)]
    times = measure(
        {name: job for name, (_, job) in made.items()}, sources, args.rounds, args.burst
    )
    cpu = dict(zip(made, times[:, :, 1], strict=True))
    rows = [row(n, made[n][0], t) for n, t in zip(made, times, strict=True)]
    busy = {str(r["system"]) for r in rows if r["busy"]}
    result = {
        "machine": machine(),
        "length": LENGTH,
        "vocab": args.vocab,
        "rounds": args.rounds,
        "burst": args.burst,
        "map": candidates(args.keep, args.vocab, sources),
        "rows": rows,
        "ratios": [ratio(g, cpu, busy) for g in GOALS if g.peer in cpu and set(g.ours) & set(cpu)],
        "made": json.loads((args.keep / "made.json").read_text()),
    }
    show(result)
    if args.json:
        turns = {name: t.tolist() for name, t in zip(made, times, strict=True)}
        args.json.write_text(json.dumps({**result, "turns_wall_cpu_ms": turns}, indent=2) + "\n")


if __name__ == "__main__":
    main()
