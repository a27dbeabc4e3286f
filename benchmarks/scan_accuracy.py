"""How far a scan's predictions are to be trusted: `python benchmarks/scan_accuracy.py --help`.

Needs a measured scan of the model. Compares the fast estimates with the measured losses, pruning
and quantization together with the sum of both, and searched allocations with what they really take
and lose, on the scan's text and on other text, beside the same bits for every tensor.
"""

from __future__ import annotations

import argparse
from functools import reduce
from pathlib import Path

import numpy as np
import torch

from litecompress.allocate import Option
from litecompress.artifact import Artifact
from litecompress.artifact_file import dump_artifact, load_model
from litecompress.evaluate.job import Corpus
from litecompress.model.build import from_weights
from litecompress.scan.probe import LossProbe, Prober, Subject
from litecompress.scan.result import Scan, read_scan
from litecompress.scan.settings import Setting
from litecompress.scan.text import Pairs, Text, read_text
from litecompress.search.recipe import stages_of
from litecompress.search.run import Search
from litecompress.stages import Context, apply


def ranks(values: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(values)).astype(float)


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.corrcoef(ranks(x), ranks(y))[0, 1])


def estimates(scan: Scan) -> None:
    """The fast mode's estimate against the measurement."""
    costs = [c for t in scan.tensors for c in t.costs if c.loss is not None]
    loss = np.array([c.loss for c in costs])
    first, second = (
        np.array([getattr(c, f"{n}_order") for c in costs]) for n in ("first", "second")
    )
    print(f"{len(costs)} settings: rank correlation with the measured loss")
    print(f"  first + second order {spearman(first + second, loss):.3f}")
    print(f"  second order alone   {spearman(second, loss):.3f}")
    clear = np.array([abs(c.loss) > 3 * c.stderr for c in costs])
    both = spearman((first + second)[clear], loss[clear])
    print(f"  the {clear.sum()} losses beyond 3 standard errors: {both:.3f}, ", end="")
    print(f"{spearman(second[clear], loss[clear]):.3f}")


def together(scan: Scan, prober: Prober, number: int) -> None:
    """Pruning and quantization of one tensor at once."""
    pairs = [(t, c) for t in scan.tensors for c in t.costs if len(c.setting.parts) == 2]
    rng = np.random.default_rng(0)
    errors, losses = [], []
    for i in rng.choice(len(pairs), number, replace=False):
        tensor, cost = pairs[i]
        loss = LossProbe(tensor.name, cost.setting).run(prober)["loss"]
        parts = [tensor.cost(part) for part in cost.setting.parts]
        errors.append(sum(p.loss for p in parts if p is not None) - loss)
        losses.append(loss)
    print(f"{number} settings of both: mean |loss| {np.abs(losses).mean():.5f} nats, ", end="")
    print(f"mean |sum of parts - loss| {np.abs(errors).mean():.5f}, mean {np.mean(errors):+.5f}")


def nll(artifact: Artifact, text: Text) -> float:
    network = from_weights(artifact.config, artifact.decode())
    nats, tokens = text.nll(network).sum(axis=0)
    return float(nats / tokens)


def allocations(scan: Scan, model: Path, texts: list[Text], limits: list[int]) -> None:
    """Searched and uniform allocations, made and measured."""
    trained = load_model(model)
    before = [nll(trained, text) for text in texts]
    search = Search(model, scan)
    print("bytes made | predicted | loss predicted | on the scan's text | on other text")
    rows = [(f"search {limit}", search.within_bytes(limit)) for limit in limits]
    believe_sums(search)
    rows += [(f"plain sums {limit}", search.within_bytes(limit)) for limit in limits]
    for label, found in rows:
        print(
            f"{label}: {found.artifact_bytes} | {found.coded_bytes + found.other_bytes} | ", end=""
        )
        print(f"{found.loss:+.4f} | {measured(trained, found.stages, texts, before)}", flush=True)
    for setting in (s for s in scan.alone if s.num_bits):
        stages = stages_of({t.name: Setting(num_bits=setting.num_bits) for t in scan.tensors}, scan)
        made = reduce(lambda a, s: apply(s, a, Context()), stages, trained)
        size, losses = len(dump_artifact(made)), measured(trained, stages, texts, before)
        print(f"uniform {setting}: {size} | | | {losses}", flush=True)


def believe_sums(search: Search) -> None:
    """Let a search take the plain sums of measured losses for predictions."""
    for tensor in search.scan.tensors:
        losses = {c.setting: c.loss for c in tensor.costs}
        search.choices[tensor.name] = [
            (s, Option(o.cost, sum(losses[part] for part in s.parts)))
            for s, o in search.choices[tensor.name]
        ]
    search.parts = [[option for _, option in of] for of in search.choices.values()]


def measured(trained: Artifact, stages, texts: list[Text], before: list[float]) -> str:
    made = reduce(lambda a, stage: apply(stage, a, Context()), stages, trained)
    return " | ".join(f"{nll(made, t) - b:+.4f}" for t, b in zip(texts, before, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("scan", type=Path)
    parser.add_argument("--samples", type=Path, required=True, help="the scan's pairs")
    parser.add_argument("--together", type=int, default=60, help="settings of both to measure")
    parser.add_argument("--max-bytes", type=int, nargs="*", default=[])
    options = parser.parse_args()
    torch.set_num_threads(1)
    scan, artifact = read_scan(options.scan), load_model(options.model)
    whole = read_text(Corpus(pairs=options.samples, limit=3 * scan.text.sentences), artifact)
    text = read_text(Corpus(pairs=options.samples, limit=scan.text.sentences), artifact)
    assert isinstance(whole, Pairs) and text.digest == scan.text.sha256
    tokenizers = artifact.tokenizer, artifact.target_tokenizer
    subject = Subject(artifact.config, dict(artifact.weights), tokenizers, text, scan.quantize)
    estimates(scan)
    together(scan, Prober(subject), options.together)
    n, s = scan.text.sentences, whole.samples
    rest = type(s)(s.sources[n:], s.references[n:], s.source_ids[n:], s.reference_ids[n:])
    allocations(scan, options.model, [text, Pairs(rest)], options.max_bytes)


if __name__ == "__main__":
    main()
