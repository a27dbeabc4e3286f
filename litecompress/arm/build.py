"""Builds the aarch64 system in which packages are run: `make setup-arm`.

Debian's packages are checked by its signatures, the wheels by the checksums written down here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from litecompress.arm.root import RECORD, Root, root_folder
from litecompress.errors import LiteCompressError
from litecompress.output import replacing

SUITE = "bookworm"
PYTHON = "3.11"  # that of the suite
DEBIAN = ("python3.11-minimal", "libpython3.11-stdlib", "libgomp1", "libstdc++6")
COMMANDS = {"qemu-aarch64": "qemu-user", "mmdebstrap": "mmdebstrap"}  # and what installs each
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
WHEELS = {
    "onnxruntime==1.31.1": "da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3",
    "numpy==2.3.5": "3095bdb8dd297e5920b010e96134ed91d852d81d490e787beca7e35ae1d89cf7",
    "ai-edge-litert==2.3.0": "853fc608f96da87bd5f3458465dfb9abbf18d5ae6b94eceacead407146f175ae",
    "flatbuffers==25.12.19": "7634f50c427838bb021c2d66a3d1168e9d199b0607e6329399f04846d42e20b4",
    "protobuf==7.36.2": "e11e1f0180583a2af89db6a2ecd9e8dc40aa6d2988ca175bfd0e6d12ea72d74e",
}


class SetupError(LiteCompressError):
    """A program that the set-up needs is missing or fails; what it said is in the message."""

    exit_code = 3


def check_commands(commands: Sequence[str] = tuple(COMMANDS)) -> None:
    """A SetupError that names the packages of all commands which are not there."""
    missing = [command for command in commands if shutil.which(command) is None]
    if missing:
        packages = " ".join(COMMANDS[command] for command in missing)
        raise SetupError(
            f"expected the commands {', '.join(commands)}, got no {', '.join(missing)}; "
            f"run: apt-get install -y --no-install-recommends {packages}"
        )


def build(folder: Path) -> Root:
    """Debian's files, the wheels unpacked, and a record of both, complete or not there at all."""
    check_commands()
    with replacing(folder, force=False, inputs=[]) as partial:
        partial.mkdir()
        _debian(partial / "debian")
        _wheels(partial / "site")
        record = {"suite": SUITE, "debian": list(DEBIAN), "wheels": WHEELS}
        (partial / RECORD).write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    return Root(folder)


def _debian(folder: Path) -> None:
    """The packages unpacked; nothing of them is run, so that no aarch64 kernel is needed."""
    _run(
        "mmdebstrap",
        "--quiet",
        "--arch=arm64",
        "--variant=extract",
        f"--include={','.join(DEBIAN)}",
        SUITE,
        str(folder),
    )


def _wheels(site: Path) -> None:
    site.mkdir()
    with tempfile.TemporaryDirectory() as temporary:
        pinned = Path(temporary, "requirements.txt")
        pinned.write_text("".join(f"{w} --hash=sha256:{h}\n" for w, h in WHEELS.items()), "utf-8")
        _run(
            *(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"),
            *("--no-deps", "--only-binary=:all:", "--require-hashes", "-r", str(pinned)),
            *("--implementation", "cp", "--python-version", PYTHON, "-d", temporary),
            *(option for platform in PLATFORMS for option in ("--platform", platform)),
        )
        for wheel in sorted(Path(temporary).glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(site)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["nothing on stderr"]
        raise SetupError(
            f"expected {command[0]} to succeed, got exit code {done.returncode} ({last[0]}); "
            "it needs the package mirrors; run it by hand to see the rest"
        )


def main() -> None:
    """Build where `verify --isa` looks, unless it is there."""
    folder = root_folder()
    try:
        root = Root(folder) if (folder / RECORD).is_file() else build(folder)
        root.check()
    except LiteCompressError as error:
        sys.exit(f"error: {error}")
    sys.stdout.write(f"aarch64 root: {folder}\n")


if __name__ == "__main__":
    main()
