"""The cores that can be emulated, and how each presents itself to the libraries that ask.

ONNX Runtime chooses its kernels by `/proc/cpuinfo` and `/sys/devices/system/cpu`: what it reads
there has to be the core that QEMU emulates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from litecompress.errors import InputError

_ARMV8_0 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
_ARMV8_2 = f"{_ARMV8_0} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"


@dataclass(frozen=True)
class Core:
    """One core by QEMU's name for it; `features` as Linux lists them."""

    name: str
    part: int
    variant: int
    revision: int
    max_frequency_khz: int
    features: str
    found_in: str

    @property
    def midr(self) -> int:
        """The main identification register: Arm, ARMv8, part and revision."""
        return 0x410F0000 | self.variant << 20 | self.part << 4 | self.revision

    def files(self) -> dict[str, str]:
        """What Linux shows of one such core, by path."""
        cpu = "sys/devices/system/cpu"
        return {
            "proc/cpuinfo": self._cpuinfo(),
            **{f"{cpu}/{name}": "0\n" for name in ("possible", "present", "online")},
            f"{cpu}/kernel_max": "0\n",
            f"{cpu}/cpu0/cpufreq/cpuinfo_max_freq": f"{self.max_frequency_khz}\n",
            f"{cpu}/cpu0/cpufreq/cpuinfo_min_freq": f"{self.max_frequency_khz}\n",
            f"{cpu}/cpu0/regs/identification/midr_el1": f"{self.midr:#018x}\n",
            f"{cpu}/cpu0/topology/physical_package_id": "0\n",
            f"{cpu}/cpu0/topology/core_id": "0\n",
            f"{cpu}/cpu0/topology/core_siblings_list": "0\n",
            f"{cpu}/cpu0/topology/thread_siblings_list": "0\n",
        }

    def write(self, root: Path) -> None:
        """Put these files below a folder."""
        for name, content in self.files().items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, "utf-8")

    def _cpuinfo(self) -> str:
        return (
            "processor\t: 0\nBogoMIPS\t: 100.00\n"
            f"Features\t: {self.features}\n"
            "CPU implementer\t: 0x41\nCPU architecture: 8\n"
            f"CPU variant\t: {self.variant:#x}\nCPU part\t: {self.part:#05x}\n"
            f"CPU revision\t: {self.revision}\n\n"
        )


CORES = {
    core.name: core
    for core in (
        Core("cortex-a53", 0xD03, 0, 4, 1_000_000, _ARMV8_0, "Raspberry Pi 3, Zero 2"),
        Core("cortex-a72", 0xD08, 0, 3, 1_500_000, _ARMV8_0, "Raspberry Pi 4"),
        Core("cortex-a76", 0xD0B, 4, 1, 2_400_000, _ARMV8_2, "Raspberry Pi 5"),
    )
}


def find_core(name: str) -> Core:
    """The core of that name, or an InputError that lists them all."""
    if name not in CORES:
        raise InputError(f"expected a core of {', '.join(CORES)}, got {name!r}")
    return CORES[name]


def cores_asked_for(isa: str | None, names: Sequence[str] | None) -> tuple[str, ...]:
    """The cores that an instruction set and names of cores ask for: all where only the first."""
    if isa is None:
        if names:
            raise InputError(f"expected --isa aarch64 beside --cpu {names[0]}, got none")
        return ()
    if isa != "aarch64":
        raise InputError(f"expected --isa aarch64, got {isa!r}; the host's own is always run")
    return tuple(find_core(name).name for name in names or CORES)
