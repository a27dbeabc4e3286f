"""The command line, run in this process or in others."""

from __future__ import annotations

import resource
import subprocess
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


def least_seconds(script, *, times=3):
    """A script's output and the least processor time of so many processes that run it."""
    spent = []
    for _ in range(times):
        before = _children()
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        spent.append(_children() - before)
    return done.stdout, min(spent)


def _children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
