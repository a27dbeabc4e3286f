"""The graphs of any small model: as PyTorch, under the names that every target has."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from litecompress.artifact import Artifact
from litecompress.encoding import Dense
from litecompress.export import graphs, language_graph, onnx_positions
from litecompress.export.onnx import OnnxExport
from litecompress.model import layers
from litecompress.model.build import network
from litecompress.model.config import PAD_ID, Kept, ModelConfig
from litecompress.model.language_model import LanguageModel
from litecompress.runtime.ort import OnnxSession
from litecompress.runtime.torch_session import TorchSession

VOCABULARY = 23
TOLERANCE = 1e-4
KERNELS = st.lists(st.sampled_from([0, 1, 3, 5]), min_size=1, max_size=2).map(tuple)


@st.composite
def configs(draw, *, language_model=False):
    """Every feature of a configuration, in small."""
    heads, dynamic = draw(st.sampled_from([0, 2, 4])), draw(st.booleans())
    kernels = KERNELS if heads else KERNELS.filter(all)
    cutoffs = draw(st.sampled_from([(), (9,), (5, 12)])) if language_model else ()
    values = {
        "source_vocab_size": VOCABULARY,
        "target_vocab_size": VOCABULARY,
        "embed_dim": draw(st.sampled_from([16, 32])),
        "ffn_dim": draw(st.sampled_from([7, 24])),
        "encoder_kernel_sizes": () if language_model else draw(kernels),
        "decoder_kernel_sizes": draw(kernels),
        "conv_type": "dynamic" if dynamic else "lightweight",
        "conv_glu": dynamic and draw(st.booleans()),
        "conv_padding": draw(st.sampled_from(["masked", "leaky"])),
        "attention_heads": heads,
        "conv_heads": draw(st.sampled_from([1, 4])),
        "cross_attention_heads": draw(st.sampled_from([2, 8])),
        "share_embeddings": language_model or draw(st.booleans()),
        "normalize_before": draw(st.booleans()),
        "adaptive_cutoffs": cutoffs,
        "adaptive_factor": 2,
    }
    if not values["share_embeddings"]:
        values["source_vocab_size"] = VOCABULARY + 4
    whole = ModelConfig(**values)
    if not draw(st.booleans()):
        return whole
    kept = {
        f"{stack}_kept": tuple(
            draw(partly(whole.whole(kernel, crosses=stack == "decoder")))
            for kernel in values[f"{stack}_kernel_sizes"]
        )
        for stack in ("encoder", "decoder")
    }
    return ModelConfig(**values, **kept)


@st.composite
def partly(draw, whole):
    """What pruning in structure may leave of a layer."""
    return Kept(
        *(
            draw(st.integers(min(high, 1), high))
            for high in (
                whole.ffn_dim,
                whole.attention_heads,
                whole.conv_heads,
                whole.conv_head_dim,
                whole.cross_attention_heads,
            )
        )
    )


def artifact(config, seed):
    """A random model, biases and gains of norms too."""
    torch.manual_seed(seed)
    weights = {}
    for name, tensor in network(config).state_dict().items():
        weights[name] = Dense((tensor + 0.1 * torch.randn_like(tensor)).numpy())
    return Artifact(config, weights, b"")


def checked(folder, role, names):
    """Inputs and outputs are those of every target, and every node is read."""
    path = folder / f"{role}.onnx"
    onnx.checker.check_model(path, full_check=True)
    graph = onnx.load(path, load_external_data=False).graph
    found = [i.name for i in graph.input], [o.name for o in graph.output]
    assert found == tuple(names)
    read = {name for node in graph.node for name in node.input} | {*found[1]}
    assert all(read & {*node.output} for node in graph.node)
    assert {t.name for t in graph.initializer} <= read
    assert len({node.name for node in graph.node}) == len(graph.node)


def padded_batch(rng, vocabulary, rows=3, length=6):
    source = rng.integers(4, vocabulary, (rows, length))
    for row in range(1, rows):
        source[row, rng.integers(1, length) :] = PAD_ID
    source[0, : rng.integers(0, 3)] = PAD_ID
    return source


def compare(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=0, atol=TOLERANCE, err_msg=name)


@settings(max_examples=25, deadline=None)
@given(configs(), st.sampled_from(["builtin", "custom"]), st.integers(0, 2**31))
def test_a_translation_model_is_as_in_pytorch(config, conv_branch, seed):
    made, rng = artifact(config, seed), np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        OnnxExport("float32", conv_branch)(made, folder)
        checked(folder, "encoder", graphs.encoder_names(config))
        checked(folder, "decoder", graphs.decoder_names(config))
        session, reference = OnnxSession(folder), TorchSession.of(made)
        source = padded_batch(rng, config.source_vocab_size)
        ours, theirs = session.start(source, 4), reference.start(source, 4)
        compare(ours.fixed, theirs.fixed)
        for step in range(4):
            tokens = rng.integers(0, VOCABULARY, len(source))
            logits, ours = session.step(tokens, step, ours)
            expected, theirs = reference.step(tokens, step, theirs)
            np.testing.assert_allclose(logits, expected, rtol=0, atol=TOLERANCE)
            compare(ours.caches, theirs.caches)


@settings(max_examples=15, deadline=None)
@given(configs(language_model=True), st.sampled_from(["builtin", "custom"]), st.integers(0, 2**31))
def test_a_language_model_is_as_in_pytorch(config, conv_branch, seed):
    made, rng = artifact(config, seed), np.random.default_rng(seed)
    model = LanguageModel.from_weights(config, made.decode())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        OnnxExport("float32", conv_branch)(made, folder)
        names = language_graph.step_names(config)
        checked(folder, "step", names)
        session = onnxruntime.InferenceSession(folder / "step.onnx")
        states = model.start(2, 4)
        caches = [t.numpy() for state in states for t in state if t is not None]
        for step in range(4):
            token = rng.integers(0, VOCABULARY, (2, 1))
            feed = dict(zip(names[0], [token, np.array([step]), *caches], strict=True))
            log_probs, *caches = session.run(None, feed)
            with torch.inference_mode():
                features, states = model.step(torch.from_numpy(token), torch.tensor([step]), states)
                expected = model.log_probs(features)
            np.testing.assert_allclose(log_probs, expected, rtol=0, atol=TOLERANCE)
            after = [t.numpy() for state in states for t in state if t is not None]
            compare(dict(enumerate(caches)), dict(enumerate(after)))


def test_scores_that_do_not_count_are_the_networks():
    assert onnx_positions.MASKED == layers.MASKED
