"""Freed memory goes back to the system."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import pytest

from litecompress.runtime.memory import give_back


def resident_bytes():
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmRSS:")[1].split()[0])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc, which can be asked")
def test_what_is_freed_below_something_in_use_goes_back():
    blocks = [np.ones(100_000, np.uint8) for _ in range(1000)]
    top = np.ones(100_000, np.uint8)
    blocks.clear()
    before = resident_bytes()
    give_back()
    assert resident_bytes() < before - 50_000_000
    assert top.all()
