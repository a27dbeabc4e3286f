"""The report as tables, for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Sequence[str]


@dataclass(frozen=True)
class Table:
    """A title, column heads and rows of text."""

    title: str
    heads: Row
    rows: Sequence[Row]


def tables(report: Mapping[str, Any]) -> Iterator[Table]:
    """Every table of a report, in reading order."""
    yield _sizes(report)
    yield _quality(report["quality"])
    yield _parity(report["parity"])
    yield _encodings(report["encodings"])
    yield _latency(report["latency"])
    yield _ledger(report["ledger"])
    yield _gate(report["gate"])


def markdown(report: Mapping[str, Any]) -> str:
    """The tables in Markdown."""
    parts = [f"# litecompress: {report['model']['path']}\n"]
    for table in tables(report):
        lines = [f"## {table.title}\n", _line(table.heads), _line(["---"] * len(table.heads))]
        parts.append("\n".join([*lines, *map(_line, table.rows)]) + "\n")
    verdict = "passed" if report["gate"]["passed"] else "FAILED"
    return "\n".join(parts) + f"\nGate {verdict}.\n"


def _line(cells: Row) -> str:
    return "| " + " | ".join(cells) + " |"


def _sizes(report: Mapping[str, Any]) -> Table:
    ratio = {r["scope"]: r["value"] for r in report["ratios"]}
    rows = [
        [scope, _mb(s["baseline"]), _mb(s["compressed"]), f"{ratio[scope]:.2f}x"]
        for scope, s in report["sizes"].items()
    ]
    return Table("Sizes (MB = 10^6 bytes)", ["scope", "float32", "compressed", "ratio"], rows)


def _quality(quality: Mapping[str, Any]) -> Table:
    names = ("baseline", "compressed")
    nll = [f"{quality[n]:.4f}" for n in names]
    scores = [quality["bleu"][n] for n in names]
    cells = [f"{s['score']:.1f} [{s['low']:.1f}, {s['high']:.1f}]" for s in scores]
    difference = scores[1]["score"] - scores[0]["score"]
    rows = [
        ["token NLL (nats)", *nll, f"{quality['delta']:+.4f}"],
        [f"BLEU, beam {quality['bleu']['beam']} (95 %)", *cells, f"{difference:+.1f}"],
    ]
    title = f"Quality on {quality['sentences']} samples ({quality['bleu']['signature']})"
    return Table(title, ["metric", "trained", "compressed", "change"], rows)


def _parity(parity: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [
            p["target"],
            p["level"],
            p["precision"],
            "equal" if p["psnr_db"] is None else f"{p['psnr_db']:.1f}",
            "not finite" if p["max_abs_err"] is None else f"{p['max_abs_err']:.2g}",
            f"{100 * p['token_agreement']:.1f} %",
            "-" if p["greedy_agreement"] is None else f"{100 * p['greedy_agreement']:.0f} %",
        ]
        for p in parity
    ]
    heads = ["target", "level", "precision", "PSNR dB", "max error", "tokens", "whole decodes"]
    return Table("Parity with the decoded artifact in PyTorch", heads, rows)


def _encodings(encodings: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [
            e["target"],
            *(str(e[k]) for k in ("native", "re_encoded", "decoded")),
            "-" if e["re_encoding_psnr_db"] is None else f"{e['re_encoding_psnr_db']:.1f}",
            f"{100 * e['quantized_byte_share']:.1f} %",
            ", ".join(name.split("::")[-1] for name in e["fallbacks"]) or "-",
        ]
        for e in encodings
    ]
    heads = ["target", "native", "re-encoded", "decoded", "2nd rounding dB", "8-bit", "fallbacks"]
    return Table("What became of the weights (tensors; share of matrices in 8 bits)", heads, rows)


def _latency(latency: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    for row in latency:
        if row["provenance"] == "measured":
            figure = f"p50 {row['p50_ms']:.2f}, p90 {row['p90_ms']:.2f}"
            how = f"measured, {row['runtime']}, n={row['n']}"
            how += "" if row["valid"] else ", INVALID: the core was shared"
        else:
            low, high = row["band_ms"]
            figure = f"between {low:.1f} and {high:.1f}; rank {row['rank']} of {row['of']}"
            how = f"{row['provenance']}, tier {row['tier']}"
        rows.append([row["profile"], row["target"], figure, how])
    return Table("Latency (ms a sentence, 1 thread)", ["profile", "target", "ms", "how"], rows)


def _ledger(ledger: Mapping[str, Any]) -> Table:
    rows = [
        [
            r["model"],
            f"{r['paper_mb']:.1f}",
            _mb(r["paper_scope_bytes"], 1),
            _mb(r["everything_bytes"], 1),
        ]
        for r in ledger["rows"]
    ]
    total = ledger["ratios"]
    rows.append(["ratio", "18.2x", f"{total['paper_scope']}x", f"{total['everything']}x"])
    heads = ["embed496", "paper", "its scope", "everything counted"]
    return Table("The paper's ledger (MB, closed form)", heads, rows)


def _gate(gate: Mapping[str, Any]) -> Table:
    rows = [
        [
            c["name"],
            f"{c['limit']:g}",
            "unbounded" if c["actual"] is None else f"{c['actual']:.6g}",
            "passed" if c["passed"] else "FAILED",
        ]
        for c in gate["checks"]
    ]
    return Table("Gate", ["check", "limit", "actual", "verdict"], rows)


def _mb(size_bytes: int, digits: int = 3) -> str:
    return f"{size_bytes / 1e6:.{digits}f}"
