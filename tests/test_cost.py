"""Costs against the built network, against a counter of its operations and in closed form."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from litecompress.artifact import Artifact
from litecompress.cost import (
    COMPONENTS,
    all_macs,
    band_macs,
    component,
    nonembed,
    paper_macs,
    parameters,
)
from litecompress.ledger import paper_ledger
from litecompress.model.build import network
from litecompress.model.config import Kept
from litecompress.model.layer_shape import layer_shapes
from litecompress.model.layers import Attention, ConvBranch, FeedForward
from litecompress.model.presets import PRESETS, preset
from litecompress.model.shapes import weight_shapes
from tests import models

MODELS = {
    "lite, dynamic": {"conv_type": "dynamic"},
    "lite, dynamic without GLU": {"conv_type": "dynamic", "conv_glu": False},
    "lite, lightweight, three tables": {"share_embeddings": False, "ffn_dim": 48},
    "Transformer": {"encoder_kernel_sizes": (0, 0), "decoder_kernel_sizes": (0, 0, 0)},
    "LightConv": {"attention_heads": 0, "encoder_kernel_sizes": (3, 7, 7)},
    "mixed layers": {"encoder_kernel_sizes": (0, 3), "decoder_kernel_sizes": (31, 0)},
    "language model": {"encoder_kernel_sizes": (), "conv_type": "dynamic"},
    "adaptive language model": {
        "encoder_kernel_sizes": (),
        "adaptive_cutoffs": (40, 80),
        "normalize_before": True,
    },
    "Transformer language model": {"encoder_kernel_sizes": (), "decoder_kernel_sizes": (0, 0)},
    "pruned in structure": {
        "conv_type": "dynamic",
        "encoder_kept": (Kept(8, 1, 2, 3), Kept(24, 4, 4, 4)),
        "decoder_kept": (Kept(16, 3, 1, 4, 2), Kept(5, 2, 3, 1, 1)),
    },
}


@pytest.fixture(params=MODELS)
def config(request):
    return models.config(**MODELS[request.param])


def parameters_of_modules(config):
    """What a network's modules hold, by their class: independent of all names but `cross`."""
    with torch.device("meta"):
        built = network(config)
    counts = dict.fromkeys(COMPONENTS, 0)
    classes = {ConvBranch: "convolution", FeedForward: "ffn", torch.nn.LayerNorm: "norms"}
    for name, module in built.named_modules():
        kind = classes.get(type(module))
        if isinstance(module, Attention):
            kind = "cross_attention" if "cross" in name else "attention"
        if kind:
            counts[kind] += sum(p.numel() for p in module.parameters())
    return counts, sum(p.numel() for p in built.parameters())


def check_against_modules(config):
    counts, by_module = parameters(config), parameters_of_modules(config)
    assert sum(counts.values()) == by_module[1]
    body = [name for name in COMPONENTS if name not in ("embedding", "output")]
    assert {n: counts[n] for n in body} == {n: by_module[0][n] for n in body}


def test_parameters_are_those_of_the_networks_modules(config):
    check_against_modules(config)


@pytest.mark.parametrize("name", PRESETS)
def test_parameters_of_presets_are_those_of_the_networks_modules(name):
    check_against_modules(PRESETS[name])


def test_output_is_untied_tables_and_the_classes_of_an_adaptive_softmax():
    tied = models.config()
    assert parameters(tied)["output"] == 0
    untied = models.config(share_embeddings=False)
    table = untied.target_vocab_size * untied.embed_dim
    assert parameters(untied)["output"] == table
    assert parameters(untied)["embedding"] == 2 * table
    adaptive = models.config(**MODELS["adaptive language model"])
    assert parameters(adaptive)["output"] == 2 * adaptive.embed_dim


def test_every_weight_has_a_component(config):
    assert {component(name) for name in weight_shapes(config)} <= set(COMPONENTS)


@pytest.mark.parametrize("conv_type", ["lightweight", "dynamic"])
@pytest.mark.parametrize("shared", [True, False])
def test_the_papers_scope_is_that_of_an_artifact(conv_type, shared):
    checkpoint = models.checkpoint(conv_type, share_embeddings=shared, ffn_dim=48)
    scope = Artifact.from_checkpoint(checkpoint).float32_bytes(embeddings=False)
    assert 4 * nonembed(parameters(checkpoint.config)) == scope


def counted_macs(config, source_length, target_length):
    """MACs of matrix products that PyTorch sees in one pass over a source and a target."""
    torch.manual_seed(0)
    model = network(config).eval()
    last = min([config.target_vocab_size, *config.adaptive_cutoffs])  # words of the widest band
    source = torch.randint(4, last, (1, source_length))
    target = torch.randint(4, last, (1, target_length))
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(target) if config.is_language_model else model(source, target)
    return counter.get_total_flops() / 2


