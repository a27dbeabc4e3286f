"""Export to TFLite: encoder and decoder step as two signatures of one file, for one length."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from litecompress.artifact import Artifact
from litecompress.backends import load_backend
from litecompress.encoding import Affine, symmetric_int8
from litecompress.errors import ExportError
from litecompress.export import graphs, tflite_file
from litecompress.export.base import Exported, Plan, Storage, check_length, plan
from litecompress.model.lite_transformer import LiteTransformer
from litecompress.silence import silenced

litert_torch = load_backend("litert_torch")
quantizer = load_backend("ai_edge_quantizer.quantizer")
recipes = load_backend("ai_edge_quantizer.recipe_manager")

CARRIES = frozenset({"affine"})
FILE = "model.tflite"
LOWEST = -3e38  # below any value, yet no constant that a converter would fold away

_Key = tuple[tuple[int, ...], bytes]  # shape and int8 values: a matrix up to a factor a row


@dataclass(frozen=True)
class TfliteExport:
    """`model.tflite` for one sentence of at most `length` tokens on either side.

    `storage`: `int8` re-encodes matrices to a symmetric grid a row; `native` keeps those on such a
    grid already, where each row reaches 127, and refuses palettes; `float32` decodes. With
    `activations: dynamic` int8 matrices are multiplied in integers, inputs quantized on the fly;
    with `float32` they are expanded when the model is loaded, which is exact and no faster.
    """

    target: ClassVar[str] = "tflite"
    storage: Storage = "int8"
    length: int = 64
    activations: Literal["dynamic", "float32"] = "dynamic"

    def __call__(self, artifact: Artifact, folder: Path) -> Exported:
        """Write the file; `decoded` then also names what the quantizer left in floating point."""
        check_length(self.target, self.length, artifact)
        planned = plan(artifact, self.storage, self.target, CARRIES)
        model = graphs.build(artifact.config, planned.decode())
        with silenced():
            content = _converted(model, self.length)
            content = _quantized(content, _grids(planned), self.activations)
        packed = tflite_file.pack(tflite_file.read(content))
        (folder / FILE).write_bytes(packed)
        return _exported(planned, folder, tflite_file.read(packed))


class _Named(nn.Module):
    """A graph whose inputs and outputs go by name, as its signature's will."""

    def __init__(self, inner: nn.Module, names: tuple[list[str], list[str]]) -> None:
        super().__init__()
        self.inner = inner
        self.inputs, self.outputs = names

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        outputs = self.inner(*(inputs[name] for name in self.inputs))
        return dict(zip(self.outputs, outputs, strict=True))


def _converted(model: LiteTransformer, length: int) -> bytes:
    """Both graphs as a file in float32; their common constants are in it once."""
    _keep_norms_apart(model)
    converter = litert_torch.Converter()
    for name, graph, names, example in (
        (
            "encoder",
            graphs.EncoderGraph(model),
            graphs.encoder_names(model.config),
            graphs.encoder_example(1, length),
        ),
        (
            "decoder",
            graphs.DecoderGraph(model),
            graphs.decoder_names(model.config),
            graphs.decoder_example(model, 1, length, length),
        ),
    ):
        inputs = {
            n: t.int() if t.dtype == torch.int64 else t  # what the file will take in
            for n, t in zip(names[0], example, strict=True)
        }
        converter.add_signature(name, _Named(graph, names).eval(), (), inputs)
    return converter.convert().model_content()  # type: ignore[no-any-return]


def _keep_norms_apart(model: LiteTransformer) -> None:
    """Hinder the converter from multiplying the gains of layer norms into the matrices after them.

    That would take those off their int8 grid. A bound that no value reaches stands between.
    """
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.register_forward_hook(lambda _, __, output: output.clamp(min=LOWEST))


def _quantized(content: bytes, grids: Mapping[str, _Key], activations: str) -> bytes:
    """The file with the matrices that belong on a grid in int8, wherever they are read."""
    manager, wanted = recipes.RecipeManager(), set(grids.values())
    for matrix in tflite_file.matrices(tflite_file.read(content)):
        if _key(symmetric_int8(matrix.values).values) not in wanted:
            continue
        for operator, output in matrix.readers:
            in_integers = activations == "dynamic" or operator == "EMBEDDING_LOOKUP"
            add = manager.add_dynamic_config if in_integers else manager.add_weight_only_config
            add(regex=f"^{re.escape(output)};$", operation_name=operator, num_bits=8)
    recipe = manager.get_quantization_recipe()
    if not recipe:
        return content
    result = quantizer.Quantizer(bytearray(content), recipe).quantize(
        enable_progress_bar=False, enable_progress_report=False
    )
    return bytes(result.quantized_model)


def _exported(planned: Plan, folder: Path, model: Any) -> Exported:
    """Set the plan against what the file really holds."""
    stored = tflite_file.matrices(model)
    grids = _grids(planned)
    lost = _lost(planned, grids, stored)
    return Exported(
        target=TfliteExport.target,
        folder=folder,
        files={"model": FILE},
        ops=tflite_file.count_operators(model),
        native=tuple(n for n in planned.native if n not in lost),
        re_encoded=tuple(n for n in planned.re_encoded if n not in lost),
        decoded=(*planned.decoded, *lost),
        fallbacks=(),
        re_encoding_psnr_db=planned.re_encoding_psnr_db,
        quantized_byte_share=tflite_file.quantized_byte_share(stored),
    )


def _lost(planned: Plan, grids: Mapping[str, _Key], stored: list[tflite_file.Matrix]) -> list[str]:
    """Names that should be int8 and are floating point; any on another grid is an ExportError."""
    exact = {_key(m.values) for m in stored if m.is_quantized}
    floating = {_key(symmetric_int8(m.values).values) for m in stored if not m.is_quantized}
    missing = [n for n in grids if _key(_affine(planned, n).values) not in exact]
    foreign = [n for n in missing if grids[n] not in floating]
    if foreign:
        raise ExportError(
            f"tflite: expected int8 grids, symmetric a row with each row's largest at 127, got "
            f"{len(foreign)} others: {', '.join(foreign)}; use storage: int8 or float32"
        )
    return missing


def _grids(planned: Plan) -> dict[str, _Key]:
    """Which weights go on a grid, and the key under which the quantizer will see them."""
    return {
        name: _key(symmetric_int8(encoding.decode()).values)
        for name, encoding in planned.weights.items()
        if isinstance(encoding, Affine)
    }


def _affine(planned: Plan, name: str) -> Affine:
    encoding = planned.weights[name]
    assert isinstance(encoding, Affine)
    return encoding


def _key(values: Any) -> _Key:
    return values.shape, values.tobytes()
