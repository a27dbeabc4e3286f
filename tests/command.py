"""The command line, run in this process."""

from __future__ import annotations

import sys

from litecompress import cli


def run_command(monkeypatch, capsys, *words):
    """Exit code, stdout and stderr of `litecompress WORDS`."""
    monkeypatch.setattr(sys, "argv", ["litecompress", *map(str, words)])
    try:
        cli.main()
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    return code, *capsys.readouterr()
