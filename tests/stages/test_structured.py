"""Structured pruning: what stays computes exactly what it did, and costs what the config says."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from litecompress.artifact import Artifact
from litecompress.artifact_file import dump_artifact, parse_artifact, save_artifact
from litecompress.checkpoint import Checkpoint, save_checkpoint
from litecompress.corpus import PlainText
from litecompress.cost import all_macs, paper_macs
from litecompress.encoding import Dense
from litecompress.errors import CheckpointError, InputError, MissingBackendError, StageError
from litecompress.inspection import inspect_model
from litecompress.model.build import from_weights, network
from litecompress.model.layer_shape import kept
from litecompress.recipe import dump_recipe, parse_recipe
from litecompress.report.costs import show_costs
from litecompress.stages import Context, Prune, Quantize, Recover, Structured, apply
from litecompress.stages.structured_choice import places, units
from litecompress.train.recipe import TrainRecipe
from litecompress.train.schedule import InverseSqrt
from tests import models
from tests.corpora import own_accelerator, parallel_text  # noqa: F401

pytest.importorskip("torch_pruning", reason="needs the extra `prune`")

KINDS = {
    "lite, lightweight": {},
    "lite, dynamic": {"conv_type": "dynamic"},
    "lite, dynamic without a gate": {"conv_type": "dynamic", "conv_glu": False},
    "three tables, leaky": {"share_embeddings": False, "conv_padding": "leaky"},
    "Transformer": {"encoder_kernel_sizes": (0, 0), "decoder_kernel_sizes": (0, 0)},
    "LightConv": {"attention_heads": 0},
    "DynamicConv": {"attention_heads": 0, "conv_type": "dynamic"},
    "mixed, pre-norm": {
        "encoder_kernel_sizes": (0, 7),
        "decoder_kernel_sizes": (3, 0),
        "normalize_before": True,
    },
    "language model": {"encoder_kernel_sizes": (), "conv_type": "dynamic"},
    "adaptive language model": {"encoder_kernel_sizes": (), "adaptive_cutoffs": (20, 40)},
}
HEADS = ("attention_heads", "conv_heads", "ffn_channels")
CHANNELS = ("attention_heads", "conv_channels", "ffn_channels")
OUTGOING = {"attention": "out", "cross_attention": "out", "conv": "linear2", "ffn": "fc2"}
INCOMING = {"attention": "query", "cross_attention": "query", "conv": "linear1", "ffn": "fc1"}


def artifact_of(kind):
    torch.manual_seed(0)
    config = models.config(**{"conv_type": "lightweight", **KINDS[kind]})
    built = network(config)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    weights = {name: Dense(w.numpy()) for name, w in built.state_dict().items()}
    return Artifact(config, weights, models.tokenizer().data)


@pytest.fixture(scope="module", params=KINDS)
def artifact(request):
    return artifact_of(request.param)


def tokens(rows, length, seed=1):
    return torch.randint(4, 60, (rows, length), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def outputs(config, weights):
    """Of whole sequences."""
    model = from_weights(config, weights)
    if config.is_language_model:
        return model(tokens(3, 9))
    source = torch.cat([tokens(3, 6), torch.ones(3, 2, dtype=torch.int64)], 1)
    return model(source, tokens(3, 9, seed=2))


@torch.no_grad()
def stepped(config, weights):
    """The same, a token at a time."""
    model = from_weights(config, weights)
    found = []
    if config.is_language_model:
        text, states = tokens(3, 9), model.start(3, 9)
        for i in range(9):
            features, states = model.step(text[:, i : i + 1], torch.tensor([i]), states)
            found.append(model.log_probs(features))
        return torch.stack(found, 1)
    source = torch.cat([tokens(3, 6), torch.ones(3, 2, dtype=torch.int64)], 1)
    memory, bias = model.encode(source)
    states, text = model.start(memory, 9), tokens(3, 9, seed=2)
    for i in range(9):
        logits, states = model.step(text[:, i : i + 1], torch.tensor([i]), bias, states)
        found.append(logits)
    return torch.stack(found, 1)


def branches(weights):
    parts = (name.split(".") for name in weights)
    return sorted({".".join(part[:3]) for part in parts if len(part) > 3 and part[2] in OUTGOING})


def silenced(before, after):
    """The weights from before, with zeros where channels are missing from those after.

    A channel is known again by its row, which is unlike all others.
    """
    weights = {name: np.array(w) for name, w in before.items()}
    for branch in branches(before):
        part = branch.split(".")[2]
        rows = before[f"{branch}.{INCOMING[part]}.weight"]
        left = {row.tobytes() for row in after[f"{branch}.{INCOMING[part]}.weight"]}
        outgoing = weights[f"{branch}.{OUTGOING[part]}.weight"]
        gone = [i for i in range(outgoing.shape[1]) if rows[i].tobytes() not in left]
        outgoing[:, gone] = 0
        predictor = weights.get(f"{branch}.kernel_predictor.weight")
        if part == "conv" and predictor is not None:
            predictor[:, gone] = 0
    return weights


@pytest.mark.parametrize("structures", [HEADS, CHANNELS], ids=["heads", "channels"])
def test_what_stays_computes_what_it_did_beside_silent_others(artifact, structures):
    stage = Structured(share=0.5, structures=structures, multiple=4)
    after = apply(stage, artifact, Context())
    before, weights = artifact.decode(), after.decode()
    assert sum(w.size for w in weights.values()) < 0.9 * sum(w.size for w in before.values())
    expected = outputs(artifact.config, silenced(before, weights))
    assert (expected - outputs(artifact.config, before)).abs().max() > 1e-2
    torch.testing.assert_close(outputs(after.config, weights), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(stepped(after.config, weights), expected, atol=1e-5, rtol=0)


def without_effect(artifact):
    """The same model with one head of each branch and 8 feed-forward channels silent."""
    weights = artifact.decode()
    for branch in branches(weights):
        part = branch.split(".")[2]
        outgoing = weights[f"{branch}.{OUTGOING[part]}.weight"]
        width = outgoing.shape[1] // 4
        outgoing[:, width : 2 * width] = 0
        if part == "conv":  # dead in the prediction of kernels too
            incoming = weights[f"{branch}.linear1.weight"]
            incoming[width : 2 * width] = 0
            weights[f"{branch}.linear1.bias"][width : 2 * width] = 0
    return replace(artifact, weights={n: Dense(w) for n, w in weights.items()})


def test_what_has_no_effect_goes_first_and_changes_nothing(artifact):
    idle = without_effect(artifact)
    after = apply(Structured(share=0.25), idle, Context())
    for stack in ("encoder", "decoder"):
        for layer, whole in zip(kept(after.config, stack), kept(idle.config, stack), strict=True):
            assert layer.ffn_dim == 24
            assert (layer.attention_heads, layer.conv_heads, layer.cross_attention_heads) == (
                max(whole.attention_heads - 1, 0),
                max(whole.conv_heads - 1, 0),
                max(whole.cross_attention_heads - 1, 0),
            )
    expected = outputs(idle.config, idle.decode())
    torch.testing.assert_close(outputs(after.config, after.decode()), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("share", "count"), [(0.05, "paper"), (0.2, "all")])
def test_macs_fall_by_what_was_asked(artifact, share, count):
    after = apply(Structured(share, count=count), artifact, Context())
    macs = {"all": all_macs, "paper": paper_macs}[count]
    lengths = (0 if artifact.config.is_language_model else 30, 30)
    before, now = (sum(macs(a.config, *lengths).values()) for a in (artifact, after))
    assert now <= (1 - share) * before
    summary = after.history[-1].summary
    assert summary["before"][f"{count}_macs"] == before
    assert summary["after"][f"{count}_macs"] == now
    assert summary["removed"][f"{count}_macs"] == pytest.approx(1 - now / before, abs=1e-6)
    assert summary["after"]["parameters"] == sum(w.size for w in after.decode().values())
    again = apply(Structured(share, count=count), artifact, Context())
    assert dump_artifact(again) == dump_artifact(after)


def test_more_than_there_is_says_how_much_there_is():
    artifact = artifact_of("lite, dynamic")
    with pytest.raises(StageError, match=r"macs of at most 0\.\d+") as error:
        apply(Structured(0.99), artifact, Context())
    most = float(str(error.value).split("at most ")[1].split(",")[0])
    after = apply(Structured(most), artifact, Context())
    assert after.history[-1].summary["removed"]["all_macs"] == pytest.approx(most, abs=1e-4)
    for stack in ("encoder", "decoder"):
        for layer in kept(after.config, stack):
            assert (layer.ffn_dim, layer.attention_heads, layer.conv_heads) == (8, 1, 1)


@given(
    widths=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    ffn=st.integers(1, 60),
    multiple=st.integers(1, 16),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_units_leave_multiples_and_never_nothing(widths, ffn, multiple, seed):
    heads, width = widths
    config = models.config(
        "dynamic",
        embed_dim=2 * heads * width,
        ffn_dim=ffn,
        attention_heads=heads,
        conv_heads=heads,
        cross_attention_heads=heads,
    )
    random = np.random.default_rng(seed)
    for structures in (HEADS, CHANNELS):
        for place in places(config, structures):
            channels = ffn if place.part == "ffn" else heads * width
            channels *= 2 if place.part == "cross_attention" else 1
            importance = random.random(channels).astype(np.float32)
            found = units(place, config, importance, multiple)
            gone = [channel for unit in found for channel in unit.channels]
            assert len(set(gone)) == len(gone) < channels
            rates = [unit.importance / unit.count for unit in found]
            if place.field.endswith("heads") or place.field == "ffn_dim":
                assert rates == sorted(rates)
            number = place.of(config)
            for unit in found:
                number -= unit.count
                if place.field == "ffn_dim":
                    assert number >= multiple
                    assert number % multiple == 0
                if place.field == "conv_head_dim":
                    assert number * heads % multiple == 0
            assert number >= 1
            most = importance[[c for c in range(channels) if c not in gone]]
            assert not gone or place.part != "ffn" or most.min() >= importance[gone].max()


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return parallel_text(tmp_path_factory.mktemp("text"), 2)


def nll(config, weights, source, target):
    """Summed over one pair's tokens."""
    model = from_weights(config, weights)
    previous = torch.tensor([[2, *target[:-1]]])
    with torch.no_grad():
        logits = model(torch.tensor([source]), previous)[0].double()
    return float(torch.nn.functional.cross_entropy(logits, torch.tensor(target), reduction="sum"))


