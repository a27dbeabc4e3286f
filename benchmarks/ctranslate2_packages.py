"""Everything that `ctranslate2_decode.py` measures, as files; what is there is not made again.

    python benchmarks/ctranslate2_packages.py FOLDER [--vocab 8000]

- `ct2-base`, `ct2-d320`: CTranslate2 int8 Transformers, presets `transformer-wmt14-en-fr-embed512`
  and `-embed320`; the latter has as many parameters as ours. Each with a vocabulary map.
- `onnx-*`, `tflite-*`: ours, of the preset `wmt14-en-fr-embed496`; `-shortlist` with the graphs
  that a shortlist needs.
- `plain`: the same model by `torch.onnx.export` and onnxruntime's `quantize_dynamic`, both with
  their defaults, after the preparation that the latter advises (`quant_pre_process`); its look-up
  tables are untied first, without which it cannot be run.
- `shortlist.safetensors`: the vocabulary maps' content as our own shortlist.

`made.json` says of each how many parameters it has without the look-up table, and of the
CTranslate2 models the largest difference of a log-probability to our own network with the same
weights, in float32.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from ctranslate2_model import log_probs, write_model, write_vocabulary_map
from onnx_storages import random_model

from litecompress.artifact import Artifact
from litecompress.backends import load_exporter
from litecompress.cost import nonembed, parameters
from litecompress.model.config import EOS_ID, ModelConfig
from litecompress.model.presets import preset
from litecompress.shortlist import FILE, Shortlist, save_shortlist
from litecompress.strict import build

OURS = "wmt14-en-fr-embed496"
PEERS = {
    "ct2-base": "transformer-wmt14-en-fr-embed512",
    "ct2-d320": "transformer-wmt14-en-fr-embed320",
}
BUCKET = 32  # tokens that a TFLite package takes
PACKAGES = {
    "onnx-int8-per-tensor": ("onnx", {"storage": "int8", "activations": "per_tensor"}),
    "onnx-int8-per-block": ("onnx", {"storage": "int8", "activations": "per_block"}),
    "onnx-int4": ("onnx", {"storage": "int4"}),
    "onnx-int8-per-tensor-shortlist": ("onnx", {"storage": "int8", "shortlist": FILE}),
    "onnx-int8-per-block-shortlist": (
        "onnx",
        {"storage": "int8", "activations": "per_block", "shortlist": FILE},
    ),
    "tflite-int8": ("tflite", {"storage": "int8", "length": BUCKET}),
}
PLAIN = "plain"
MADE = "made.json"


def lexicon(vocab: int, targets: int, frequent: int) -> Shortlist:
    """So many random targets of every source id, and so many ids that are always allowed."""
    rng = np.random.default_rng(2)
    ids = np.arange(frequent, vocab)
    rows = [np.sort(rng.choice(ids, targets, replace=False)) for _ in range(vocab)]
    counts = np.full(vocab, targets)
    return Shortlist(vocab, np.arange(frequent), counts, np.concatenate(rows), copies=False)


def peer(name: str, vocab: int, folder: Path, targets: int, frequent: int) -> float:
    """Write a CTranslate2 model; the largest difference of its log-probabilities in float32."""
    artifact = random_model(PEERS[name], vocab)
    weights = artifact.decode()
    write_model(artifact.config, weights, folder, "int8")
    write_vocabulary_map(folder, lexicon(vocab, targets, frequent))
    with tempfile.TemporaryDirectory() as exact:
        write_model(artifact.config, weights, Path(exact) / name, "float32")
        return difference(artifact, Path(exact) / name)


def difference(artifact: Artifact, folder: Path) -> float:
    """Between CTranslate2's log-probabilities of a random sentence and those of our network."""
    from litecompress.runtime.torch_session import TorchSession

    vocab, rng = artifact.config.target_vocab_size, np.random.default_rng(1)
    source, target = ([*rng.integers(4, vocab, 29).tolist(), EOS_ID] for _ in range(2))
    session, found = TorchSession.of(artifact), []
    state = session.start(np.array([source]), len(target))
    for step, (previous, word) in enumerate(zip([EOS_ID, *target], target, strict=False)):
        logits, state = session.step(np.array([previous]), step, state)
        exact = logits[0].astype(np.float64)
        found.append(exact[word] - np.log(np.exp(exact - exact.max()).sum()) - exact.max())
    return float(np.abs(log_probs(folder, vocab, source, target) - found).max())


