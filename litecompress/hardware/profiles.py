"""Profiles of target devices; every figure has its source, and what is recalled is marked so."""

from __future__ import annotations

from dataclasses import dataclass

from litecompress.errors import InputError


@dataclass(frozen=True)
class Profile:
    """One device, one thread: peak arithmetic and measured memory bandwidth.

    `fp32_gflops` counts two operations a MAC; `int8_gops` is null where the core has no int8 dot
    product, where int8 saves traffic but no arithmetic.
    """

    name: str
    title: str
    cores: str
    fp32_gflops: float
    int8_gops: float | None
    memory_gb_per_s: float
    source: str


PROFILES = {
    p.name: p
    for p in (
        Profile(
            name="raspberry-pi-4",
            title="Raspberry Pi 4 Model B",
            cores="4x Cortex-A72 1.5 GHz",
            fp32_gflops=12.0,
            int8_gops=None,
            memory_gb_per_s=5.5,
            source="8 fp32 flop/cycle a core at 1.5 GHz; STREAM 5.5 GB/s (sci-pi)",
        ),
        Profile(
            name="raspberry-pi-5",
            title="Raspberry Pi 5",
            cores="4x Cortex-A76 2.4 GHz",
            fp32_gflops=38.4,
            int8_gops=154.0,
            memory_gb_per_s=4.9,
            source="widths recalled, not measured; copy 4.9 GB/s (sbc-reviews)",
        ),
    )
}


def find_profile(name: str) -> Profile:
    """The profile of that name, or an InputError that lists those there are."""
    if name not in PROFILES:
        raise InputError(f"expected a profile of {', '.join(sorted(PROFILES))}, got {name!r}")
    return PROFILES[name]
