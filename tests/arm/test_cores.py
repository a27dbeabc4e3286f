"""What emulated cores show of themselves, and how a program is started on one."""

from __future__ import annotations

from pathlib import Path

import pytest

from litecompress.arm import build
from litecompress.arm.cores import CORES, cores_asked_for, find_core
from litecompress.arm.root import RECORD, MissingRootError, Root
from litecompress.errors import InputError


@pytest.mark.parametrize(
    ("name", "midr"),  # as QEMU's `target/arm/cpu64.c` has them
    [("cortex-a53", 0x410FD034), ("cortex-a72", 0x410FD083), ("cortex-a76", 0x414FD0B1)],
)
def test_identification_is_that_of_the_emulated_core(name, midr):
    core = find_core(name)
    assert core.midr == midr
    assert f"CPU part\t: {core.part:#05x}\n" in core.files()["proc/cpuinfo"]


def test_only_the_newer_core_claims_dot_products():
    dot = [name for name, core in CORES.items() if "asimddp" in core.features.split()]
    assert dot == ["cortex-a76"]


def test_cores_are_asked_for_by_name_or_all_together():
    assert cores_asked_for(None, None) == ()
    assert cores_asked_for("aarch64", None) == tuple(CORES)
    assert cores_asked_for("aarch64", ["cortex-a72"]) == ("cortex-a72",)


@pytest.mark.parametrize(
    ("isa", "names", "message"),
    [
        (None, ["cortex-a53"], "expected --isa aarch64 beside --cpu cortex-a53"),
        ("riscv64", None, "expected --isa aarch64, got 'riscv64'"),
        ("aarch64", ["cortex-m7"], "expected a core of cortex-a53, .*, got 'cortex-m7'"),
    ],
)
def test_what_cannot_be_emulated_is_refused(isa, names, message):
    with pytest.raises(InputError, match=message):
        cores_asked_for(isa, names)


def test_a_root_that_is_not_there_says_how_to_make_it(tmp_path):
    with pytest.raises(MissingRootError, match="run: make setup-arm") as raised:
        Root(tmp_path).check()
    assert raised.value.exit_code == 3


def test_missing_qemu_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / RECORD).write_text("{}")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingRootError, match=r"apt-get install .* qemu-user"):
        Root(tmp_path).check()


def test_missing_commands_are_all_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(build.SetupError, match=r"install .* qemu-user mmdebstrap$"):
        build.build(tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_every_wheel_is_pinned_with_a_checksum():
    assert all(w.count("==") == 1 and len(h) == 64 for w, h in build.WHEELS.items())


def test_a_core_sees_its_own_files_and_the_shared_system(tmp_path):
    (tmp_path / "debian" / "usr" / "bin").mkdir(parents=True)
    (tmp_path / "debian" / "lib").mkdir()
    root, core = Root(tmp_path), CORES["cortex-a72"]
    for _ in range(2):  # made once, used again
        command = root.command(core, Path("/x.py"), "a")
    prefix = Path(command[command.index("-L") + 1])
    assert command[:3] == ["qemu-aarch64", "-cpu", "cortex-a72"]
    assert command[-2:] == ["/x.py", "a"]
    assert (prefix / "usr" / "bin").is_dir()
    assert "0xd08" in (prefix / "proc" / "cpuinfo").read_text()
    assert not (prefix / "tmp").exists()
