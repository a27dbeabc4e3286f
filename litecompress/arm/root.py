"""The folder with the aarch64 system, and how a program is started in it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from litecompress.arm.cores import Core
from litecompress.errors import LiteCompressError

VARIABLE = "LITECOMPRESS_ARM_ROOT"
RECORD = "root.json"  # written last: it says that the rest is complete
QEMU = "qemu-aarch64"
SHARED = ("lib", "usr")  # no `tmp`: what is there is looked for in the host's


class MissingRootError(LiteCompressError):
    """What emulation needs is not installed."""

    exit_code = 3


def root_folder() -> Path:
    """Where the system is: as the environment says, else in the checkout's `build`."""
    checkout = Path(__file__).resolve().parents[2]
    return Path(os.environ.get(VARIABLE) or checkout / "build" / "aarch64")


@dataclass(frozen=True)
class Root:
    """An aarch64 system as `litecompress.arm.build` makes it."""

    folder: Path

    @classmethod
    def default(cls) -> Root:
        """Where `make setup-arm` puts it."""
        return cls(root_folder().resolve())

    def check(self) -> None:
        """A MissingRootError where the system or QEMU is not there, with what makes it."""
        if not (self.folder / RECORD).is_file():
            raise MissingRootError(
                f"expected an aarch64 system in {self.folder}, got none; run: make setup-arm "
                f"(or set {VARIABLE} to where there is one)"
            )
        if shutil.which(QEMU) is None:
            raise MissingRootError(
                f"expected the command {QEMU}, got none; "
                "run: apt-get install -y --no-install-recommends qemu-user"
            )

    def command(self, core: Core, script: Path, *arguments: str) -> list[str]:
        """The command that runs a Python script on that core."""
        prefix = self._seen_by(core)
        return [
            *(QEMU, "-cpu", core.name, "-L", str(prefix)),
            *("-E", f"PYTHONPATH={self.folder / 'site'}", "-E", "OMP_NUM_THREADS=1"),
            *("-E", "PYTHONDONTWRITEBYTECODE=1", "-E", "PYTHONHASHSEED=0"),
            str(self.folder / "debian" / "usr" / "bin" / "python3.11"),
            *("-s", str(script), *arguments),
        ]

    def _seen_by(self, core: Core) -> Path:
        """The system with the core's own `/proc` and `/sys`; the rest is shared by links."""
        prefix = self.folder / "cores" / core.name
        core.write(prefix)
        for part in SHARED:
            link = prefix / part
            if not link.is_symlink():
                link.symlink_to((self.folder / "debian" / part).resolve())
        return prefix
