"""How the beam search of transformers differs from ours, on a shipped model.

    python benchmarks/huggingface_beam.py
    python benchmarks/huggingface_beam.py --source test.en --reference test.de

Without files it translates the model's own samples.

For every `early_stopping` rule: how many of the outputs equal ours, how many of the others score
higher and lower (log-probability a token, </s> counted), and BLEU.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, logging

import litecompress.hf  # noqa: F401 - registers the classes
from litecompress.evaluate.corpus import read_samples
from litecompress.evaluate.text_metrics import bleu
from litecompress.model.config import EOS_ID, PAD_ID
from litecompress.runtime.open import open_model
from litecompress.runtime.search import SearchConfig, translate
from litecompress.text import read_lines
from litecompress.tokenizer import encode_all

MODEL = Path(__file__).resolve().parents[1] / "models" / "multi30k-en-de"


def corpus(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    if args.source is None:
        return read_samples(args.model / "samples.tsv")
    return read_lines(args.source), read_lines(args.reference)


def ours(folder: Path, lines: list[str], beam: int, batch: int) -> list[list[int]]:
    session, tokenizers = open_model(folder)
    sources = encode_all(tokenizers.source, lines, session.max_source)
    found = translate(session, sources, SearchConfig(beam=beam), batch=batch)
    return [list(hypothesis.tokens) for hypothesis in found]


def theirs(model, tokenizer, lines: list[str], batch: int, **options) -> list[list[int]]:
    encoded = [tokenizer(line).input_ids for line in lines]
    order = sorted(range(len(lines)), key=lambda i: len(encoded[i]))  # as `translate` does
    found: dict[int, list[int]] = {}
    for start in range(0, len(order), batch):
        group = order[start : start + batch]
        inputs = tokenizer.pad({"input_ids": [encoded[i] for i in group]}, return_tensors="pt")
        for i, row in zip(group, model.generate(**inputs, **options).tolist(), strict=True):
            found[i] = row[1 : row.index(EOS_ID, 1) + 1]
    return [found[i] for i in range(len(lines))]


@torch.inference_mode()
def scores(model, tokenizer, lines: list[str], outputs: list[list[int]]) -> list[float]:
    """The score of each output: its mean log-probability a token."""
    means = []
    for line, ids in zip(lines, outputs, strict=True):
        result = model(**tokenizer(line, return_tensors="pt"), labels=torch.tensor([ids]))
        means.append(-float(result.loss))
    return means


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--source", type=Path, help="sentences, one a line")
    parser.add_argument("--reference", type=Path, help="their translations")
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    args = parser.parse_args()
    logging.disable_progress_bar()
    lines, references = corpus(args)
    model = AutoModelForSeq2SeqLM.from_pretrained(args.model)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    start = time.perf_counter()
    expected = ours(args.model, lines, args.beam, args.batch)
    ours_scores = scores(model, tokenizer, lines, expected)
    rows = [("ours", expected, time.perf_counter() - start)]
    for rule in (True, False, "never"):
        start = time.perf_counter()
        options = {"num_beams": args.beam, "early_stopping": rule, "length_penalty": 1.0}
        outputs = theirs(model, tokenizer, lines, args.batch, **options)
        rows.append((f"early_stopping={rule!r}", outputs, time.perf_counter() - start))
    print(f"{len(lines)} sentences, beam {args.beam}, length_penalty 1, batches of {args.batch}")
    for name, outputs, seconds in rows:
        assert not any(PAD_ID in ids for ids in outputs)
        equal = sum(a == b for a, b in zip(outputs, expected, strict=True))
        pairs = zip(scores(model, tokenizer, lines, outputs), ours_scores, strict=True)
        gains = [a - b for a, b in pairs]
        higher, lower = sum(g > 1e-5 for g in gains), sum(g < -1e-5 for g in gains)
        score = bleu(tokenizer.batch_decode(outputs, skip_special_tokens=True), references)
        print(
            f"{name:24} equal {equal:3}  higher {higher:2}  lower {lower:2}  "
            f"BLEU {score.score:.2f}  {seconds:.1f} s"
        )


if __name__ == "__main__":
    main()
