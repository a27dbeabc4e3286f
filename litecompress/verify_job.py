"""Open what `verify` compares: a package, the model that it was made from, sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from litecompress.arm.cores import find_core
from litecompress.arm.root import Root
from litecompress.artifact import Artifact
from litecompress.artifact_file import load_model
from litecompress.encoding import Affine, Bands, Encoding, Sparse
from litecompress.errors import InputError
from litecompress.evaluate.text_metrics import bleu
from litecompress.export.package import package_tokenizers, read_manifest
from litecompress.runtime.open import LEVELS, open_language_model, open_model
from litecompress.sizes.account import account
from litecompress.text import read_lines
from litecompress.tokenizer import Tokenizer, Tokenizers
from litecompress.verify.check import Bounds, Check
from litecompress.verify.decoding import JUDGED
from litecompress.verify.run import Plan, Say, Subject, Text, Verification, verify

EMULATED_SENTENCES = 20  # the same where every operator is run by NumPy
SAMPLES = "samples.tsv"


@dataclass(frozen=True)
class Job:
    """What the command line asks for; None is a default that depends on the package."""

    package: Path
    against: Path | None = None
    sentences: Path | None = None
    count: int | None = None
    beam: int = 5
    longest: int | None = None
    cores: tuple[str, ...] = ()
    core_sentences: int = 40
    structural: bool = False
    bounds: Mapping[str, float | None] = field(default_factory=dict)

    def run(self, say: Say) -> Verification:
        """Every check that the job asks for, the structural one first."""
        cores = tuple(find_core(name) for name in self.cores)
        if cores:
            Root.default().check()
        manifest = read_manifest(self.package)
        artifact = _artifact(self.package, manifest, self.against)
        precision = precision_of(manifest["options"], artifact)
        bounds = Bounds.of(precision, **self.bounds)
        tokenizers = Tokenizers.of(*package_tokenizers(self.package, manifest))
        session = None if self.structural else _session(self.package, manifest)
        subject = Subject(
            package=self.package,
            target=manifest["target"],
            level="structural" if self.structural else LEVELS[manifest["target"]],  # type: ignore[arg-type]
            precision=precision,
            session=session,
            reference=None if artifact is None or self.structural else _reference(artifact),
            tokenizer=tokenizers.target,
            is_language_model="step" in manifest["roles"],
            leaky=artifact is not None and artifact.config.conv_padding == "leaky",
            buckets=_buckets(manifest["options"]),
            against=str(self.against) if self.against else None,
        )
        found = Verification(subject, bounds, [structure(self.package, artifact)])
        if self.structural:
            return found
        longest = self._longest(subject, artifact)
        text = self._text(subject, tokenizers.source, longest, found.notes)
        plan = Plan(bounds, longest, self.beam, cores, self.core_sentences)
        return verify(subject, text, plan, lambda h, r: bleu(h, r).score, found, say)

    def _longest(self, subject: Subject, artifact: Artifact | None) -> int:
        """The longest sequence that both sides have room for, or less if less is asked for."""
        session = subject.session
        limits = [session.max_target]
        if not subject.is_language_model:
            limits.append(session.max_source)
        if artifact is not None:
            limits.append(artifact.config.max_positions)
        if self.longest is not None and self.longest > min(limits):
            raise InputError(
                f"expected --longest of at most {min(limits)}, which the package has room for, "
                f"got {self.longest}"
            )
        return min(limits) if self.longest is None else self.longest

    def _text(self, subject: Subject, tokenizer: Tokenizer, longest: int, notes: list[str]) -> Text:
        """The first sentences that fit; fewer than asked for are an InputError."""
        path = self.sentences or _samples(self.against)
        pairs = [line.split("\t") for line in read_lines(path) if line.strip()]
        rows = [(tuple(tokenizer.encode(pair[0])), pair) for pair in pairs]
        fitting = [(ids, pair) for ids, pair in rows if 1 < len(ids) <= longest]
        if len(fitting) < len(rows):
            left = len(rows) - len(fitting)
            notes.append(f"{left} sentences of more than {longest} tokens left out")
        usual = JUDGED if subject.level == "executed" else EMULATED_SENTENCES
        count = usual if self.count is None else self.count
        if not fitting or (self.count is not None and len(fitting) < self.count):
            raise InputError(
                f"{path}: expected {max(1, count)} sentences of at most {longest} tokens, got "
                f"{len(fitting)}; give more by --sentences, or ask for fewer by --count"
            )
        chosen = fitting[:count]
        if len(chosen) < JUDGED:
            notes.append(f"{len(chosen)} sentences: BLEU is judged from {JUDGED} on")
        paired = all(len(pair) == 2 for _, pair in chosen) and not subject.is_language_model
        references = [pair[1] for _, pair in chosen] if paired else None
        return Text([ids for ids, _ in chosen], references)


def precision_of(options: Mapping[str, Any], artifact: Artifact | None) -> str:
    """What a package computes in and how far its weights were rounded, for the bounds.

    `float32` only where it computes in float32 exactly what the model holds.
    """
    if options.get("precision") == "float16" or options.get("storage") == "float16":
        return "float16"
    storage = options.get("storage")
    if storage in ("int8", "int4"):
        return str(storage)
    grids = artifact is None or any(map(_has_grid, artifact.weights.values()))
    return "int8" if storage == "native" and grids else "float32"


def structure(package: Path, artifact: Artifact | None) -> Check:
    """Whether the files are whole and hold every weight; of ONNX alone these have their names."""
    sheet = account(package).sheet
    figures: dict[str, float] = {"tensors": len({part.name for part in sheet.parts})}
    if artifact is None or sheet.target != "onnx":
        return Check("structure", "files", "structural", figures)
    held = {part.name for part in sheet.parts}
    figures["weights_missing"] = len(artifact.weights.keys() - held)
    return Check("structure", "files and weights", "structural", figures, {"weights_missing": 0})


def _artifact(package: Path, manifest: Mapping[str, Any], against: Path | None) -> Artifact | None:
    """The model, if it may be the one that the package was made from."""
    if against is None:
        return None
    artifact = load_model(against)
    made_from = f"expected the model that {package} was made from, got {against}"
    if artifact.config.is_language_model != ("step" in manifest["roles"]):
        raise InputError(f"{made_from}, which is of another kind; name the right one by --against")
    if package_tokenizers(package, manifest) != (artifact.tokenizer, artifact.target_tokenizer):
        raise InputError(f"{made_from} with another tokenizer; name the right one by --against")
    return artifact


def _session(package: Path, manifest: Mapping[str, Any]) -> Any:
    opened = open_language_model if "step" in manifest["roles"] else open_model
    return opened(package)[0]


def _reference(artifact: Artifact) -> Any:
    """The model in PyTorch."""
    if artifact.config.is_language_model:
        from litecompress.runtime.torch_language import TorchLanguageSession

        return TorchLanguageSession.of(artifact)
    from litecompress.runtime.torch_session import TorchSession

    return TorchSession.of(artifact)


def _buckets(options: Mapping[str, Any]) -> tuple[int, ...]:
    """The lengths that a package was made for; ()  where any length will do."""
    length = options.get("length")
    if length is None:
        return ()
    return (length,) if isinstance(length, int) else tuple(length)


def _samples(model: Path | None) -> Path:
    """The sentences that lie beside a model."""
    if model is None:
        raise InputError(
            "expected sentences, got none; give a file by --sentences, one a line, "
            "after a tab its reference"
        )
    found = (model if model.is_dir() else model.parent) / SAMPLES
    if not found.is_file():
        raise InputError(
            f"expected sentences, got no {SAMPLES} beside {model}; give a file by --sentences"
        )
    return found


def _has_grid(encoding: Encoding) -> bool:
    """Whether a weight is on an integer grid, which runtimes multiply in integers."""
    match encoding:
        case Affine() | Sparse(values=Affine()):
            return True
        case Bands(parts=parts):
            return any(map(_has_grid, parts))
    return False
