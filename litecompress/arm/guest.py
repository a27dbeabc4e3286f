"""Runs in the emulated system: logits of a package for given tokens.

It stands alone, with numpy and the package's runtime: no other file of litecompress is there.
Called with a package's folder, its target, cases and where to write: `cases` is an `.npz` with
`source_N` (S,), of a translation model, and `target_N` (T,), the tokens that the decoder reads;
the answer has `logits_N` (T, V) and the runtime's version.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

PAD_ID = 1
Arrays = dict[str, Any]
Forced = Callable[[Any, Any], Any]  # source (S,) or None and target (T,) to logits (T, V)


def onnx_forced(folder: Path) -> tuple[Forced, str]:
    """A package for ONNX Runtime."""
    import onnxruntime

    def load(role: str) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        path = str(folder / f"{role}.onnx")
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    language = (folder / "step.onnx").is_file()
    encoder = None if language else load("encoder")
    decoder = load("step" if language else "decoder")
    names = [output.name for output in decoder.get_outputs()]

    def forced(source: Any, target: Any) -> Any:
        fixed: Arrays = {}
        if encoder is not None:
            outputs = [o.name for o in encoder.get_outputs()]
            fixed = dict(zip(outputs, encoder.run(outputs, {"source": source[None]}), strict=True))
        inputs = {i.name for i in decoder.get_inputs()}
        fixed = {name: value for name, value in fixed.items() if name in inputs}
        caches = empty_caches(decoder.get_inputs(), names, len(target))
        rows = []
        for step, token in enumerate(target):
            now = {"token": np.array([[token]]), "step": np.array([step])}
            out = dict(zip(names, decoder.run(names, {**now, **fixed, **caches}), strict=True))
            rows.append(out.pop(names[0])[0].astype(np.float32))
            caches = {name.removeprefix("next_"): value for name, value in out.items()}
        return np.stack(rows)

    return forced, f"onnxruntime {onnxruntime.__version__}"


def empty_caches(inputs: Any, outputs: list[str], length: int) -> Arrays:
    """Zeros for every input that the decoder also gives back."""
    sizes = {"batch": 1, "target_length": length}
    kinds = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
    return {
        i.name: np.zeros([sizes.get(n, n) for n in i.shape], kinds[i.type])
        for i in inputs
        if f"next_{i.name}" in outputs
    }


def tflite_forced(folder: Path) -> tuple[Forced, str]:
    """A package for LiteRT; the shortest of its lengths with room for both sides."""
    from importlib.metadata import version

    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(folder / "model.tflite"), num_threads=1)
    interpreter.allocate_tensors()
    names = list(interpreter.get_signature_list())
    verb = "decode_" if any(name.startswith("decode_") for name in names) else "step_"
    lengths = sorted(int(name.removeprefix(verb)) for name in names if name.startswith(verb))
    runner = functools.cache(interpreter.get_signature_runner)

    def forced(source: Any, target: Any) -> Any:
        needed = max(len(target), 0 if source is None else len(source))
        length = next(length for length in lengths if length >= needed)
        fixed: Arrays = {}
        if source is not None:
            padded = np.full((1, length), PAD_ID, np.int32)
            padded[0, : len(source)] = source
            fixed = _copied(runner(f"encode_{length}")(source=padded))
        return _stepped(runner(f"{verb}{length}"), fixed, target)

    return forced, f"ai-edge-litert {version('ai-edge-litert')}"


def _stepped(decode: Any, fixed: Arrays, target: Any) -> Any:
    """Logits (T, V) of a decoder that is fed a token at a time."""
    outputs = set(decode.get_output_details())
    (scores,) = (name for name in outputs if not name.startswith("next_"))
    caches = {
        name: np.zeros(tuple(details["shape"]), details["dtype"])
        for name, details in decode.get_input_details().items()
        if f"next_{name}" in outputs
    }
    rows = []
    for step, token in enumerate(target):
        now = {"token": np.array([[token]], np.int32), "step": np.array([step], np.int32)}
        out = _copied(decode(**now, **fixed, **caches))
        rows.append(out.pop(scores)[0])
        caches = {name.removeprefix("next_"): value for name, value in out.items()}
    return np.stack(rows)


def _copied(outputs: Mapping[str, Any]) -> Arrays:
    """Outputs that the next run does not write over."""
    return {name: np.array(value) for name, value in outputs.items()}


def main(folder: str, target: str, cases: str, answer: str) -> None:
    """Answer every case."""
    forced, runtime = {"onnx": onnx_forced, "tflite": tflite_forced}[target](Path(folder))
    with np.load(cases) as given:
        arrays = dict(given)
    numbers = sorted(int(name.removeprefix("target_")) for name in arrays if name[0] == "t")
    logits = {
        f"logits_{n}": forced(arrays.get(f"source_{n}"), arrays[f"target_{n}"]) for n in numbers
    }
    np.savez(answer, runtime=np.array(runtime), **logits)


if __name__ == "__main__":
    main(*sys.argv[1:])
