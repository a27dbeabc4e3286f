"""What a search chose, on a terminal."""

from __future__ import annotations

from collections import Counter

from rich.console import Console

from litecompress.scan.result import Scan
from litecompress.scan.table import short_name, table
from litecompress.search.run import Found


def show(found: Found, scan: Scan, out: Console) -> None:
    """Print a row a tensor, then the sums."""
    rows = []
    for tensor in scan.ordered:
        setting = found.settings[tensor.name]
        cost = tensor.cost(setting)
        size = tensor.kept_bytes if cost is None else cost.coded_bytes
        loss = 0.0 if cost is None else tensor.predicted(setting)
        numbers = f"{8 * size / tensor.size:.2f}", f"{size / 1e3:.1f}", f"{loss:+.5f}"
        rows.append([short_name(tensor.name), str(setting), *numbers])
    out.print(table(("tensor", "setting", "bits a weight", "kB", "loss, nats"), rows))
    predicted = found.coded_bytes + found.other_bytes
    out.print(
        f"{found.artifact_bytes} bytes as made, {predicted} predicted, of which "
        f"{found.other_bytes} are no scanned tensor's (header, tokenizers, vectors)",
        soft_wrap=True,
    )
    out.print(f"predicted loss {found.loss:+.4f} nats a token; {_how_good(found)}", soft_wrap=True)
    skipped = Counter(scan.skipped.values())
    for reason, count in skipped.items():
        as_it_is = "in half precision" if reason == "vector" else "as they are"
        out.print(f"{count} weights {as_it_is} ({reason})")


def _how_good(found: Found) -> str:
    if found.exact:
        return "nothing that was scanned does better"
    return f"nothing that was scanned does better than {found.bound:g}"
