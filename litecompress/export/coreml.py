"""Core ML: an encoder and a decoder step, or a language model's step, as ML programs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from litecompress.artifact import Artifact
from litecompress.errors import ExportError
from litecompress.export.base import Exported, Storage
from litecompress.export.coreml_contents import Contents
from litecompress.export.coreml_convert import Converter, Source, ct, sources
from litecompress.export.coreml_package import write_package
from litecompress.export.coreml_plan import Layout, Precision, layout
from litecompress.export.coreml_stored import Deployment
from litecompress.export.coreml_weights import KnownWeights, program_name
from litecompress.export.lengths import Lengths, checked_buckets

__all__ = ["CoreMLExport", "ct"]

MODEL, STEP = "model.mlpackage", "step.mlpackage"


@dataclass(frozen=True)
class CoreMLExport:
    """Programs with plain tensors in and out, for one sentence of at most `length` tokens.

    For iOS 18 one `.mlpackage` holds a function for each length and part (`encoder_16`,
    `decoder_16`, ..; a language model `step_16`) and every weight once. Programs for iOS 17 have
    one function: encoder and decoder are packages of their own, of one length, and a table that
    both look up is in both.

    `precision` is what the programs compute and take in; position angles are float32 in any case.
    `stateful`: the caches are states, which are float16 in any case. With storage `float32`
    nothing is compressed; with `strict` an encoding that cannot be kept is refused, otherwise it
    becomes int8 or plain numbers.
    """

    target: ClassVar[str] = "coreml"
    storage: Storage = "native"
    length: Lengths = 64
    precision: Precision = "float16"
    deployment: Deployment = "iOS18"
    stateful: bool = False
    strict: bool = False

    def __call__(self, artifact: Artifact, folder: Path) -> Exported:
        """Write the packages; `decoded` also names what is plain because that takes no more."""
        lengths = checked_buckets(self.target, self.length, artifact)
        self._check(lengths)
        weights = self.layout(artifact)
        known = KnownWeights(weights)
        convert = Converter(known, weights.number, self.deployment)
        made = sources(artifact.config, weights, lengths, stateful=self.stateful)
        models = {self._place(source): convert(source) for source in made}
        for file in dict.fromkeys(file for file, _ in models):
            functions = {name: model for (own, name), model in models.items() if own == file}
            write_package(folder / file, functions)
        return self._exported(weights, folder, {re.split("[_.]", f)[0]: f for f, _ in models})

    def layout(self, artifact: Artifact) -> Layout:
        """What each weight becomes; known before the export."""
        return layout(artifact, self.storage, self.deployment, self.precision, strict=self.strict)

    def _check(self, lengths: tuple[int, ...]) -> None:
        problems = []
        if len(lengths) > 1:
            problems.append(f"several lengths {', '.join(map(str, lengths))}")
        if self.stateful:
            problems.append("stateful")
        if self.deployment == "iOS17" and problems:
            raise ExportError(
                "coreml: expected one length and no states, which is all that iOS17 programs "
                f"know, got {' and '.join(problems)}; use deployment: iOS18"
            )

    def _place(self, source: Source) -> tuple[str, str]:
        """The package of a function, and its name there."""
        name = f"{source.role}_{source.length}"
        if self.deployment == "iOS17":
            return f"{name}.mlpackage", "main"
        return STEP if source.role == "step" else MODEL, name

    def _exported(self, weights: Layout, folder: Path, files: Mapping[str, str]) -> Exported:
        """Set the plan against what the packages really hold."""
        contents = Contents()
        for file in files.values():
            contents.read(folder / file)
        plain = weights.written_out()
        lost = [n for n in weights.stored if program_name(n) not in contents.encoded]
        planned, gone = weights.planned, {*plain, *lost}
        return Exported(
            target=self.target,
            folder=folder,
            files=dict(files),
            ops=dict(sorted(contents.ops.items())),
            native=tuple(n for n in planned.native if n not in gone),
            re_encoded=tuple(n for n in planned.re_encoded if n not in gone),
            decoded=(*planned.decoded, *sorted(gone)),
            fallbacks=self._notes(weights),
            re_encoding_psnr_db=planned.re_encoding_psnr_db,
            quantized_byte_share=contents.quantized_byte_share,
        )

    def _notes(self, weights: Layout) -> tuple[str, ...]:
        """What else is not as in the artifact."""
        notes = []
        if rounded := weights.rounded():
            notes.append(f"float16 rounds values or scales of {len(rounded)}: {', '.join(rounded)}")
        both = {"embedding.weight", "encoder.0.ffn.fc1.weight"} <= weights.planned.weights.keys()
        if self.deployment == "iOS17" and both:
            notes.append("iOS17 has one function a program: the shared table is in both packages")
        return tuple(notes)