def ours(name: str, artifact: Artifact, folder: Path) -> None:
    target, options = PACKAGES[name]
    folder.mkdir(parents=True)
    build(load_exporter(target), options, name)(artifact, folder)


def plain(artifact: Artifact, folder: Path) -> None:
    """What one has without this project: both graphs as they come, matrices in int8."""
    from onnxruntime.quantization import quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        traced = Path(scratch) / "traced.onnx"
        prepared = Path(scratch) / "prepared.onnx"
        for role, export in plain_graphs(artifact).items():
            export(traced)
            quant_pre_process(str(traced), str(prepared))
            quantize_dynamic(str(prepared), str(folder / f"{role}.onnx"))


def untied(artifact: Artifact) -> tuple[ModelConfig, dict[str, np.ndarray]]:
    """The model with three look-up tables of the same values in place of one.

    Of a tied one the exporter (torch 2.13) writes a decoder that onnxruntime refuses once
    quantized: it transposes the table for the output and looks rows up in the transposed one.
    """
    weights = artifact.decode()
    table = weights.pop("embedding.weight")
    names = ("source_embedding.weight", "target_embedding.weight", "output.weight")
    config = replace(artifact.config, share_embeddings=False)
    return config, {**weights, **{name: table.copy() for name in names}}


def plain_graphs(artifact: Artifact) -> dict[str, Callable[[Path], object]]:
    """What writes each graph; batch and lengths are dynamic."""
    import torch
    from torch.export import Dim

    from litecompress.export import graphs
    from litecompress.model.lite_transformer import LiteTransformer

    config, weights = untied(artifact)
    model = LiteTransformer.from_weights(config, weights).eval()
    batch, sources, targets = (Dim(name, min=1, max=1024) for name in ("batch", "source", "target"))
    attended, cross = {0: batch, 2: targets}, {0: batch, 2: sources}
    states = {"key": attended, "value": attended, "conv": {0: batch}}
    states |= {"cross_key": cross, "cross_value": cross}
    shapes = tuple(states[part] for parts in graphs.state_parts(config) for part in parts)

    def writer(module, example, names, dynamic) -> Callable[[Path], object]:
        return lambda path: torch.onnx.export(
            module.eval(),
            example,
            str(path),
            dynamo=True,
            input_names=names[0],
            output_names=names[1],
            dynamic_shapes=dynamic,
            verbose=False,
        )

    return {
        "encoder": writer(
            graphs.EncoderGraph(model),
            graphs.encoder_example(2, 9),
            graphs.encoder_names(config),
            ({0: batch, 1: sources},),
        ),
        "decoder": writer(
            graphs.DecoderGraph(model),
            graphs.decoder_example(model, 2, 9, 12),
            graphs.decoder_names(config),
            ({0: batch}, {}, {0: batch, 3: sources}, shapes),
        ),
    }


def build_all(
    folder: Path, vocab: int, targets: int, frequent: int, without: Sequence[str] = ()
) -> None:
    """Make what is missing, each in a place of its own until it is whole."""
    model = random_model(OURS, vocab)
    makers: dict[str, Callable[[Path], object]] = {
        name: lambda path, name=name: ours(name, model, path) for name in PACKAGES
    }
    makers[PLAIN] = lambda path: plain(model, path)
    makers |= {
        name: lambda path, name=name: peer(name, vocab, path, targets, frequent) for name in PEERS
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_shortlist(lexicon(vocab, targets, frequent), folder / FILE)
    made = json.loads((folder / MADE).read_text()) if (folder / MADE).is_file() else {}
    for name, make in makers.items():
        if name not in without and not (folder / name).is_dir():
            with tempfile.TemporaryDirectory(dir=folder) as partial:
                difference = make(Path(partial) / name)
                (Path(partial) / name).rename(folder / name)
            config = preset(PEERS.get(name, OURS), vocab)
            made[name] = {"parameters_nonembed": nonembed(parameters(config))}
            if name in PEERS:
                made[name]["float32_log_prob_difference"] = difference
            (folder / MADE).write_text(json.dumps(made, indent=2))
            print(f"- made {name}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--vocab", type=int, default=8000)
    parser.add_argument("--targets", type=int, default=10, help="of a source id, in the map")
    parser.add_argument("--frequent", type=int, default=800, help="ids that the map always allows")
    parser.add_argument("--without", nargs="*", default=[], help="names to leave out")
    args = parser.parse_args()
    build_all(args.folder, args.vocab, args.targets, args.frequent, args.without)


if __name__ == "__main__":
    main()
