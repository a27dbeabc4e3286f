"""Export to ONNX: graphs that share one file of weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import ClassVar

import onnx
from onnx import ModelProto, helper

from litecompress.artifact import Artifact
from litecompress.encoding import Affine, Bands, Encoding, Palette, Sparse
from litecompress.errors import ExportError
from litecompress.export.base import Exported, Plan, is_matrix
from litecompress.export.conv_branch import DOMAIN, OPERATORS, OPSET, decomposition
from litecompress.export.onnx_convolution import ConvForm
from litecompress.export.onnx_graphs import Graphs
from litecompress.export.onnx_network import store
from litecompress.export.onnx_plan import OnnxStorage, plan_onnx
from litecompress.export.onnx_products import Activations
from litecompress.export.onnx_weights_file import WeightsFile
from litecompress.export.onnx_writer import GraphWriter

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
    of domain `litecompress` that carries them as a function. `shortlist`: a file of
    `litecompress shortlist`, for which two graphs are added that read the same weights.
    """

    target: ClassVar[str] = "onnx"
    storage: OnnxStorage = "int8"
    conv_branch: ConvForm = "builtin"
    activations: Activations = "per_tensor"
    shortlist: str | None = None

    def __call__(self, artifact: Artifact, folder: Path) -> Exported:
        """Write the graphs and the one file of weights."""
        planned = plan_onnx(artifact, self.storage)
        stored = store(planned.weights)
        writer = Graphs(artifact.config, stored, self.activations, self.conv_branch)
        graphs = writer.all(shortlist=self.shortlist is not None)
        ops, names = write_graphs(graphs, folder)
        _check_complete(planned, names)
        return Exported(
            target=self.target,
            folder=folder,
            files={**{role: f"{role}.onnx" for role in graphs}, "weights": WEIGHTS_FILE},
            ops=dict(sorted(ops.items())),
            native=planned.native,
            re_encoded=planned.re_encoded,
            decoded=planned.decoded,
            fallbacks=tuple(sorted(o for o in ops if o.startswith(f"{DOMAIN}::"))),
            re_encoding_psnr_db=planned.re_encoding_psnr_db,
            quantized_byte_share=quantized_byte_share(planned.weights),
        )


def write_graphs(graphs: Mapping[str, GraphWriter], folder: Path) -> tuple[Counter[str], set[str]]:
    """Write graphs and the file of their weights; their operators, and the names of the weights."""
    ops: Counter[str] = Counter()
    with WeightsFile(folder / WEIGHTS_FILE) as weights:
        for role, writer in graphs.items():
            made = _model(role, writer, weights)
            ops.update(operators(made))
            onnx.save(made, folder / f"{role}.onnx")
    return ops, weights.names


def _model(role: str, writer: GraphWriter, weights: WeightsFile) -> ModelProto:
    """A graph with its weights in the file, and the decompositions of the operators of ours."""
    initializers = [*writer.constants.values(), *weights.take(writer.stored)]
    nodes, step = writer.finished(), role != "encoder"
    graph = helper.make_graph(nodes, role, writer.inputs, writer.outputs, initializers)
    ours = {node.op_type for node in nodes if node.domain == DOMAIN}
    domains = {"": OPSET, **{node.domain: 1 for node in nodes if node.domain}}
    return helper.make_model(
        graph,
        functions=[decomposition(name, step=step) for name in OPERATORS if name in ours],
        opset_imports=[helper.make_opsetid(*domain) for domain in domains.items()],
        ir_version=IR_VERSION,
        producer_name="litecompress",
    )


def operators(model: ModelProto) -> Counter[str]:
    """Operator types of a graph, counted; those of no standard domain with their prefix."""
    nodes = model.graph.node
    return Counter(f"{n.domain}::{n.op_type}" if n.domain else n.op_type for n in nodes)


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


def _check_complete(planned: Plan, read: set[str]) -> None:
    """An ExportError where a graph does not read a weight under its own name."""
    lost = [
        name
        for name in planned.weights
        if not any(n == name or n.startswith(name + ".") for n in read)
    ]
    if lost:
        raise ExportError(
            f"onnx: expected every weight in a graph, got none that reads {', '.join(lost)}; "
            "report this with the model's config"
        )
