"""A Python process in which nothing can be imported but what an extra installs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib import metadata

from tests.models import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BLOCKER = """
import json, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
BLOCKED = set(json.loads(sys.argv[1]))
sys.meta_path.insert(0, Blocker())
from litecompress import cli
for words in json.loads(sys.argv[2]):
    sys.argv = ["litecompress", *words]
    try:
        cli.main()
    except SystemExit as stop:
        if stop.code:
            raise
"""


def run_commands(extra, *commands):
    """Run commands one after another in one process; the first that fails ends it."""
    given = json.dumps(sorted(blocked(extra))), json.dumps([[*map(str, c)] for c in commands])
    command = [sys.executable, "-c", BLOCKER, *given]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@cache
def blocked(extra):
    """Modules of everything that is installed here and that the extra does not bring."""
    installed = _closure(_requirements(extra))
    return {
        module
        for module, distributions in metadata.packages_distributions().items()
        if module != "litecompress" and not installed & {_plain(d) for d in distributions}
    }


def _requirements(extra):
    """Requirements of the project itself and of one of its extras, which may name others."""
    yield from PROJECT["dependencies"]
    for line in PROJECT["optional-dependencies"][extra]:
        inner = re.fullmatch(r"litecompress\[(.+)\]", line)
        if inner:
            for name in inner[1].split(","):
                yield from _requirements(name)
        else:
            yield line


def _closure(lines):
    """Plain names of distributions and of all that they require."""
    found, waiting = set(), list(lines)
    while waiting:
        line = waiting.pop()
        name = _plain(re.match(r"[\w.-]+", line)[0])
        if "extra ==" in line or name in found:
            continue
        try:
            waiting += metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        found.add(name)
    return found


def _plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()