def test_importance_by_text_is_the_squared_slope_of_the_loss(text):
    from litecompress.stages.structured_graph import PruningGraph
    from litecompress.stages.structured_importance import taylor
    from litecompress.train.calibration import calibration_examples

    artifact = artifact_of("lite, dynamic")
    config, weights = artifact.config, artifact.decode()
    graph = PruningGraph(config, weights)
    found = taylor(graph.network, graph.outgoing, calibration_examples(artifact, text, 2))
    both = zip(models.LINES * 2, models.LINES[::-1] * 2)
    pairs = [
        [tokenizer.encode(line) for tokenizer, line in zip(artifact.tokenizers(), lines)]
        for lines in list(both)[:: 2 * len(models.LINES) - 1]
    ]
    size = 1e-2
    for branch, channel in [
        ("encoder.1.attention", 3),
        ("encoder.0.conv", 7),
        ("decoder.0.cross_attention", 11),
        ("decoder.1.ffn", 5),
    ]:
        name = f"{branch}.{OUTGOING[branch.split('.')[2]]}.weight"
        expected = 0.0
        for source, target in pairs:
            ends = []
            for scale in (1 - size, 1 + size):
                scaled = np.array(weights[name])
                scaled[:, channel] *= scale
                ends.append(nll(config, {**weights, name: scaled}, source, target))
            expected += ((ends[1] - ends[0]) / (2 * size)) ** 2
        assert found[branch][channel] == pytest.approx(expected, rel=0.05, abs=1e-5)


