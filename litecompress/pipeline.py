"""The main job: compress a model, export it, measure what came out, hold it against the gate."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from litecompress.artifact import Artifact
from litecompress.artifact_file import load_model, save_artifact
from litecompress.bench.host import measure
from litecompress.errors import InputError
from litecompress.evaluate.corpus import Samples, read_samples
from litecompress.evaluate.likelihood import token_nll
from litecompress.evaluate.model import translations
from litecompress.evaluate.text_metrics import bleu
from litecompress.export.base import Exported, options_of
from litecompress.export.lengths import buckets
from litecompress.export.package import (
    versions,
    write_package,
)
from litecompress.export.shortlist import shortlist_of
from litecompress.export.summary import encoding_row
from litecompress.gate import judge, passed
from litecompress.hardware.predict import Workload, predict
from litecompress.hardware.profiles import find_profile
from litecompress.ledger import Size, paper_ledger, ratios, size_sheet, unpacked_bytes
from litecompress.recipe import Recipe, dump_recipe, recipe_values
from litecompress.report.content import Report, write_report
from litecompress.runtime.open import LEVELS, open_package
from litecompress.runtime.search import SearchConfig
from litecompress.runtime.session import Session
from litecompress.runtime.torch_session import TorchSession
from litecompress.stages import Context, apply
from litecompress.tokenizer import Tokenizer, Tokenizers
from litecompress.verify import Parity, Reference, parity

BEAM = SearchConfig(beam=5)
LONGEST = 128  # tokens of a sentence in parity and latency
Say = Callable[[str], None]


def compress(trained: Artifact, recipe: Recipe, say: Say) -> Artifact:
    """Apply the recipe's stages in order."""
    artifact, context = trained, Context(recipe.seed, trained)
    for stage in recipe.stages:
        say(stage.name)
        context = context.after(artifact)
        artifact = apply(stage, artifact, context)
    return artifact


def run(recipe: Recipe, output: Path, say: Say) -> Report:
    """Write artifact, packages, resolved recipe and report into a new folder."""
    profiles = [find_profile(name) for name in recipe.checks.profiles]
    trained = load_model(Path(recipe.model))
    tokenizers = trained.tokenizers()
    samples = _samples(recipe, tokenizers, trained)
    for exporter in recipe.exports:
        shortlist_of(exporter, trained)  # so that a wrong one is refused before the work
    output.mkdir(parents=True)
    artifact = compress(trained, recipe, say)
    save_artifact(artifact, output / "artifact.litec")
    exported = _export(recipe, artifact, output / "packages", say)
    say("quality")
    models = {"baseline": TorchSession.of(trained), "compressed": TorchSession.of(artifact)}
    quality = _quality(models, samples, tokenizers.target)
    sources = spread(samples.source_ids, recipe.checks.sentences, _shortest_bucket(recipe))
    rows = _parity(recipe, artifact, models["compressed"], sources, output / "packages", say)
    sheet = _sizes(recipe, trained, artifact, output)
    latency = []
    if recipe.checks.latency:
        say("latency")
        latency = _latency(recipe, models["baseline"], sources, output / "packages")
    for profile in profiles:
        latency += predict(_workloads(trained, artifact, exported, recipe), profile)
    report = Report(
        model={"path": recipe.model, "config": trained.config.to_dict()},
        recipe=recipe_values(recipe),
        sizes={scope: dataclasses.asdict(size) for scope, size in sheet.items()},
        ratios=ratios(sheet),
        ledger=paper_ledger(),
        history=[dataclasses.asdict(step) for step in artifact.history],
        quality=quality,
        parity=[row.to_dict() for row in rows],
        latency=latency,
        encodings=[encoding_row(e) for e in exported],
        versions=versions(),
    )
    report = _judged(report, recipe)
    (output / "recipe.yaml").write_text(dump_recipe(recipe), "utf-8")
    write_report(report, output)
    return report


def _samples(recipe: Recipe, tokenizers: Tokenizers, trained: Artifact) -> Samples:
    text, limit = read_samples(Path(recipe.checks.samples)), trained.config.max_positions
    return Samples.of(*text, tokenizers.source, limit, tokenizers.target)


def _export(recipe: Recipe, artifact: Artifact, packages: Path, say: Say) -> list[Exported]:
    done = []
    for exporter in recipe.exports:
        say(f"export {exporter.target}")
        done.append(write_package(exporter, artifact, packages / exporter.target))
    return done


def _quality(
    models: Mapping[str, TorchSession], samples: Samples, tokenizer: Tokenizer
) -> dict[str, Any]:
    """Token NLL before and after, which the gate holds, and BLEU beside it."""
    nll = {name: token_nll(session.model, samples) for name, session in models.items()}
    scores = {}
    for name, session in models.items():
        hypotheses = translations(session.model, samples, tokenizer, BEAM)
        scores[name] = bleu(hypotheses, samples.references, resamples=1000)
    return {
        "metric": "token_nll",
        "signature": "nats a reference token, </s> included, teacher forcing, pytorch float32",
        "sentences": len(samples.sources),
        "baseline": nll["baseline"],
        "compressed": nll["compressed"],
        "delta": nll["compressed"] - nll["baseline"],
        "bleu": {
            "signature": scores["baseline"].signature,
            "beam": BEAM.beam,
            **{name: dataclasses.asdict(score) for name, score in scores.items()},
        },
    }


