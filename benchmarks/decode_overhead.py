"""Our own share of the time that a translation takes: everything outside the runtime's `run`.

    litecompress export -m models/multi30k-en-de -o /tmp/int8 -t onnx
    python benchmarks/decode_overhead.py /tmp/int8
    python benchmarks/decode_overhead.py /tmp/random --length 30

Sentences go one at a time from text to text: tokenizer, encoder, search, detokenizer. Of the
repeats of a sentence the quickest counts, so that other work on the machine counts little. With
`--length` every sentence is of so many random tokens, and as many are decoded, without the
tokenizer.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from litecompress.evaluate.corpus import read_samples
from litecompress.model.config import EOS_ID
from litecompress.runtime.open import open_model
from litecompress.runtime.search import SearchConfig, n_best
from litecompress.runtime.session import Session

SAMPLES = Path(__file__).resolve().parents[1] / "models" / "multi30k-en-de" / "samples.tsv"
spent = 0.0  # in the runtime since the last sentence began


def timed(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, its time noted."""

    def run(*args: Any, **named: Any) -> Any:
        global spent  # noqa: PLW0603
        start = time.perf_counter()
        try:
            return function(*args, **named)
        finally:
            spent += time.perf_counter() - start

    return run


def watch() -> None:
    """Note the time of every run of ONNX Runtime and LiteRT, as far as they are installed."""
    try:
        from onnxruntime import InferenceSession

        for name in ("run", "run_with_iobinding"):
            setattr(InferenceSession, name, timed(getattr(InferenceSession, name)))
    except ModuleNotFoundError:
        pass
    try:
        from ai_edge_litert.interpreter import SignatureRunner

        SignatureRunner.__call__ = timed(SignatureRunner.__call__)
    except ModuleNotFoundError:
        pass


def jobs(args: argparse.Namespace, beam: int, scores: bool) -> list[Callable[[], int]]:
    """What to time: each gives the number of tokens that it decoded."""
    session, tokenizers = open_model(args.package, shortlist=args.shortlist)
    if args.length:
        return random_jobs(session, args.length, args.sentences, SearchConfig(beam), scores)

    def text(line: str) -> int:
        source = tokenizers.source.encode(line)
        ((best, *_),) = n_best(session, [source], SearchConfig(beam), scores=scores)
        tokenizers.target.decode(best.tokens)
        return len(best.tokens)

    lines = read_samples(args.samples)[0][: args.sentences]
    return [lambda line=line: text(line) for line in lines]


def random_jobs(
    session: Session, length: int, sentences: int, config: SearchConfig, scores: bool
) -> list[Callable[[], int]]:
    """From `length` random tokens, </s> included, to as many."""
    exact = replace(config, min_length=length - 1, max_length_a=0, max_length_b=length - 1)
    rng = np.random.default_rng(1)
    rows = [[*rng.integers(4, 1000, length - 1).tolist(), EOS_ID] for _ in range(sentences)]

    def decode(row: list[int]) -> int:
        ((best, *_),) = n_best(session, [row], exact, scores=scores)
        return len(best.tokens)

    return [lambda row=row: decode(row) for row in rows]


def measure(job: Callable[[], int], repeats: int) -> tuple[float, float, int]:
    """Seconds in all and in the runtime, of the quickest repeat, and tokens."""
    global spent
    found = []
    for _ in range(repeats):
        spent, start = 0.0, time.perf_counter()
        tokens = job()
        found.append((time.perf_counter() - start, spent, tokens))
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("package", type=Path)
    parser.add_argument("--beam", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--samples", type=Path, default=SAMPLES)
    parser.add_argument("--sentences", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--length", type=int, help="random sentences of so many tokens")
    parser.add_argument("--shortlist", action="store_true", help="use the package's")
    args = parser.parse_args()
    watch()
    print(f"{args.package}, 1 thread, one sentence at a time, {args.sentences} sentences")
    for beam in args.beam:
        for scores in (True, False)[: 1 + (beam == 1)]:
            rows = np.array([measure(job, args.repeats) for job in jobs(args, beam, scores)])
            total, run, tokens = rows.mean(axis=0)
            print(
                f"beam {beam}, {'with' if scores else 'without'} scores: {1e3 * total:.2f} ms a "
                f"sentence, {1e3 * run:.2f} in the runtime; outside {100 * (1 - run / total):.1f} "
                f"%, {1e6 * (total - run) / tokens:.0f} us for each of {tokens:.1f} tokens"
            )


if __name__ == "__main__":
    main()