@pytest.mark.parametrize(("source_length", "target_length"), [(9, 5), (4, 12)])
def test_macs_are_those_that_a_counter_of_operations_sees(config, source_length, target_length):
    lengths = (source_length, target_length)
    everything = all_macs(config, *lengths)
    # The counter knows matrix products only: no norm, no scaling of embeddings. The network does
    # the taps of a convolution as a product with a T x T band matrix.
    positions = target_length if config.is_language_model else sum(lengths)
    seen = sum(everything.values()) - everything["norms"] - config.embed_dim * positions
    seen += band_macs(config, *lengths) - taps(config, *lengths)
    assert seen == counted_macs(config, *lengths)


def taps(config, source_length, target_length):
    encoder, decoder = (
        sum(shape.kernel_size * shape.conv.inner for shape in layer_shapes(config, stack))
        for stack in ("encoder", "decoder")
    )
    return encoder * source_length + decoder * target_length


def test_a_norm_is_one_mac_an_element():
    config = models.config()  # 2 norms a layer of the encoder, 3 of the decoder, 2 + 2 layers
    assert all_macs(config, 7, 5)["norms"] == config.embed_dim * (2 * 2 * 7 + 2 * 3 * 5)


def test_everything_is_the_papers_count_and_more(config):
    paper, everything = paper_macs(config, 6, 8), all_macs(config, 6, 8)
    assert list(paper) == list(everything) == list(COMPONENTS)
    assert all(everything[name] >= paper[name] for name in COMPONENTS)
    assert paper["norms"] == paper["output"] == 0
    assert bool(paper["embedding"]) == bool(config.adaptive_cutoffs)


@given(
    source=st.integers(1, 300),
    target=st.integers(1, 300),
    quarter=st.integers(1, 60),
    kernels=st.lists(st.sampled_from([3, 7, 15, 31]), min_size=1, max_size=7),
    dynamic=st.booleans(),
)
@settings(max_examples=60)
def test_the_papers_convention_in_closed_form(source, target, quarter, kernels, dynamic):
    d, layers, both, h = 8 * quarter, len(kernels), source + target, 4 * quarter
    config = models.config(
        "dynamic" if dynamic else "lightweight",
        embed_dim=d,
        ffn_dim=d,
        encoder_kernel_sizes=tuple(kernels),
        decoder_kernel_sizes=tuple(kernels),
    )
    linear = layers * (4 * h**2 + (3 if dynamic else 2) * h**2 + 2 * d**2) * both
    predictor = sum(4 * h * k for k in kernels) * both if dynamic else 0
    cross = layers * (2 * d**2 * both + 2 * d * source * target)
    products = layers * 2 * h * (source**2 + target**2)
    counted = sum(paper_macs(config, source, target).values())
    assert counted == linear + predictor + cross + products


def test_a_language_model_has_no_source(config):
    same = paper_macs(config, 3, 8) == paper_macs(config, 9, 8)
    assert same == config.is_language_model


@pytest.mark.parametrize(
    ("name", "total_m", "without_lookup_m", "without_output_m"),
    [  # what the authors' code builds (shared/facts/paper.md sec. d)
        ("iwslt14-de-en-embed160", 5.252, 2.775, 1.714),
        ("iwslt14-de-en-embed240", 9.144, 5.429, 3.837),
        ("iwslt14-de-en-embed320", 13.881, 8.928, 6.805),
        ("wmt14-en-fr-embed200", 11.787, 2.884, 2.884),
        ("wmt16-en-de-embed200", 9.438, 2.884, 2.884),
        ("wmt14-en-fr-embed408", 29.901, 11.740, 11.740),
        ("wmt16-en-de-embed408", 25.109, 11.740, 11.740),
        ("wmt14-en-fr-embed496", 39.362, 17.284, 17.284),
        ("wmt16-en-de-embed496", 33.537, 17.284, 17.284),
        ("wikitext103-embed896", 76.751, 37.184, 37.182),
    ],
)
def test_parameters_as_the_authors_code_builds_them(
    name, total_m, without_lookup_m, without_output_m
):
    counts = parameters(preset(name))
    assert sum(counts.values()) / 1e6 == pytest.approx(total_m, abs=0.0005)
    assert nonembed(counts) / 1e6 == pytest.approx(without_lookup_m, abs=0.0005)
    assert (nonembed(counts) - counts["output"]) / 1e6 == pytest.approx(
        without_output_m, abs=0.0005
    )


def test_the_papers_ledger_from_closed_form():
    ledger = paper_ledger()
    scope = [row["paper_scope_bytes"] / 1e6 for row in ledger["rows"]]
    assert scope == pytest.approx([176.6, 69.1, 17.3, 9.7], abs=0.06)
    assert ledger["ratios"]["paper_scope"] == pytest.approx(18.2, abs=0.1)
    everything = [row["everything_bytes"] for row in ledger["rows"]]
    lite = parameters(preset("wmt14-en-fr-embed496"))
    assert everything[1] == 4 * sum(lite.values())
    assert all(e > s * 1e6 for e, s in zip(everything, scope, strict=True))
    assert ledger["ratios"]["everything"] < ledger["ratios"]["paper_scope"]