def _shortest_bucket(recipe: Recipe) -> int:
    """Most tokens that every export of the recipe takes; enough for any sentence in any case."""
    longest = (buckets(getattr(e, "length", LONGEST))[-1] for e in recipe.exports)
    return min([LONGEST, *longest])


def spread(sources: Sequence[Sequence[int]], count: int, limit: int) -> list[tuple[int, ...]]:
    """`count` sources from the shortest to the longest that fits."""
    fitting = sorted((tuple(s) for s in sources if len(s) <= limit), key=len)
    if not fitting:
        raise InputError(f"expected a sample of at most {limit} tokens, got none so short")
    count = min(count, len(fitting))
    return [fitting[round(i * (len(fitting) - 1) / max(1, count - 1))] for i in range(count)]


def _parity(
    recipe: Recipe,
    artifact: Artifact,
    decoded: Session,
    sources: list[tuple[int, ...]],
    packages: Path,
    say: Say,
) -> list[Parity]:
    """Every package against the decoded artifact in PyTorch."""
    reference = Reference.of(decoded, sources, _shortest_bucket(recipe))
    rows = []
    for exporter in recipe.exports:
        target, level = exporter.target, LEVELS.get(exporter.target, "executed")
        say(f"parity {target}")
        shipped = precision_of(options_of(exporter))
        session = open_package(packages / target, target)
        executed = level == "executed"
        rows.append(parity(reference, session, target, level, shipped, greedy=executed))
        if shipped == "float16":
            exact = dataclasses.replace(exporter, precision="float32")  # type: ignore[type-var]
            with tempfile.TemporaryDirectory() as folder:
                exact(artifact, Path(folder))
                session = open_package(Path(folder), target)
                rows.append(parity(reference, session, target, level, "float32", greedy=False))
    return rows


def precision_of(options: Mapping[str, Any]) -> str:
    """What a package computes in, from its exporter's options: a precision that they name, or
    int8 where weights are stored so and activations are not kept in float32."""
    if "precision" in options:
        return str(options["precision"])
    integers = options.get("storage") == "int8" and options.get("activations") != "float32"
    return "int8" if integers else "float32"


def _sizes(recipe: Recipe, trained: Artifact, artifact: Artifact, output: Path) -> dict[str, Size]:
    checkpoint_bytes = unpacked_bytes(trained, trained.float32_bytes(embeddings=True))
    packages = {e.target: output / "packages" / e.target for e in recipe.exports}
    artifact_bytes = (output / "artifact.litec").stat().st_size
    return size_sheet(trained, artifact, checkpoint_bytes, artifact_bytes, packages)


def _latency(
    recipe: Recipe, baseline: Session, sources: list[tuple[int, ...]], packages: Path
) -> list[dict[str, Any]]:
    """Measured on this host, one thread: the trained model in PyTorch, and what was exported."""
    import torch

    length, threads = _shortest_bucket(recipe), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [measure(baseline, sources, "pytorch", f"torch {torch.__version__}", length)]
    finally:
        torch.set_num_threads(threads)
    for exporter in recipe.exports:
        if LEVELS.get(exporter.target) != "executed":
            continue  # an emulated program has no latency
        session = open_package(packages / exporter.target, exporter.target)
        rows.append(measure(session, sources, exporter.target, _runtime(exporter.target), length))
    return rows


def _runtime(target: str) -> str:
    name = {"onnx": "onnxruntime", "tflite": "ai-edge-litert", "coreml": "coremltools"}[target]
    return f"{name} {versions().get(name, '?')}"


def _workloads(
    trained: Artifact, artifact: Artifact, exported: Sequence[Exported], recipe: Recipe
) -> list[Workload]:
    """The float32 model and every package that runs on a Raspberry Pi."""
    whole, left = (model.float32_bytes(embeddings=True) for model in (trained, artifact))
    works = [Workload("float32", trained.config, whole, int8=False)]
    for exporter, made in zip(recipe.exports, exported, strict=True):
        if exporter.target in ("onnx", "tflite"):
            size = round(left * (1 - 0.75 * made.quantized_byte_share))
            integers = precision_of(options_of(exporter)) == "int8"
            works.append(Workload(exporter.target, artifact.config, size, int8=integers))
    return works


def _judged(report: Report, recipe: Recipe) -> Report:
    checks = judge(recipe.gate, report.to_dict())
    verdict = {"passed": passed(checks), "checks": [dataclasses.asdict(c) for c in checks]}
    return dataclasses.replace(report, gate=verdict)
