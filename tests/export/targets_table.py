"""The table of `docs/targets.md`: what each target and storage makes of each encoding.

python -m tests.export.targets_table        # writes it again, from what the exporters report
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import get_args

from litecompress.artifact import Artifact
from litecompress.errors import ExportError
from litecompress.export.base import Exporter, Storage, is_matrix
from litecompress.export.coreml import CoreMLExport
from litecompress.export.coreml_stored import Deployment
from litecompress.export.onnx import OnnxExport
from litecompress.export.onnx_plan import OnnxStorage
from litecompress.export.tflite import TfliteExport
from litecompress.export.tflite_plan import TfliteStorage
from tests.export.one_encoding import ENCODINGS, one_encoding

PAGE = Path(__file__).resolve().parents[2] / "docs" / "targets.md"
BEGIN = "<!-- written by `python -m tests.export.targets_table` -->"
END = "<!-- end of what is written -->"
MARKED = re.compile(f"(?<={re.escape(BEGIN)}\n).*(?={re.escape(END)})", re.DOTALL)
REFUSED = re.compile(r"\w+: expected (?P<what>.*), got .*; (?P<remedy>use .*)")
COLUMNS = ("native", "int8", "int4")  # floating-point storages have a line each

Column = tuple[str, str]  # target, storage
Table = Mapping[Column, Mapping[str, str]]  # -> encoding -> outcome


def exporters() -> dict[Column, Exporter]:
    """Every target with every storage, all other options as they are by default."""
    coreml = {
        (f"Core ML {deployment}", storage): CoreMLExport(storage, deployment=deployment)
        for deployment in get_args(Deployment)[::-1]
        for storage in get_args(Storage)
    }
    return {
        **{("ONNX", storage): OnnxExport(storage) for storage in get_args(OnnxStorage)},
        **coreml,
        **{("TFLite", storage): TfliteExport(storage, 8) for storage in get_args(TfliteStorage)},
    }


def outcomes() -> tuple[Table, list[str]]:
    """What becomes of matrices, and every refusal's reason once."""
    table: dict[Column, dict[str, str]] = {column: {} for column in exporters()}
    reasons: list[str] = []
    for encoding in ENCODINGS:
        model = one_encoding(encoding)
        for column, exporter in exporters().items():
            try:
                table[column][encoding] = " or ".join(became(model, exporter))
            except ExportError as error:
                table[column][encoding] = "refused"
                reason = REFUSED.sub(r"expected \g<what>; \g<remedy>", str(error))
                reasons.append(f"- {column[0]} with `{column[1]}` refuses: {reason}.")
    return table, list(dict.fromkeys(reasons))


def became(model: Artifact, exporter: Exporter) -> list[str]:
    """The outcomes that there are among a model's matrices."""
    matrices = {name for name, weight in model.weights.items() if is_matrix(name, weight)}
    read = planned if isinstance(exporter, CoreMLExport) else exported
    return [outcome for outcome, names in read(model, exporter).items() if matrices & names]


def exported(model: Artifact, exporter: Exporter) -> dict[str, set[str]]:
    """Names of weights by outcome, as an export reports them."""
    with tempfile.TemporaryDirectory() as folder:
        report = exporter(model, Path(folder))
    kinds = {"native": report.native, "re-encoded": report.re_encoded, "decoded": report.decoded}
    return {outcome: set(names) for outcome, names in kinds.items()}


def planned(model: Artifact, exporter: CoreMLExport) -> dict[str, set[str]]:
    """The same as Core ML's plan has them, in a fraction of the time."""
    layout = exporter.layout(model)
    plain, plan = set(layout.written_out()), layout.planned
    return {
        "native": set(plan.native) - plain,
        "re-encoded": set(plan.re_encoded) - plain,
        "decoded": {*plan.decoded, *plain},
    }


@cache
def written() -> str:
    """The table in Markdown, a line for each floating-point storage and for each refusal."""
    table, reasons = outcomes()
    storages = list(dict.fromkeys(storage for _, storage in table if storage not in COLUMNS))
    lines = [_line(storage, table) for storage in storages]
    return "\n".join([*_rows(table), "", *lines, *reasons])


def _rows(table: Table) -> list[str]:
    shown = [column for column in table if column[1] in COLUMNS]
    targets = ["" if shown[i - 1][0] == t and i else t for i, (t, _) in enumerate(shown)]
    rows = [["", *targets], ["---"] * (len(shown) + 1)]
    rows.append(["encoding", *(f"`{storage}`" for _, storage in shown)])
    rows += [[encoding, *(table[column][encoding] for column in shown)] for encoding in ENCODINGS]
    return ["| " + " | ".join(row) + " |" for row in rows]


def _line(storage: str, table: Table) -> str:
    """What one storage makes of the encodings; what most become is said of all else."""
    shown = {target: made for (target, own), made in table.items() if own == storage}
    most = Counter(o for made in shown.values() for o in made.values()).most_common(1)[0][0]
    parts: dict[str, list[str]] = {}
    for encoding in ENCODINGS:
        for outcome in sorted({made[encoding] for made in shown.values()} - {most}):
            where = [target for target, made in shown.items() if made[encoding] == outcome]
            only = "" if len(where) == len(shown) else f" ({', '.join(where)})"
            parts.setdefault(outcome, []).append(encoding + only)
    said = [f"{outcome}: {', '.join(names)}" for outcome, names in parts.items()]
    return f"- `{storage}` ({', '.join(shown)}): " + "; ".join([*said, f"{most}: all else."])


def rewritten(page: str) -> str:
    """The page with what is between its markers replaced."""
    return MARKED.sub(lambda _: written() + "\n", page)


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text()))
