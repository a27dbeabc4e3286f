"""What a vocabulary shortlist costs in quality, and how much it leaves of the vocabulary.

    python benchmarks/shortlist_quality.py ../shared/data/multi30k
    python benchmarks/shortlist_quality.py FOLDER --split test_2016_flickr --targets --choice 10,800

Learnt on the text `train`. For every number of targets a source id (N), of frequent targets (K) and
least probability: bytes of the file, candidates of a sentence, and the share of tokens and whole
sentences, as the model writes them with its full vocabulary, that lie among them. For each
`--choice N,K[,LEAST]` the text is decoded once more with all other logits at -inf: BLEU, and how
many outputs are the same.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from litecompress.artifact import Artifact
from litecompress.artifact_file import load_model
from litecompress.corpus import read_parallel
from litecompress.evaluate.text_metrics import bleu
from litecompress.runtime.search import SearchConfig, translate
from litecompress.runtime.session import Logits, State, Tokens
from litecompress.runtime.torch_session import TorchSession
from litecompress.shortlist import Settings, Shortlist, learn, save_shortlist
from litecompress.tokenizer import NO_LIMIT, Tokenizers, encode_all

MODEL = Path(__file__).resolve().parents[1] / "models" / "multi30k-en-de"
MULTIPLE = 8  # to which the number of candidates is filled up


class Restricted(TorchSession):
    """The model with the logits of all but each sentence's candidates at -inf."""

    def __init__(self, session: TorchSession, shortlist: Shortlist) -> None:
        super().__init__(session.model)
        self._shortlist = shortlist

    def start(self, source: Tokens, length: int) -> State:
        state = super().start(source, length)
        outside = np.ones((len(source), self._shortlist.vocab_size), bool)  # (B, V)
        for row, ids in zip(outside, source, strict=True):
            row[self._shortlist.candidates(ids, MULTIPLE)] = False
        return State({**state.fixed, "outside": outside}, state.caches)

    def step(self, tokens: Tokens, step: int, state: State) -> tuple[Logits, State]:
        logits, after = super().step(tokens, step, state)
        logits[state.fixed["outside"]] = -np.inf
        return logits, after


def coverage(
    shortlist: Shortlist, sources: Sequence[Sequence[int]], outputs: Sequence[Sequence[int]]
) -> tuple[float, int, float, float]:
    """Candidates of a sentence (mean and most), share of tokens and of sentences among them."""
    candidates = [shortlist.candidates(source, MULTIPLE) for source in sources]
    inside = [np.isin(out, ids) for out, ids in zip(outputs, candidates, strict=True)]
    sizes = [len(ids) for ids in candidates]
    tokens = np.concatenate(inside).mean()
    return (
        float(np.mean(sizes)),
        max(sizes),
        float(tokens),
        float(np.mean([i.all() for i in inside])),
    )


def file_bytes(shortlist: Shortlist) -> int:
    with tempfile.TemporaryDirectory() as folder:
        save_shortlist(shortlist, Path(folder) / "file")
        return (Path(folder) / "file").stat().st_size


def choice(text: str) -> Settings:
    """`N,K` or `N,K,LEAST`."""
    targets, frequent, *least = text.split(",")
    found = Settings(targets=int(targets), frequent=int(frequent))
    return replace(found, least=float(least[0])) if least else found


@dataclass(frozen=True)
class Text:
    """The training text as ids of either side, and the text to decode with its references."""

    train: tuple[list[list[int]], list[list[int]]]
    sources: list[list[int]]
    references: list[str]

    @classmethod
    def read(cls, args: argparse.Namespace, tokenizers: Tokenizers) -> Text:
        train, (lines, references) = (
            read_parallel(*(args.folder / f"{split}.{side}" for side in (args.source, args.target)))
            for split in ("train", args.split)
        )
        sources, targets = (
            encode_all(tokenizer, side, NO_LIMIT)
            for tokenizer, side in zip(tokenizers, train, strict=True)
        )
        shown = encode_all(tokenizers.source, lines[: args.sentences], NO_LIMIT)
        return cls((sources, targets), shown, references[: args.sentences])


@dataclass(frozen=True)
class Trial:
    """A model, its text, and the beam that it is decoded with."""

    artifact: Artifact
    tokenizers: Tokenizers
    text: Text
    search: SearchConfig

    def table(self, settings: Settings) -> tuple[Shortlist, float]:
        """The shortlist, and the processor seconds that learning took."""
        started = time.process_time()
        sizes = self.tokenizers.source.vocab_size, self.tokenizers.target.vocab_size
        copies = self.artifact.target_tokenizer is None
        found = learn(*self.text.train, sizes, settings, copies=copies).shortlist
        return found, time.process_time() - started

    def decode(self, session: TorchSession) -> tuple[list[tuple[int, ...]], float]:
        """Outputs and their BLEU."""
        outputs = [found.tokens for found in translate(session, self.text.sources, self.search)]
        texts = [self.tokenizers.target.decode(out) for out in outputs]
        return outputs, bleu(texts, self.text.references).score


def report(trial: Trial, grid: Sequence[Settings], choices: Sequence[Settings]) -> None:
    session = TorchSession.of(trial.artifact)
    full, score = trial.decode(session)
    print(f"{len(full)} sentences, beam {trial.search.beam}: BLEU {score:.2f} in full")
    print("    N     K  least   bytes  mean  most  tokens %  sentences %  learning s")
    for settings in [*grid, *choices]:
        shortlist, seconds = trial.table(settings)
        mean, most, tokens, whole = coverage(shortlist, trial.text.sources, full)
        print(
            f"{settings.targets:5}{settings.frequent:6}{settings.least:7.0e}"
            f"{file_bytes(shortlist):8}{mean:6.0f}{most:6}{100 * tokens:10.2f}"
            f"{100 * whole:13.1f}{seconds:12.1f}",
            flush=True,
        )
        if settings in choices:
            outputs, restricted = trial.decode(Restricted(session, shortlist))
            same = np.mean([a == b for a, b in zip(full, outputs, strict=True)])
            print(
                f"      restricted to them: BLEU {restricted:.2f} ({restricted - score:+.2f}), "
                f"{100 * same:.1f} % of the outputs are the same",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--source", default="en")
    parser.add_argument("--target", default="de")
    parser.add_argument("--split", default="val")
    parser.add_argument("--sentences", type=int, help="only the first so many of it")
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--targets", type=int, nargs="*", default=[10, 20, 40])
    parser.add_argument("--frequent", type=int, nargs="*", default=[200, 800, 1200])
    parser.add_argument("--least", type=float, nargs="*", default=[1e-3])
    parser.add_argument("--choice", type=choice, nargs="*", default=[])
    args = parser.parse_args()
    artifact = load_model(args.model)
    tokenizers = artifact.tokenizers()
    text = Text.read(args, tokenizers)
    trial = Trial(artifact, tokenizers, text, SearchConfig(beam=args.beam))
    grid = product(args.targets, args.frequent, args.least)
    report(trial, [Settings(n, k, least) for n, k, least in grid], args.choice)


if __name__ == "__main__":
    main()
