"""Language models as one step program: plain and adaptive vocabularies, caches as states."""

from __future__ import annotations

import numpy as np
import pytest

from litecompress.artifact import Artifact
from litecompress.encoding import Dense
from litecompress.errors import InputError
from litecompress.export.coreml import CoreMLExport
from litecompress.export.package import write_package
from litecompress.model.build import network
from litecompress.runtime.generator import Generator
from litecompress.runtime.mil import CoreMLLanguageSession, CoreMLSession
from litecompress.runtime.mil_package import Package
from litecompress.runtime.torch_language import TorchLanguageSession
from litecompress.stages import Context, Prune, Quantize, apply
from tests import models
from tests.export.coreml_packages import stored_arrays

SIZE = {"source_vocab_size": 120, "target_vocab_size": 120, "embed_dim": 64, "ffn_dim": 48}
PLAIN = {**SIZE, "encoder_kernel_sizes": (), "decoder_kernel_sizes": (3,), "conv_type": "dynamic"}
ADAPTIVE = {**PLAIN, "normalize_before": True, "adaptive_cutoffs": (40, 90)}
TOKENS = np.array([[2, 5, 41, 119, 7, 95], [2, 99, 4, 39, 40, 89]])
CASES = {
    "adaptive": (ADAPTIVE, CoreMLExport(length=(4, 12), precision="float32")),
    "states": (PLAIN, CoreMLExport("int8", length=12, stateful=True)),
}


def language_model(changes) -> Artifact:
    """A random one, biases and gains of norms too, pruned and on palettes."""
    import torch

    torch.manual_seed(0)
    config = models.config(**changes)
    weights = {}
    for name, tensor in network(config).state_dict().items():
        weights[name] = Dense((tensor + 0.02 * torch.randn_like(tensor)).numpy())
    artifact = Artifact(config, weights, models.tokenizer().data)
    pruned = apply(Prune(0.5), artifact, Context())
    return apply(Quantize(num_bits=5), pruned, Context())


class Case:
    """One package, and the artifact that it was made from."""

    def __init__(self, name, folder):
        changes, self.exporter = CASES[name]
        self.artifact = language_model(changes)
        self.folder = folder / name
        self.exported = write_package(self.exporter, self.artifact, self.folder)
        planned = self.exporter.layout(self.artifact).planned
        decoded = Artifact(self.artifact.config, planned.weights, self.artifact.tokenizer)
        self.reference = TorchLanguageSession.of(decoded)
        self.half = self.exporter.precision == "float16"


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coreml")
    return {name: Case(name, folder) for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_steps_are_those_of_pytorch_across_buckets(cases, name):
    case = cases[name]
    ours, theirs = CoreMLLanguageSession(case.folder), case.reference
    state, expected = ours.begin(2, 12), theirs.begin(2, 12)
    for step in range(TOKENS.shape[1]):
        log_probs, state = ours.step(TOKENS[:, step], step, state)
        wanted, expected = theirs.step(TOKENS[:, step], step, expected)
        np.testing.assert_allclose(log_probs, wanted, rtol=0, atol=0.05 if case.half else 1e-4)
        np.testing.assert_array_equal(log_probs.argmax(1), wanted.argmax(1))


@pytest.mark.parametrize("beam", [1, 3])
def test_a_generator_writes_what_the_artifact_does(cases, beam):
    case = cases["adaptive"]
    generator = Generator.load(case.folder)
    theirs = Generator(case.reference, case.artifact.tokenizers().target)
    for prompt in ("", "a man"):
        asked = {"beam": beam, "max_length": 6}
        assert (
            generator.generate([prompt], **asked)[0].tokens
            == theirs.generate([prompt], **asked)[0].tokens
        )


def test_a_matrix_that_is_used_both_ways_is_there_once(cases):
    """An adaptive band's projection is multiplied with as it is and turned."""
    case = cases["adaptive"]
    package = Package(case.folder / "step.mlpackage")
    arrays = list(stored_arrays(package))
    assert len(set(arrays)) == len(arrays)
    predicted = sum(case.exporter.layout(case.artifact).payload_bytes().values())
    # The rest: zeros for layers without a bias, and a head's words and classes as one vector
    assert predicted <= sum(len(content) for _, content in arrays) <= predicted + 4000
    for bands in range(3):
        operations = list(package.operations("step_4"))
        shape = (64, 64 // 4**bands)
        name = f"embedding_bands_{bands}_projection_weight"
        made = [o.name for op in operations for o in op.outputs if o.name == name]
        assert len(made) <= 1, shape


def test_improbable_words_keep_their_logarithms_in_half_precision(cases):
    (package,) = (Package(p) for p in cases["states"].folder.glob("*.mlpackage"))
    for op in package.operations("step_12"):
        if op.type == "log":
            assert op.outputs[0].type.tensorType.dataType == 11  # float32


def test_the_same_bytes_twice_and_without_a_word(cases, tmp_path, capfd):
    case = cases["states"]
    write_package(case.exporter, case.artifact, tmp_path / "again")
    assert capfd.readouterr() == ("", "")
    for path in (p for p in case.folder.rglob("*") if p.is_file()):
        again = tmp_path / "again" / path.relative_to(case.folder)
        assert again.read_bytes() == path.read_bytes(), path.name


def test_a_language_model_does_not_translate(cases):
    with pytest.raises(InputError, match="an encoder and a decoder for each length, got step"):
        CoreMLSession(cases["states"].folder)


def test_text_beyond_the_largest_bucket_is_refused(cases):
    session = CoreMLLanguageSession(cases["adaptive"].folder)
    assert session.max_target == 12
    with pytest.raises(InputError, match=r"at most 12 target tokens, got 13; .*length: 13"):
        session.step(TOKENS[:, 0], 12, session.begin(2, 12))
