"""How much memory this process has had at most."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_rss_bytes() -> int:
    """The greatest resident set so far; on Linux of this program alone, not of what started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
