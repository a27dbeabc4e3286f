"""Language models as one step graph: plain and adaptive vocabularies, every storage."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from litecompress.artifact import Artifact
from litecompress.encoding import Dense
from litecompress.errors import UnsupportedOpError
from litecompress.export import graphs
from litecompress.export.onnx import OnnxExport
from litecompress.export.onnx_plan import payload_bytes, plan_onnx
from litecompress.export.package import write_package
from litecompress.model.build import network
from litecompress.model.language_model import LanguageModel
from litecompress.stages import Context, Prune, Quantize, apply
from litecompress.verify import psnr_db
from tests import models

SIZE = {"source_vocab_size": 120, "target_vocab_size": 120, "embed_dim": 64, "ffn_dim": 48}
PLAIN = {**SIZE, "encoder_kernel_sizes": (), "decoder_kernel_sizes": (3,), "conv_type": "dynamic"}
ADAPTIVE = {**PLAIN, "normalize_before": True, "adaptive_cutoffs": (40, 90)}
TOKENS = np.array([[2, 5, 41, 119, 7, 95], [2, 99, 4, 39, 40, 89]])
CASES = {
    "plain-float32": (PLAIN, None, "float32"),
    "plain-int8": (PLAIN, None, "int8"),
    "adaptive-float32": (ADAPTIVE, None, "float32"),
    "adaptive-float16": (ADAPTIVE, None, "float16"),
    "adaptive-palettes": (ADAPTIVE, Quantize(num_bits=5), "native"),
    "adaptive-int8": (ADAPTIVE, None, "int8"),
    "adaptive-int4": (ADAPTIVE, None, "int4"),
}


def language_model(changes) -> Artifact:
    """A random one, biases and gains of norms too."""
    torch.manual_seed(0)
    config = models.config(**changes)
    weights = {}
    for name, tensor in network(config).state_dict().items():
        weights[name] = Dense((tensor + 0.02 * torch.randn_like(tensor)).numpy())
    return Artifact(config, weights, models.tokenizer().data)


class Case:
    """One package, and the artifact that it was made from."""

    def __init__(self, name, folder):
        changes, quantize, storage = CASES[name]
        self.artifact = language_model(changes)
        if quantize is not None:
            pruned = apply(Prune(0.5), self.artifact, Context())
            self.artifact = apply(quantize, pruned, Context())
        self.folder = folder / name
        self.exported = write_package(OnnxExport(storage), self.artifact, self.folder)
        self.planned = plan_onnx(self.artifact, storage)
        self.rounds = storage in ("int8", "int4")

    def decoded(self):
        """Log-probabilities (B, T, V) step by step."""
        session = onnxruntime.InferenceSession(self.folder / "step.onnx")
        batch, length = TOKENS.shape
        named = {"batch": batch, "target_length": length}
        caches = {
            i.name: np.zeros([named.get(n, n) for n in i.shape], np.float32)
            for i in session.get_inputs()[2:]
        }
        names, rows = [o.name for o in session.get_outputs()], []
        for step, token in enumerate(TOKENS.T):
            feed = {"token": token[:, None], "step": np.array([step]), **caches}
            found = dict(zip(names, session.run(names, feed)))
            rows.append(found.pop("log_probs"))
            caches = {name.removeprefix("next_"): value for name, value in found.items()}
        return np.stack(rows, axis=1)


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    return Case(request.param, tmp_path_factory.mktemp("language"))


@torch.inference_mode()
def expected(case):
    model = LanguageModel.from_weights(case.artifact.config, case.planned.decode())
    return model(torch.from_numpy(TOKENS)).numpy()


def test_steps_give_what_the_model_gives_for_the_whole_text(case):
    reference, found = expected(case), case.decoded()
    assert found.shape == (*TOKENS.shape, case.artifact.config.target_vocab_size)
    np.testing.assert_allclose(np.exp(found).sum(-1), 1, atol=1e-4)
    if case.rounds:
        assert psnr_db(reference, found) > 40
    else:
        np.testing.assert_allclose(found, reference, atol=1e-4)


def test_one_graph_names_its_caches(case):
    files = {"step": "step.onnx", "weights": "weights.bin"}
    assert case.exported.files == files
    onnx.checker.check_model(case.folder / "step.onnx", full_check=True)
    graph = onnx.load(case.folder / "step.onnx", load_external_data=False).graph
    caches = ["key_0", "value_0", "conv_0"]
    assert [i.name for i in graph.input] == ["token", "step", *caches]
    assert [o.name for o in graph.output] == ["log_probs", *(f"next_{n}" for n in caches)]


def test_tables_and_projections_are_stored_once(case):
    predicted = payload_bytes(case.planned)
    assert predicted.keys() == case.artifact.weights.keys()
    size = (case.folder / "weights.bin").stat().st_size
    graph = onnx.load(case.folder / "step.onnx", load_external_data=False).graph
    stored = [t for t in graph.initializer if t.external_data]
    assert sum(predicted.values()) <= size < sum(predicted.values()) + 64 * len(stored)
    inline = [t for t in graph.initializer if not t.external_data]
    assert sum(len(t.SerializeToString()) for t in inline) < 3000
    if case.rounds:
        assert case.exported.quantized_byte_share == 1


def test_what_traces_two_graphs_says_which_target_takes_a_language_model():
    with pytest.raises(UnsupportedOpError, match="got a language model; export it to onnx"):
        graphs.build(models.config(**PLAIN), {})
