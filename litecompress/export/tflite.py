"""Export to TFLite: one file with signatures for every length, which share their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from litecompress.artifact import Artifact
from litecompress.backends import load_backend
from litecompress.encoding import Encoding
from litecompress.errors import ExportError
from litecompress.export import tflite_file
from litecompress.export.base import Exported
from litecompress.export.lengths import Lengths, checked_buckets
from litecompress.export.tflite_compat import check_compat
from litecompress.export.tflite_composite import DOMAIN
from litecompress.export.tflite_graphs import Form, write_graphs
from litecompress.export.tflite_layers import ConvBranch
from litecompress.export.tflite_plan import TfliteStorage, plan_tflite, quantized_byte_share
from litecompress.export.tflite_stored import Activations

load_backend("ai_edge_litert.schema_py_generated")  # what is missing is named before anything else

FILE = "model.tflite"


@dataclass(frozen=True)
class TfliteExport:
    """`model.tflite` for sentences of at most `length` tokens on either side, or of several such.

    `storage`: `native` keeps grids exactly and refuses what TFLite cannot carry, such as palettes;
    `int8` and `int4` round what is not on such a grid; `float16` and `float32` decode. With
    `activations: dynamic` integers are multiplied with inputs quantized on the fly, a scale a row
    of them; with `float32` they are expanded when the model is loaded, which is exact and no
    faster. `conv_branch`: `builtin` writes the convolution in standard operators, `custom` as one
    composite of domain `litecompress` that carries them. `compat: tflite-runtime` refuses what the
    last release of that runtime, 2.14, does not execute rightly.
    """

    target: ClassVar[str] = "tflite"
    storage: TfliteStorage = "int8"
    length: Lengths = 64
    activations: Activations = "dynamic"
    conv_branch: ConvBranch = "builtin"
    compat: Literal["tflite-runtime"] | None = None

    def __post_init__(self) -> None:
        if self.compat is not None:
            check_compat(self.storage, self.activations, self.conv_branch)

    def __call__(self, artifact: Artifact, folder: Path) -> Exported:
        """Write the file."""
        lengths = checked_buckets(self.target, self.length, artifact)
        planned = plan_tflite(artifact, self.storage, self.activations)
        form = Form(
            artifact.config,
            planned.weights,
            self.activations,
            self.conv_branch,
            integer_lookups=self.compat is None,
        )
        model = write_graphs(form, lengths).model
        _check_complete(planned.weights, model)
        ops = tflite_file.count_operators(model)
        (folder / FILE).write_bytes(tflite_file.pack(model))
        return Exported(
            target=self.target,
            folder=folder,
            files={"step" if artifact.config.is_language_model else "model": FILE},
            ops=ops,
            native=planned.native,
            re_encoded=planned.re_encoded,
            decoded=planned.decoded,
            fallbacks=tuple(sorted(op for op in ops if op.startswith(DOMAIN))),
            re_encoding_psnr_db=planned.re_encoding_psnr_db,
            quantized_byte_share=quantized_byte_share(planned),
        )


def _check_complete(weights: Mapping[str, Encoding], model: Any) -> None:
    """An ExportError where no graph reads a weight under its own name."""
    lost = sorted(weights.keys() - tflite_file.weight_names(model))
    if lost:
        raise ExportError(
            f"tflite: expected every weight in a graph, got none that reads {', '.join(lost)}; "
            "report this with the model's config"
        )
