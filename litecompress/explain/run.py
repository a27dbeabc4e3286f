"""Explain a package of any target."""

from __future__ import annotations

from pathlib import Path

from litecompress.explain.advice import advice
from litecompress.explain.finding import Explanation, Operator
from litecompress.export.package import read_manifest

TOKENS = 30


def explain(package: Path, tokens: int = TOKENS, repeats: int = 5) -> Explanation:
    """ONNX: `repeats` sentences of so many `tokens`, profiled; other targets: from the files."""
    target = read_manifest(package)["target"]
    notes: list[str] = []
    level = "structural"
    match target:
        case "onnx":
            level = "executed"
            found = _onnx(package, tokens, repeats, notes)
        case "tflite":
            from litecompress.explain.tflite import operators

            found = operators(package)
            notes.append("LiteRT tells Python of no times, of delegates in the first graph only")
        case _:
            from litecompress.explain.coreml import operators as programs

            found = programs(package)
            notes.append("Core ML plans on the device: these are counts, not times")
    return Explanation(str(package), target, level, found, advice(found), notes)


def _onnx(package: Path, tokens: int, repeats: int, notes: list[str]) -> list[Operator]:
    from litecompress.explain.onnx_graph import OnnxGraph
    from litecompress.explain.onnx_operators import operators
    from litecompress.explain.onnx_profile import profiles

    graphs = {path: OnnxGraph(path) for path in sorted(package.glob("*.onnx"))}
    profiled = profiles(package, tokens, repeats)
    found = [op for profile in profiled for op in operators(profile, graphs[profile.path])]
    notes.append(
        f"{tokens} tokens in and out, one sentence at a time, one thread, {repeats} sentences; "
        "times are medians, with the profiler's own cost, and of operators only: compare, "
        "do not quote"
    )
    return found
