"""`--compat tflite-runtime`: what is refused, and what the old runtime computes."""

from __future__ import annotations

import json
import subprocess
import sys
import venv

import numpy as np
import pytest

from litecompress.errors import ExportError, RecipeError
from litecompress.export.tflite import TfliteExport
from litecompress.export.tflite_plan import plan_tflite
from litecompress.model.lite_transformer import LiteTransformer
from litecompress.runtime.torch_session import TorchSession
from litecompress.strict import build
from tests.export.test_tflite import random_artifact, sources, translate

REQUIREMENTS = ("tflite-runtime==2.14.0", "numpy<2")
STEPS = 5
DECODE = """
import json, sys
import numpy as np
from tflite_runtime.interpreter import Interpreter
path, tokens, fed = sys.argv[1], *map(json.loads, sys.argv[2:])
interpreter = Interpreter(model_path=path, num_threads=1)
interpreter.allocate_tensors()
encode, decode = (interpreter.get_signature_runner(f"{n}_16") for n in ("encode", "decode"))
source = np.full((1, 16), 1, np.int32)
source[0, : len(tokens)] = tokens
fixed = encode(source=source)
details = decode.get_input_details()
given = {"token", "step", *fixed}
caches = {n: np.zeros(d["shape"], np.float32) for n, d in details.items() if n not in given}
logits = []
for step, token in enumerate(fed):
    place = {"token": np.array([[token]], np.int32), "step": np.array([step], np.int32)}
    found = decode(**place, **fixed, **caches)
    logits.append(found.pop("logits")[0].tolist())
    caches = {n[len("next_"):]: value for n, value in found.items()}
print(json.dumps(logits))
"""


@pytest.mark.parametrize(
    ("options", "problems"),
    [
        ({}, "activations: float32 with int8, got dynamic"),
        ({"storage": "int4"}, "storage: float32 or int8, got int4"),
        ({"storage": "native"}, "storage: float32 or int8, got native"),
        (
            {"storage": "float16", "conv_branch": "custom"},
            "storage: float32 or int8, got float16; conv_branch: builtin, got custom",
        ),
    ],
)
def test_what_the_old_runtime_computes_wrongly_is_refused(options, problems):
    with pytest.raises(ExportError, match=problems):
        TfliteExport(compat="tflite-runtime", **options)


def test_a_recipe_refuses_it_too():
    with pytest.raises(RecipeError, match=r"exports\[0\]: tflite: expected for compat"):
        build(TfliteExport, {"compat": "tflite-runtime"}, "exports[0]")
    with pytest.raises(RecipeError, match="compat"):
        build(TfliteExport, {"compat": "tensorflow"}, "exports[0]")


@pytest.fixture(scope="module")
def old_python(tmp_path_factory):
    """A Python with the old runtime, apart from everything else."""
    if sys.version_info[:2] > (3, 11):
        pytest.skip("tflite-runtime 2.14 has wheels up to Python 3.11")
    folder = tmp_path_factory.mktemp("old")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    command = [python, "-m", "pip", "install", "-q", "--only-binary", ":all:", *REQUIREMENTS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"tflite-runtime 2.14 cannot be installed here: {done.stderr[-200:]}")
    return python


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["float32", "int8"])
@pytest.mark.parametrize("conv_type", ["lightweight", "dynamic"])
def test_the_old_runtime_computes_what_pytorch_does(old_python, tmp_path, storage, conv_type):
    model = random_artifact(conv_type=conv_type, conv_glu=conv_type == "dynamic")
    options = {"storage": storage, "activations": "float32", "compat": "tflite-runtime"}
    TfliteExport(length=(8, 16), **options)(model, tmp_path)
    source, fed = sources(11), np.random.default_rng(4).integers(2, 120, (1, STEPS))
    arguments = [tmp_path / "model.tflite", *(json.dumps(a[0].tolist()) for a in (source, fed))]
    ran = subprocess.run([old_python, "-c", DECODE, *arguments], capture_output=True, check=True)
    weights = plan_tflite(model, storage, "float32").decode()
    reference = TorchSession(LiteTransformer.from_weights(model.config, weights))
    expected = translate(reference, source, fed)[:, 0]
    np.testing.assert_allclose(json.loads(ran.stdout), expected, rtol=0, atol=1e-4)
