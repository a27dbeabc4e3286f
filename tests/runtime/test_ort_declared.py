"""Functions and domains of a package, tampered with by someone who rewrites the manifest too."""

from __future__ import annotations

import contextlib
import hashlib
import shutil

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from litecompress import Translator
from litecompress.errors import InputError
from litecompress.export.conv_branch import OPERATORS, decomposition
from litecompress.export.onnx import OnnxExport
from litecompress.export.package import write_package
from litecompress.runtime.ort_declared import FUNCTIONS, check_declared
from tests import models
from tests.runtime import trace
from tests.runtime.test_open import vouch

TEXT = "a woman reads on the beach ."


@pytest.fixture(scope="module")
def custom(tmp_path_factory):
    folder = tmp_path_factory.mktemp("custom") / "package"
    write_package(OnnxExport("float32", "custom"), trace.artifact(), folder)
    return folder


@pytest.fixture
def package(custom, tmp_path):
    return shutil.copytree(custom, tmp_path / "package")


def changed(package, role, change):
    path = package / f"{role}.onnx"
    model = onnx.load(path, load_external_data=False)
    change(model)
    onnx.save(model, path)
    vouch(package)


def test_known_functions_are_those_that_we_write():
    made = {
        hashlib.sha256(decomposition(name, step=step).SerializeToString()).hexdigest()
        for name in OPERATORS
        for step in (False, True)
    }
    assert made == FUNCTIONS


@pytest.mark.parametrize("conv_type", ["lightweight", "dynamic"])
def test_what_we_write_is_accepted(conv_type, tmp_path):
    OnnxExport("int8", "custom")(models.artifact(conv_type), tmp_path)
    for role in ("encoder", "decoder"):
        check_declared(tmp_path / f"{role}.onnx")


def doubled(model):
    """The same function, but for its result, which is doubled."""
    function = model.functions[0]
    function.node.append(helper.make_node("Add", [function.output[0]] * 2, ["twice"]))
    function.output[0] = "twice"


def added(model):
    """A function in the place of a standard operator."""
    body = [helper.make_node("Identity", ["a"], ["c"])]
    opsets = [helper.make_opsetid("", 21)]
    model.functions.append(helper.make_function("", "MatMul", ["a", "b"], ["c"], body, opsets))


def renamed(model):
    model.functions[0].name = "LightweightConv"


@pytest.mark.parametrize("role", ["encoder", "decoder"])
@pytest.mark.parametrize("change", [doubled, added, renamed])
def test_functions_that_are_not_ours_are_refused(package, role, change):
    assert Translator.load(package).translate([TEXT], beam=1)[0].text
    changed(package, role, change)
    with pytest.raises(InputError, match=rf"{role}\.onnx: .*functions that differ from this"):
        Translator.load(package)


def test_a_domain_that_is_not_ours_is_refused(package):
    changed(
        package, "decoder", lambda m: m.opset_import.append(helper.make_opsetid("else.where", 1))
    )
    with pytest.raises(InputError, match=r"got the domain 'else\.where'; export"):
        Translator.load(package)


def test_a_domain_that_is_not_declared_is_refused_by_the_runtime(package):
    changed(package, "decoder", lambda m: setattr(m.graph.node[0], "domain", "else.where"))
    with pytest.raises(InputError, match="its runtime loads, got"):
        Translator.load(package)


def test_an_operator_of_our_domain_without_its_function_is_refused(package):
    changed(package, "decoder", lambda m: m.ClearField("functions"))
    with pytest.raises(InputError, match="its runtime loads, got"):
        Translator.load(package)


@given(st.binary(max_size=60))
def test_damaged_files_are_no_crash(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(content)
    with contextlib.suppress(InputError, ValueError):
        check_declared(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x42\x7f", "content up to 129 of 2 bytes"),
        (b"\xff" * 11, "number without an end"),
        (b"\x43", "field of type 3"),
        (b"\x45\x00", "content up to 5 of 2 bytes"),
    ],
)
def test_what_is_damaged_is_said(tmp_path, content, message):
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        check_declared(tmp_path / "x.onnx")
