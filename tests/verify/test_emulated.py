"""A package on emulated Arm cores; the script that runs there, run here."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from litecompress.arm import guest
from litecompress.arm.cores import CORES
from litecompress.arm.root import MissingRootError, Root
from litecompress.errors import InputError
from litecompress.runtime.open import open_package
from litecompress.verify.check import Bounds
from litecompress.verify.difference import Row, steps
from litecompress.verify.emulated import _cases, emulated_logits, on_core
from tests.verify import packages

ROWS = [Row((5, 9, 2), (7, 8, 2)), Row((6, 2), (4, 9, 11, 30, 2))]


def has_root():
    try:
        Root.default().check()
    except MissingRootError:
        return False
    return True


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return packages.made(tmp_path_factory.mktemp("made"), storage="int8") / "package"


def test_the_guests_logits_are_the_sessions(package, tmp_path):
    np.savez(tmp_path / "cases.npz", **_cases(ROWS))
    guest.main(str(package), "onnx", str(tmp_path / "cases.npz"), str(tmp_path / "answer.npz"))
    session = open_package(package, "onnx")
    with np.load(tmp_path / "answer.npz") as answer:
        assert str(answer["runtime"]).startswith("onnxruntime ")
        for i, row in enumerate(ROWS):
            ours = np.concatenate(list(steps(session, [row])))
            np.testing.assert_array_equal(answer[f"logits_{i}"], ours)


def test_the_guest_needs_nothing_of_ours(package, tmp_path):
    np.savez(tmp_path / "cases.npz", **_cases(ROWS))
    script = (
        "import runpy, sys\n"
        "sys.modules['litecompress'] = None\n"
        f"sys.argv = ['guest', {str(package)!r}, 'onnx', 'cases.npz', 'answer.npz']\n"
        f"runpy.run_path({guest.__file__!r}, run_name='__main__')\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
    assert (tmp_path / "answer.npz").is_file()


def test_a_target_that_has_no_runtime_there_is_refused(package):
    with pytest.raises(InputError, match="expected a package for onnx or tflite, got one for"):
        emulated_logits(Root.default(), CORES["cortex-a72"], package, "coreml", ROWS)


@pytest.mark.slow
@pytest.mark.skipif(not has_root(), reason="no aarch64 system here: make setup-arm")
@pytest.mark.parametrize("core", CORES)
def test_an_emulated_core_agrees_with_this_machine(package, core):
    session = open_package(package, "onnx")
    bounds = Bounds.of("int8")
    found = on_core(Root.default(), CORES[core], package, "onnx", ROWS, session, bounds)
    assert found.level == "emulated"
    assert found.passed
    assert not any("time" in name or name.endswith("_ms") for name in found.figures)


@pytest.mark.slow
@pytest.mark.skipif(not has_root(), reason="no aarch64 system here: make setup-arm")
def test_a_package_that_does_not_run_there_is_one_line(package, tmp_path):
    wrong = tmp_path / "package"
    wrong.mkdir()
    with pytest.raises(InputError, match="expected it to run on cortex-a53, got: "):
        emulated_logits(Root.default(), CORES["cortex-a53"], wrong, "onnx", ROWS)