def test_calibration_changes_the_choice_and_is_for_its_kind_of_model(text):
    artifact = artifact_of("lite, dynamic")
    by_weights = apply(Structured(0.2), artifact, Context())
    by_text = apply(Structured(0.2, calibration=text, sentences=3), artifact, Context())
    assert by_text.history[-1].summary["importance"] == "taylor"
    assert by_weights.history[-1].summary["importance"] == "magnitude"
    assert by_text.config != by_weights.config
    plain = PlainText("text", text.folder, ("train.en",), ("val.en",))
    with pytest.raises(InputError, match="parallel or table for this model, got text"):
        apply(Structured(0.2, calibration=plain), artifact, Context())
    language_model = artifact_of("adaptive language model")
    pruned = apply(Structured(0.2, calibration=plain), language_model, Context())
    assert pruned.config.decoder_kept
    with pytest.raises(InputError, match="kind text for this model, got parallel"):
        apply(Structured(0.2, calibration=text), language_model, Context())


def test_other_stages_and_the_file_go_on_from_it(text):
    artifact = artifact_of("lite, dynamic")
    after = apply(Structured(0.2), artifact, Context(parent=artifact))
    twice = apply(Structured(0.1, structures=("conv_channels",), multiple=4), after, Context())
    assert kept(twice.config, "decoder")[0].conv_head_dim < 4
    training = TrainRecipe(
        text,
        20,
        10,
        InverseSqrt("inverse_sqrt", 3e-3, 5),
        max_tokens=128,
        average=1,
        device="cpu",
    )
    job = Recover(training, distillation=0.5)
    recovered = apply(job, after, Context(parent=artifact, exact=after))
    summary = recovered.history[-1].summary
    assert summary["valid_nll"] < summary["valid_nll_at_start"]
    assert recovered.config == after.config
    small = recovered
    for stage in (Prune(0.3), Quantize(num_bits=4)):
        small = apply(stage, small, Context())
    read = parse_artifact(dump_artifact(small))
    assert read.config == after.config
    assert [step.stage for step in read.history] == ["structured", "recover", "prune", "quantize"]
    for name, weight in read.decode().items():
        np.testing.assert_array_equal(weight, small.decode()[name], err_msg=name)


