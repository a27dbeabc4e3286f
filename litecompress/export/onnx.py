"""Export to ONNX: encoder and decoder step as two graphs that share one file of weights."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import onnx_ir as ir
import torch
from onnx_ir.passes import common as passes
from torch import nn
from torch.export import Dim

from litecompress.artifact import Artifact
from litecompress.backends import load_backend
from litecompress.export import graphs
from litecompress.export.base import Exported, Plan, Storage, plan
from litecompress.export.conv_branch import DOMAIN, OPSET, conv_operator, decomposition
from litecompress.export.onnx_lowering import Lowering, multiplied_weights
from litecompress.export.onnx_symbols import translation_table
from litecompress.model.config import ModelConfig
from litecompress.silence import silenced

load_backend("onnxruntime")  # torch's exporter asks for it half way and hides that it is missing

IR_VERSION = 10  # ONNX Runtime refuses what the newest onnx package writes by default
WEIGHTS_FILE = "weights.bin"
INLINE_BYTES = 256  # smaller tensors stay in the graph
ALIGN_BYTES = 64
CARRIES = frozenset({"palette", "sparse_palette", "affine"})


@dataclass(frozen=True)
class OnnxExport:
    """`encoder.onnx`, `decoder.onnx` and `weights.bin`; batch and lengths are dynamic.

    `storage`: `int8` re-encodes matrices to a symmetric grid a row, computed in integers with
    activations quantized on the fly; `native` keeps palettes and zeros, exact, expanded when the
    model is loaded; `float32` decodes. `conv_branch`: `builtin` writes the convolution in standard
    operators, `custom` as one operator of domain `litecompress` that carries them as a function.
    """

    target: ClassVar[str] = "onnx"
    storage: Storage = "int8"
    conv_branch: Literal["builtin", "custom"] = "builtin"

    def __call__(self, artifact: Artifact, folder: Path) -> Exported:
        planned = plan(artifact, self.storage, self.target, CARRIES)
        model = graphs.build(artifact.config, planned.decode(), conv_operator)
        traced = _trace(model)
        multiplied = multiplied_weights([m.graph for m in traced.values()])
        weights = _WeightsFile(folder / WEIGHTS_FILE)
        ops: Counter[str] = Counter()
        for role, graph_model in traced.items():
            Lowering(graph_model.graph, planned.weights, multiplied).run()
            self._finish(graph_model)
            ops.update(operators(graph_model))
            weights.take(graph_model)
            ir.save(graph_model, folder / f"{role}.onnx")
        weights.write()
        files = {"encoder": "encoder.onnx", "decoder": "decoder.onnx", "weights": WEIGHTS_FILE}
        fallbacks = tuple(sorted(o for o in ops if o.startswith(f"{DOMAIN}::")))
        return Exported(
            target=self.target,
            folder=folder,
            files=files,
            ops=dict(sorted(ops.items())),
            native=planned.native,
            re_encoded=planned.re_encoded,
            decoded=planned.decoded,
            fallbacks=fallbacks,
            re_encoding_psnr_db=planned.re_encoding_psnr_db,
            quantized_byte_share=weights.quantized_byte_share(planned),
        )

    def _finish(self, model: ir.Model) -> None:
        """Give the convolutions their decomposition, as function or inlined; drop what is dead."""
        used = {n.op_type for n in model.graph if n.domain == DOMAIN}
        for name in sorted(used):
            function = ir.serde.deserialize_function(decomposition(name))
            model.functions[function.identifier()] = function
        model.graph.opset_imports[DOMAIN] = 1
        if self.conv_branch == "builtin":
            passes.InlinePass()(model)
            del model.graph.opset_imports[DOMAIN]
        passes.RemoveUnusedNodesPass()(model)
        passes.ClearMetadataAndDocStringPass()(model)
        model.ir_version = IR_VERSION
        model.producer_name, model.producer_version = "litecompress", ""


def operators(model: ir.Model) -> Counter[str]:
    """Operator types of a graph, counted; those of the project's domain with their prefix."""
    return Counter(
        f"{n.domain}::{n.op_type}" if n.domain == DOMAIN else n.op_type for n in model.graph
    )


class _WeightsFile:
    """All larger tensors of a package, each stored once whichever graphs use it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = bytearray()
        self.offsets: dict[tuple[str, bytes], int] = {}
        self.matrices: dict[str, tuple[int, bool]] = {}  # name -> elements, in 8 bits or fewer

    def take(self, model: ir.Model) -> None:
        """Move a graph's initializers into the file."""
        for value in model.graph.initializers.values():
            tensor = value.const_value
            assert tensor is not None and value.name is not None
            content = tensor.tobytes()
            if len(tensor.shape) == 2:
                name = value.name.removeprefix("litecompress.").removeprefix("model.")
                self.matrices[name] = (tensor.size, tensor.dtype.itemsize == 1)
            if len(content) < INLINE_BYTES:
                continue
            key = (str(tensor.dtype), content)
            if key not in self.offsets:
                self.data.extend(bytes(-len(self.data) % ALIGN_BYTES))
                self.offsets[key] = len(self.data)
                self.data.extend(content)
            value.const_value = ir.ExternalTensor(
                self.path.name,
                self.offsets[key],
                len(content),
                tensor.dtype,
                shape=tensor.shape,  # type: ignore[arg-type]
                name=value.name,
                base_dir=self.path.parent,
            )

    def write(self) -> None:
        self.path.write_bytes(self.data)

    def quantized_byte_share(self, planned: Plan) -> float:
        """Share of the weight matrices, by size in float32, that the file holds in 8 bits."""
        matrices = [(n, *m) for n, m in self.matrices.items() if n in planned.weights]
        matrices = [m for m in matrices if m[0].endswith(".weight")]
        total = sum(size for _, size, _ in matrices)
        return sum(size for _, size, small in matrices if small) / total if total else 0.0


def _trace(model: nn.Module) -> dict[str, ir.Model]:
    """Both graphs with symbolic weights, batch and lengths dynamic."""
    config: ModelConfig = model.config  # type: ignore[assignment]
    batch, source, target = (
        Dim(name, min=1, max=4096) for name in ("batch", "source_length", "target_length")
    )
    token = {0: batch}
    cache, cross = {0: batch, 2: target}, {0: batch, 2: source}
    state = {"key": cache, "value": cache, "conv": token, "cross_key": cross, "cross_value": cross}
    states = tuple(state[part] for parts in graphs.state_parts(config) for part in parts)
    decoder_shapes: tuple[Any, ...] = (token, {}, {0: batch, 3: source}, states)
    return {
        "encoder": _export(
            graphs.EncoderGraph(model),  # type: ignore[arg-type]
            graphs.encoder_example(2, 9),
            graphs.encoder_names(config),
            ({0: batch, 1: source},),
        ),
        "decoder": _export(
            graphs.DecoderGraph(model),  # type: ignore[arg-type]
            graphs.decoder_example(model, 2, 9, 12),  # type: ignore[arg-type]
            graphs.decoder_names(config),
            decoder_shapes,
        ),
    }


def _export(
    module: nn.Module,
    example: tuple[torch.Tensor, ...],
    names: tuple[list[str], list[str]],
    shapes: tuple[Any, ...],
) -> ir.Model:
    with silenced():
        program = torch.onnx.export(
            module.eval(),
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=names[0],
            output_names=names[1],
            dynamic_shapes=shapes,
            custom_translation_table=translation_table(),
            verbose=False,
        )
    assert program is not None
    return program.model
