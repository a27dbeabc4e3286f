"""A package with one wrong weight: `verify` fails and names the layer that has it."""

from __future__ import annotations

import numpy as np
import pytest

from litecompress.verify.departure import Output, first_departure, layer_of, shared
from litecompress.verify_job import Job
from tests import models
from tests.verify import packages


def verified(folder, package):
    job = Job(package, folder / "model.litec", folder / "samples.tsv", count=4, beam=1, longest=8)
    return job.run(lambda message: None)


@pytest.fixture(scope="module")
def floats(tmp_path_factory):
    return packages.made(tmp_path_factory.mktemp("floats"), storage="float32")


@pytest.fixture(scope="module")
def integers(tmp_path_factory):
    return packages.made(tmp_path_factory.mktemp("integers"), storage="int8")


def test_a_sound_package_passes_and_departs_nowhere(floats):
    found = verified(floats, floats / "package")
    assert found.passed
    assert found.located is None


@pytest.mark.parametrize(
    ("weight", "layer", "place"),
    [
        ("encoder.0.attention.query.weight", "encoder.0", "encoder.0.attention.query"),
        ("encoder.1.ffn.fc1.weight", "encoder.1", "encoder.1.ffn.fc1"),
        ("decoder.0.cross_attention.value.weight", "decoder.0", "decoder.0.cross_attention.value"),
        ("decoder.1.conv.linear2.weight", "decoder.1", "decoder.1.conv.linear2"),
        ("decoder.1.ffn_norm.bias", "decoder.1", "decoder.1.ffn_norm"),
    ],
)
def test_one_wrong_weight_is_located(floats, tmp_path, weight, layer, place):
    def change(values):
        values[len(values) // 2] += 0.5

    wrong = packages.corrupted(floats / "package", tmp_path / "package", weight, change)
    found = verified(floats, wrong)
    assert not found.passed
    assert (found.located.layer, found.located.place) == (layer, place)
    assert abs(found.located.expected - found.located.got) > 1e-3


@pytest.mark.parametrize("layer", ["encoder.1", "decoder.0"])
def test_one_wrong_row_of_an_int8_package_is_located(integers, tmp_path, layer):
    def change(values):
        values[: len(values) // 8] = 255 - values[: len(values) // 8]

    weight = f"{layer}.ffn.fc1.weight"
    wrong = packages.corrupted(integers / "package", tmp_path / "package", weight, change)
    found = verified(integers, wrong)
    assert not found.passed
    assert found.located.layer == layer


def output(place, noise, size=1000):
    reference = np.random.default_rng(1).normal(size=size).astype(np.float32)
    other = reference + noise * np.random.default_rng(2).normal(size=size).astype(np.float32)
    return Output(place, "encoder", reference, other)


def test_the_first_below_the_floor_departs():
    outputs = [output("encoder.0.a", 1e-6), output("encoder.1.b", 0.5), output("encoder.2.c", 1.0)]
    assert first_departure(iter(outputs), 20).place == "encoder.1.b"


def test_the_first_to_fall_departs_even_above_the_floor():
    outputs = [output("encoder.0.a", 1e-6), output("encoder.1.b", 1e-3), output("encoder.2.c", 1.0)]
    found = first_departure(iter(outputs), 0)
    assert found.place == "encoder.1.b"
    assert found.before_db == pytest.approx(outputs[0].psnr_db)


def test_noise_that_only_grows_slowly_is_laid_to_the_worst():
    outputs = [output(f"encoder.{i}.x", 1e-3 * 2**i) for i in range(4)]
    assert first_departure(iter(outputs), 0).place == "encoder.3.x"


def test_values_that_are_not_finite_depart():
    broken = output("decoder.0.attention", 0.0)
    broken.other[7] = np.nan
    found = first_departure(iter([broken]), 20)
    assert found.layer == "decoder.0"
    assert found.to_dict()["got"] is None


@pytest.mark.parametrize(
    ("place", "layer"),
    [
        ("decoder.10.ffn.fc1", "decoder.10"),
        ("embedding", "embedding"),
        ("key_2", "decoder.2, or decoder.1 before it"),
        ("conv_0", "decoder.0, or embedding before it"),
        ("cross_value_1", "encoder, or decoder.1.cross_attention"),
    ],
)
def test_places_and_their_layers(place, layer):
    assert layer_of(place) == layer


def test_arrays_of_other_sizes_are_cut_to_what_both_have():
    (found,) = shared({"a": np.ones((1, 3)), "b": np.ones(2)}, {"a": np.ones((1, 5))}, "step 0")
    assert found.reference.shape == found.other.shape == (1, 3)


def test_a_state_is_enough_where_a_target_shows_no_modules(floats):
    from litecompress.artifact_file import load_model
    from litecompress.runtime.torch_session import TorchSession
    from litecompress.verify.difference import Row
    from litecompress.verify.locate import locate

    sound = load_model(floats / "model.litec")
    wrong = models.artifact(seed=0)
    weights = {n: w.decode().copy() for n, w in wrong.weights.items()}
    weights["decoder.1.attention.key.weight"][3, 4] += 1
    from litecompress.encoding import Dense

    other = type(wrong)(wrong.config, {n: Dense(w) for n, w in weights.items()}, wrong.tokenizer)
    row = Row((5, 6, 7, 2), (8, 9, 2))
    sessions = TorchSession.of(sound), TorchSession.of(other)
    found = locate(sessions[0], floats / "package", "tflite", sessions[1], row, 20)
    assert found.place == "key_1"
    assert found.layer == "decoder.1, or decoder.0 before it"
