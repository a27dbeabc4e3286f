"""Export to ONNX: graphs that share one file of weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import ClassVar, Literal

import onnx_ir as ir
from onnx_ir.passes import common as passes

from litecompress.artifact import Artifact
from litecompress.backends import load_backend
from litecompress.encoding import Affine, Bands, Encoding, Palette, Sparse
from litecompress.errors import ExportError
from litecompress.export.base import Exported, Plan, is_matrix
from litecompress.export.conv_branch import DOMAIN, decomposition
from litecompress.export.onnx_lowering import Lowering, store
from litecompress.export.onnx_plan import OnnxStorage, plan_onnx
from litecompress.export.onnx_products import Activations
from litecompress.export.onnx_simplify import simplify
from litecompress.export.onnx_trace import trace
from litecompress.export.onnx_weights_file import WeightsFile
from litecompress.export.onnx_writer import CONTRIB

load_backend("onnxruntime")  # torch's exporter asks for it half way and hides that it is missing

IR_VERSION = 10  # ONNX Runtime refuses what the newest onnx package writes by default
WEIGHTS_FILE = "weights.bin"


@dataclass(frozen=True)
class OnnxExport:
    """`encoder.onnx` and `decoder.onnx`, or a language model's `step.onnx`, and `weights.bin`.

    Batch and lengths are dynamic. `storage`: `native` keeps every encoding, packed; `int8` and
    `int4` round what is not on such a grid; `float16` and `float32` decode. Grids are multiplied in
    integers with activations quantized on the fly; all else is expanded when the model is loaded.
    `activations` are quantized with weights of 8 bits `per_tensor` in standard operators, or
    `per_block` of a row, faster where a CPU has dot products of bytes and much slower where not.
    `conv_branch`: `builtin` writes the convolution in standard operators, `custom` as one operator
    of domain `litecompress` that carries them as a function.
    """

    target: ClassVar[str] = "onnx"
    storage: OnnxStorage = "int8"
    conv_branch: Literal["builtin", "custom"] = "builtin"
    activations: Activations = "per_tensor"

    def __call__(self, artifact: Artifact, folder: Path) -> Exported:
        """Write the graphs and the one file of weights."""
        planned = plan_onnx(artifact, self.storage)
        traced = trace(artifact.config, planned)
        stored = store(planned.weights, [model.graph for model in traced.values()])
        weights = WeightsFile(folder / WEIGHTS_FILE)
        ops: Counter[str] = Counter()
        for role, model in traced.items():
            Lowering(model.graph, stored, self.activations).run()
            self._finish(model)
            ops.update(operators(model))
            weights.take(model)
            ir.save(model, folder / f"{role}.onnx")
        weights.write()
        _check_complete(planned, weights)
        return Exported(
            target=self.target,
            folder=folder,
            files={**{role: f"{role}.onnx" for role in traced}, "weights": WEIGHTS_FILE},
            ops=dict(sorted(ops.items())),
            native=planned.native,
            re_encoded=planned.re_encoded,
            decoded=planned.decoded,
            fallbacks=tuple(sorted(o for o in ops if o.startswith(f"{DOMAIN}::"))),
            re_encoding_psnr_db=planned.re_encoding_psnr_db,
            quantized_byte_share=quantized_byte_share(planned.weights),
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
        simplify(model.graph)
        if any(n.domain == CONTRIB for n in model.graph):
            model.graph.opset_imports[CONTRIB] = 1
        passes.RemoveUnusedNodesPass()(model)
        passes.ClearMetadataAndDocStringPass()(model)
        model.ir_version = IR_VERSION
        model.producer_name, model.producer_version = "litecompress", ""


def operators(model: ir.Model) -> Counter[str]:
    """Operator types of a graph, counted; those of no standard domain with their prefix."""
    return Counter(f"{n.domain}::{n.op_type}" if n.domain else n.op_type for n in model.graph)


def quantized_byte_share(weights: Mapping[str, Encoding]) -> float:
    """Share of the weight matrices, by size in float32, that are stored in 8 bits or fewer."""
    matrices = [w for n, w in weights.items() if is_matrix(n, w)]
    total = sum(prod(w.shape) for w in matrices)
    return sum(map(_small_elements, matrices)) / total if total else 0.0


def _small_elements(encoding: Encoding) -> int:
    """Elements that are codes, a masked zero among codes being one."""
    match encoding:
        case Affine() | Palette() | Sparse(values=Affine() | Palette()):
            return prod(encoding.shape)
        case Bands(parts=parts):
            return sum(map(_small_elements, parts))
    return 0


def _check_complete(planned: Plan, weights: WeightsFile) -> None:
    """An ExportError where a graph does not read a weight under its own name."""
    lost = [
        name
        for name in planned.weights
        if not any(n == name or n.startswith(name + ".") for n in weights.names)
    ]
    if lost:
        raise ExportError(
            f"onnx: expected every weight in a graph, got none that reads {', '.join(lost)}; "
            "report this with the model's config"
        )