def test_inspect_shows_what_is_left_in_file_and_folder(tmp_path):
    after = apply(Structured(0.2), artifact_of("lite, dynamic"), Context())
    save_artifact(after, tmp_path / "small.litec")
    (tmp_path / "folder").mkdir()
    checkpoint = Checkpoint(after.config, after.decode(), after.tokenizer)
    save_checkpoint(checkpoint, tmp_path / "folder")
    summary = after.history[-1].summary
    for name in ("small.litec", "folder"):
        values = inspect_model(str(tmp_path / name))
        assert {n: values["total"][n] for n in ("parameters", "all_macs")} == {
            n: summary["after"][n] for n in ("parameters", "all_macs")
        }
        assert values["total"]["all_macs"] <= 0.8 * summary["before"]["all_macs"]
        assert values["kept"]["decoder"] == summary["decoder_kept"]
        out = Console(file=io.StringIO(), width=100)
        show_costs(values, out)
        row = summary["decoder_kept"][1]
        line = rf"decoder 1 +{row['attention_heads']} +{row['cross_attention_heads']} .*"
        assert re.search(line + rf" {row['ffn_dim']}\b", out.file.getvalue())


def test_only_plain_weights():
    compressed = models.compressed("dynamic")
    with pytest.raises(StageError, match=r"plain weights, got \d+ pruned.*before prune and quant"):
        apply(Structured(0.2), compressed, Context())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "one of macs and share, got None and None"),
        ({"macs": 0.2, "share": 0.2}, "one of macs and share, got 0.2 and 0.2"),
        ({"macs": 0}, "macs between 0 and 1, got 0"),
        ({"macs": float("nan")}, "macs between 0 and 1, got nan"),
        ({"share": 1}, "share between 0 and 1, got 1"),
        ({"macs": 0.2, "structures": ()}, "structures, each once"),
        ({"macs": 0.2, "structures": ("ffn_channels",) * 2}, "structures, each once"),
        ({"macs": 0.2, "structures": ("conv_heads", "conv_channels")}, "take two stages"),
        (
            {"macs": 2, "target_length": 0, "multiple": 0},
            "macs between 0 and 1, got 2; target_length of at least 1, got 0; multiple of at",
        ),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(StageError, match=message):
        Structured(**options)


def test_nothing_to_remove():
    transformer = artifact_of("Transformer")
    with pytest.raises(StageError, match=r"macs of at most 0\.0, which is what conv_heads"):
        apply(Structured(0.2, structures=("conv_heads",)), transformer, Context())
    with pytest.raises(StageError, match="ffn_channels that can be removed, got none"):
        apply(Structured(share=0.2, structures=("ffn_channels",)), transformer, Context())


def test_a_missing_library_is_named(monkeypatch):
    for name in list(sys.modules):
        if name.startswith(("torch_pruning", "litecompress.stages.structured_")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(MissingBackendError, match=r"litecompress\[prune\]"):
        apply(Structured(0.2), artifact_of("Transformer"), Context())


def test_a_recipe_holds_it_and_reads_back(text):
    values = {
        "model": "m",
        "checks": {"samples": "s"},
        "exports": [],
        "stages": [
            {
                "stage": "structured",
                "macs": 0.3,
                "structures": ["ffn_channels", "conv_channels"],
                "calibration": {
                    "kind": "parallel",
                    "folder": text.folder,
                    "source": "en",
                    "target": "de",
                },
            }
        ],
    }
    recipe = parse_recipe(values)
    expected = Structured(0.3, structures=("ffn_channels", "conv_channels"), calibration=text)
    assert recipe.stages == (expected,)
    assert parse_recipe(yaml.safe_load(dump_recipe(recipe))) == recipe


def test_weights_that_do_not_fit_the_pruned_config_are_refused():
    after = apply(Structured(0.2), artifact_of("lite, dynamic"), Context())
    with pytest.raises(CheckpointError, match="weights do not fit"):
        from_weights(models.config("dynamic"), after.decode())
