"""The trace of `docs/trace`: a tiny model, its package, and what goes in and out of it.

python -m tests.runtime.trace        # writes it again; docs/integration.md says what it is for
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from litecompress.artifact import Artifact
from litecompress.batches import pad
from litecompress.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from litecompress.model.config import EOS_ID, PAD_ID, ModelConfig
from litecompress.model.lite_transformer import LiteTransformer
from litecompress.runtime.beams import Beams
from litecompress.runtime.chooser import Kept
from litecompress.runtime.search import Hypothesis, SearchConfig, beam_search, decode
from litecompress.runtime.session import Session, State
from litecompress.tokenizer import Tokenizer

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "trace"
WHO = (
    ("a man", "ein Mann"),
    ("a woman", "eine Frau"),
    ("a dog", "ein Hund"),
    ("the child", "das Kind"),
)
WHAT = (("sleeps", "schläft"), ("runs", "läuft"), ("reads", "liest"), ("waits", "wartet"))
WHERE = (("", ""), (" in the park", " im Park"), (" on the beach", " am Strand"))
PAIRS = [
    (f"{who[0]} {what[0]}{where[0]} .", f"{who[1]} {what[1]}{where[1]} .")
    for who in WHO
    for what in WHAT
    for where in WHERE
]
TEXT = "a woman reads on the beach ."
SEED = 1
UPDATES = 300
VOCABULARY = 96
LENGTH = 16  # positions of the caches
BEAM = 3
TOLERANCE = 1e-4
DIGITS = 6  # of a number in the trace


def checkpoint() -> Checkpoint:
    """The model: trained for a minute on a few dozen sentences, from a fixed seed."""
    tokenizer = Tokenizer.learn([line for pair in PAIRS for line in pair], VOCABULARY)
    shape = ModelConfig(
        source_vocab_size=tokenizer.vocab_size,
        target_vocab_size=tokenizer.vocab_size,
        embed_dim=16,
        ffn_dim=16,
        encoder_kernel_sizes=(3,),
        decoder_kernel_sizes=(3, 5),
        attention_heads=2,
        conv_heads=2,
        cross_attention_heads=2,
        max_positions=64,
    )
    torch.manual_seed(SEED)
    model = LiteTransformer(shape)
    _train(model, tokenizer)
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    return Checkpoint(shape, weights, tokenizer.data)


def _train(model: LiteTransformer, tokenizer: Tokenizer) -> None:
    """Adam on all pairs at once."""
    source, target = (pad([tokenizer.encode(p[side]) for p in PAIRS]) for side in (0, 1))
    previous = target.roll(1, 1)
    previous[:, 0] = EOS_ID
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for update in range(UPDATES):
        logits = model(source, previous)  # (B, T, V)
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD_ID)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if update == UPDATES // 2:
            optimizer.param_groups[0]["lr"] = 0.003


def artifact() -> Artifact:
    """The checked-in model."""
    return Artifact.from_checkpoint(load_checkpoint(FOLDER / "model"))


class Recorded(Beams):
    """Beam search that writes down what it does: which row each row of the next step grew from,
    the token that this row has written, and the sum of its log-probabilities."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.rows: list[dict[str, Any]] = []

    def advance(self, logits: np.ndarray) -> Kept | None:
        kept = super().advance(logits)
        if kept is not None:
            parents = range(len(self.newest)) if kept.parents is None else kept.parents.tolist()
            totals = _numbers(self._totals)
            rows = {"parents": [*parents], "tokens": self.newest.tolist(), "totals": totals}
            self.rows.append(rows)
        return kept


def record(session: Session) -> dict[str, Any]:
    """Greedy and beam search of one sentence, and every array that the greedy one touches."""
    tokenizer = Tokenizer((FOLDER / "model" / "tokenizer.json").read_bytes())
    source = np.array([tokenizer.encode(TEXT)])
    ((greedy,),) = beam_search(session, source, config(1))
    beams = Recorded(config(BEAM), LENGTH - 1, np.array([[EOS_ID]]))
    (found,) = decode(session, session.start(source, LENGTH), beams)
    state = session.start(source, LENGTH)
    return {
        "text": TEXT,
        "tolerance": TOLERANCE,
        "encoder": {
            "inputs": {"source": _array(source)},
            "outputs": {name: _array(value) for name, value in state.fixed.items()},
        },
        "caches": {name: list(value.shape) for name, value in state.caches.items()},
        "steps": _steps(session, state, greedy.tokens),
        "greedy": _hypothesis(greedy, tokenizer),
        "beam": {
            "beam": BEAM,
            "steps": beams.rows,
            "hypotheses": [_hypothesis(h, tokenizer) for h in found],
        },
    }


def config(beam: int) -> SearchConfig:
    """The search: as many tokens as there is room for, but for </s>."""
    return SearchConfig(beam, max_length_a=0, max_length_b=LENGTH - 1)


def _steps(session: Session, state: State, tokens: tuple[int, ...]) -> list[dict[str, Any]]:
    """Every step's token and number, and its outputs; </s> is read first."""
    steps = []
    for step, token in enumerate((EOS_ID, *tokens[:-1])):
        logits, state = session.step(np.array([token]), step, state)
        caches = {f"next_{name}": _array(value) for name, value in state.caches.items()}
        inputs = {"token": _array(np.array([[token]])), "step": _array(np.array([step]))}
        steps.append({"inputs": inputs, "outputs": {"logits": _array(logits), **caches}})
    return steps


def _hypothesis(found: Hypothesis, tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "tokens": list(found.tokens),
        "token_scores": _numbers(np.array(found.token_scores)),
        "score": _numbers(np.array(found.score))[0],
        "text": tokenizer.decode(found.tokens),
    }


def _array(value: Any) -> dict[str, Any]:
    """An array or a tensor by shape and content, row by row."""
    array = np.asarray(value)
    return {"shape": list(array.shape), "data": _numbers(array)}


def _numbers(array: np.ndarray) -> list[Any]:
    return [x if isinstance(x, int) else float(f"{x:.{DIGITS}g}") for x in array.ravel().tolist()]


def write() -> None:
    """Model, package and trace, all anew."""
    from litecompress.export.onnx import OnnxExport
    from litecompress.export.package import write_package
    from litecompress.runtime.torch_session import TorchSession

    shutil.rmtree(FOLDER, ignore_errors=True)
    (FOLDER / "model").mkdir(parents=True)
    save_checkpoint(checkpoint(), FOLDER / "model")
    write_package(OnnxExport(storage="float32"), artifact(), FOLDER / "onnx")
    text = json.dumps(record(TorchSession.of(artifact())), separators=(",", ":"))
    (FOLDER / "trace.json").write_text(text.replace('{"inputs', '\n{"inputs') + "\n", "utf-8")


if __name__ == "__main__":
    write()
