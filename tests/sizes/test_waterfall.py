"""The waterfall gives the bytes that the model really had after each step."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from litecompress.artifact import Artifact, Step
from litecompress.artifact_file import save_artifact
from litecompress.corpus import ParallelText
from litecompress.encoding import Dense, Sparse
from litecompress.ledger import size_sheet, unpacked_bytes
from litecompress.sizes.account import account
from litecompress.sizes.values import sheet_values
from litecompress.sizes.waterfall import FILE, FLOAT32, PACKED, history_states
from litecompress.stages import Context, Prune, Quantize, RateDistortion, Structured, apply
from tests import models
from tests.sizes.encodings import ALL, BASE, artifacts

RELAXED = settings(max_examples=15, suppress_health_check=list(HealthCheck))


def nbytes(model: Artifact) -> dict[str, int]:
    return {name: weight.nbytes for name, weight in model.weights.items()}


@RELAXED
@given(
    sparsity=st.floats(0, 0.95),
    num_bits=st.integers(1, 8),
    targets=st.sampled_from([("*.weight",), ("encoder.*.weight",), ("embedding.*", "decoder.*")]),
    exclude=st.sampled_from([(), ("*ffn*",)]),
)
def test_states_are_those_that_the_stages_went_through(sparsity, num_bits, targets, exclude):
    stages = (
        Prune(sparsity, targets=targets, exclude=exclude),
        Quantize(num_bits=num_bits, targets=("encoder.*",)),
        Quantize(num_bits=8, targets=("*",), exclude=("encoder.*",)),
    )
    model, expected = BASE, [nbytes(BASE)]
    for stage in stages:
        model = apply(stage, model, Context())
        expected.append(nbytes(model))
    states = history_states(model)
    assert [state.step for state in states] == [FLOAT32, "prune", "quantize", "quantize"]
    assert [dict(state.weights) for state in states] == expected


def test_a_step_whose_mask_is_no_longer_known_is_named_with_its_successor():
    once = apply(Prune(0.3), BASE, Context())
    twice = apply(Prune(0.6, targets=("*ffn*",)), once, Context())
    states = history_states(apply(Quantize(), twice, Context()))
    assert [state.step for state in states] == [FLOAT32, "prune + prune", "quantize"]
    assert dict(states[1].weights) == nbytes(twice)
    apart = apply(Prune(0.6, targets=("*ffn*",)), BASE, Context())
    apart = apply(Prune(0.3, targets=("*attention*.weight",)), apart, Context())
    assert [state.step for state in history_states(apart)] == [FLOAT32, "prune", "prune"]


def test_recovery_changes_bytes_only_where_it_prunes():
    pruned = apply(Prune(0.5), BASE, Context())
    kept = pruned.with_step(Step("recover", {"gradual": None}, {}))
    states = history_states(kept)
    assert [state.step for state in states] == [FLOAT32, "prune", "recover"]
    assert states[1].weights == states[2].weights == nbytes(pruned)
    gradual = Step("recover", {"gradual": {"targets": ["*.weight"]}}, {})
    states = history_states(Artifact(BASE.config, pruned.weights, BASE.tokenizer, (gradual,)))
    assert [state.step for state in states] == [FLOAT32, "recover"]
    assert dict(states[1].weights) == nbytes(pruned)


@RELAXED
@given(model=artifacts(ALL))
def test_encodings_of_any_kind_end_at_their_own_bytes(model):
    states = history_states(model)
    assert dict(states[0].weights) == {n: 4 * w.decode().size for n, w in model.weights.items()}
    if states[-1].step == PACKED:
        assert dict(states[-1].weights) == nbytes(model)
    else:
        assert all(isinstance(w, Dense) for w in model.weights.values())


@RELAXED
@given(model=artifacts(ALL, (Step("prune", {}, {}), Step("quantize", {}, {}))))
def test_pruned_weights_are_a_mask_and_survivors_in_between(model):
    states = history_states(model)
    assert [state.step for state in states] == [FLOAT32, "prune", "quantize"]
    for name, weight in model.weights.items():
        between, size = states[1].weights[name], weight.decode().size
        if isinstance(weight, Sparse):
            assert between == (size + 7) // 8 + 4 * np.count_nonzero(weight.mask)
        elif type(weight).__name__ != "Bands":
            assert between == 4 * size
        assert states[2].weights[name] == weight.nbytes


def test_scopes_and_ratios_are_the_reports(tmp_path):
    trained = models.artifact("dynamic", share_embeddings=False)
    model = models.compressed("dynamic", share_embeddings=False)
    path = tmp_path / "a.litec"
    save_artifact(model, path)
    values = sheet_values(account(path))["waterfall"]
    baseline = unpacked_bytes(trained, trained.float32_bytes(embeddings=True))
    sheet = size_sheet(trained, model, baseline, path.stat().st_size, {})
    assert values["steps"] == [FLOAT32, "prune", "quantize", FILE]
    for scope, size in sheet.items():
        assert values["scopes"][scope][0] == size.baseline
    for scope in ("weights_nonembed", "weights_all"):
        assert values["scopes"][scope][2] == sheet[scope].compressed
    assert values["scopes"]["artifact_bytes"][3] == path.stat().st_size
    last = {r["scope"]: r for r in values["ratios"] if r["denominator"] == FILE}
    size = sheet["artifact_bytes"]
    assert last["artifact_bytes"]["value"] == round(size.baseline / size.compressed, 4)
    assert last["artifact_bytes"]["numerator"] == "float32 checkpoint"
    for i, total in enumerate(values["scopes"]["artifact_bytes"]):
        assert sum(sizes[i] for sizes in values["components"].values()) == total


def test_rate_distortion_is_a_step_of_its_own(tmp_path):
    for split in ("train", "val"):
        for side in ("en", "de"):
            (tmp_path / f"{split}.{side}").write_text("\n".join(models.LINES))
    data = ParallelText("parallel", str(tmp_path), "en", "de")
    model = apply(RateDistortion(data, slope=1e-8), models.artifact(), Context())
    states = history_states(model)
    assert [state.step for state in states] == ["float32", "rate_distortion"]
    assert sum(states[0].weights.values()) == model.float32_bytes(embeddings=True)
    assert sum(states[1].weights.values()) == model.nbytes(embeddings=True)


def test_before_structures_went_there_were_more_weights(tmp_path):
    whole = models.artifact(embed_dim=64, ffn_dim=64)
    model = apply(Structured(share=0.5), whole, Context())
    states = history_states(model)
    assert [state.step for state in states] == ["float32", "structured"]
    assert sum(states[0].weights.values()) == whole.float32_bytes(embeddings=True)
    assert sum(states[1].weights.values()) == model.float32_bytes(embeddings=True)
