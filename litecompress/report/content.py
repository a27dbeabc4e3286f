"""What a report holds, and its files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from litecompress.report.tables import markdown

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Report:
    """Everything that a run measured; sizes in bytes, latencies in ms (docs/report.md)."""

    model: dict[str, Any]
    recipe: dict[str, Any]
    sizes: dict[str, dict[str, int]]
    ratios: list[dict[str, Any]]
    ledger: dict[str, Any]
    history: list[dict[str, Any]]
    quality: dict[str, Any]
    parity: list[dict[str, Any]]
    latency: list[dict[str, Any]]
    encodings: list[dict[str, Any]]
    versions: dict[str, str]
    gate: dict[str, Any] = field(default_factory=lambda: {"passed": True, "checks": []})

    def to_dict(self) -> dict[str, Any]:
        """The content of `report.json`."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}

    def to_json(self) -> str:
        """Strict JSON: no NaN, no infinity."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"


def write_report(report: Report, folder: Path) -> None:
    """`report.json` and `report.md`."""
    (folder / "report.json").write_text(report.to_json(), "utf-8")
    (folder / "report.md").write_text(markdown(report.to_dict()), "utf-8")
