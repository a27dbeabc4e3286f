"""Core ML: an encoder and a decoder step as iOS18 ML programs of one fixed length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from litecompress.artifact import Artifact
from litecompress.backends import load_backend
from litecompress.encoding import Dense, Encoding
from litecompress.export import graphs
from litecompress.export.base import Exported, Plan, Storage, check_length, plan
from litecompress.export.coreml_weights import CARRIES, PASS, program_name
from litecompress.silence import silenced

ct = load_backend("coremltools")

Precision = Literal["float16", "float32"]
FILES = {"encoder": "encoder.mlpackage", "decoder": "decoder.mlpackage"}
MATRIX_OF = {"linear": "weight", "matmul": "y", "gather": "x"}  # that input, where constant
STORED = ("indices", "indices_nonzero_data", "data", "nonzero_data")  # what a constexpr_* keeps


@dataclass(frozen=True)
class CoreMLExport:
    """Two `.mlpackage`s with plain tensors in and out, for one sentence of at most `length` tokens.

    `precision` is what the programs compute and take in; position angles are float32 in any case.
    With storage `float32` nothing is compressed: weights are then held in that precision.
    """

    target: ClassVar[str] = "coreml"
    storage: Storage = "native"
    length: int = 64
    precision: Precision = "float16"

    def __call__(self, artifact: Artifact, folder: Path) -> Exported:
        """Write both packages; `decoded` then also names what did not come out compressed."""
        check_length(self.target, self.length, artifact)
        planned = plan(artifact, self.storage, self.target, CARRIES)
        model = graphs.build(artifact.config, planned.decode())
        config, length = artifact.config, self.length
        encoder = graphs.EncoderGraph(model), graphs.encoder_example(1, length)
        decoder = graphs.DecoderGraph(model), graphs.decoder_example(model, 1, length, length)
        for file, (graph, example), names in (
            (FILES["encoder"], encoder, graphs.encoder_names(config)),
            (FILES["decoder"], decoder, graphs.decoder_names(config)),
        ):
            with silenced():
                package = self._convert(graph, example, names, planned.weights)
                package.save(str(folder / file))
        return _exported(self.target, planned, folder)

    def _convert(
        self,
        graph: nn.Module,
        example: tuple[Tensor, ...],
        names: tuple[list[str], list[str]],
        weights: Mapping[str, Encoding],
    ) -> Any:
        """One traced and converted graph, an `MLModel` that cannot run here."""
        number = np.dtype(self.precision).type
        example = tuple(t if t.is_floating_point() else t.int() for t in example)
        with torch.no_grad():
            traced = torch.jit.trace(graph, example, check_trace=False)  # type: ignore[no-untyped-call]
        pipeline = ct.PassPipeline()
        pipeline.append_pass(PASS)
        pipeline.set_options(PASS, {"weights": weights})
        return ct.convert(
            traced,
            inputs=[
                ct.TensorType(n, t.shape, number if t.is_floating_point() else np.int32)
                for n, t in zip(names[0], example, strict=True)
            ],
            outputs=[ct.TensorType(n, dtype=number) for n in names[1]],
            minimum_deployment_target=ct.target.iOS18,
            compute_precision=_float16() if self.precision == "float16" else ct.precision.FLOAT32,
            pass_pipeline=pipeline,
            skip_model_load=True,
        )


def _float16() -> Any:
    """Half precision but for the angles of positions, whose error would grow with the position."""
    return ct.transform.FP16ComputePrecision(op_selector=lambda op: not _is_angle(op))


def _is_angle(op: Any) -> bool:
    """A sine or cosine, or what gives it its argument."""
    trigonometry = ("sin", "cos")
    readers = [reader for output in op.outputs for reader in output.child_ops]
    return op.op_type in trigonometry or any(r.op_type in trigonometry for r in readers)


@dataclass
class _Contents:
    """What packages hold, as read back from disk."""

    ops: Counter[str] = field(default_factory=Counter)
    encoded: set[str] = field(default_factory=set)  # program names of constexpr_* outputs
    matrix_bytes: int = 0  # of all weight matrices, as float32, once a graph
    small_bytes: int = 0  # of those that are stored in 8 bits or fewer


def _exported(target: str, planned: Plan, folder: Path) -> Exported:
    """Set the plan against what the packages really hold."""
    contents = _Contents()
    for file in FILES.values():
        _read(folder / file, contents)
    lost = {
        name
        for name, weight in planned.weights.items()
        if not isinstance(weight, Dense) and program_name(name) not in contents.encoded
    }
    return Exported(
        target=target,
        folder=folder,
        files=FILES,
        ops=dict(sorted(contents.ops.items())),
        native=tuple(n for n in planned.native if n not in lost),
        re_encoded=tuple(n for n in planned.re_encoded if n not in lost),
        decoded=(*planned.decoded, *sorted(lost)),
        fallbacks=(),
        re_encoding_psnr_db=planned.re_encoding_psnr_db,
        quantized_byte_share=contents.small_bytes / contents.matrix_bytes,
    )


def _read(package: Path, contents: _Contents) -> None:
    """Add a package's operators, encoded weights and matrix bytes, found by their use."""
    function = ct.utils.load_spec(str(package)).mlProgram.functions["main"]
    operations = function.block_specializations[function.opset].operations
    makers = {output.name: op for op in operations for output in op.outputs}
    matrices = set()
    for op in operations:
        if op.type != "const":
            contents.ops[op.type] += 1
        if op.type.startswith("constexpr_"):
            contents.encoded.update(output.name for output in op.outputs)
        if op.type in MATRIX_OF:
            matrices.add(op.inputs[MATRIX_OF[op.type]].arguments[0].name)
    for name in matrices & makers.keys():
        maker = makers[name]
        if maker.type == "const" or maker.type.startswith("constexpr_"):
            shape = [d.constant.size for d in maker.outputs[0].type.tensorType.dimensions]
            contents.matrix_bytes += 4 * prod(shape)
            contents.small_bytes += 4 * prod(shape) * _is_small(maker, makers)


def _is_small(op: Any, makers: Mapping[str, Any]) -> bool:
    """Whether an operator is a constant expression over integers of 8 bits or fewer."""
    stored = next((op.inputs[key].arguments[0] for key in STORED if key in op.inputs), None)
    if stored is None:
        return False
    if stored.name:
        return _is_small(makers[stored.name], makers)
    kind = ct.proto.MIL_pb2.DataType.Name(stored.value.type.tensorType.dataType)
    return kind in {"INT8", "UINT8", "INT4"} or (kind.startswith("UINT") and int(kind[4:]) < 8)
