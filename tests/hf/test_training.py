"""Models of transformers trained by its own Trainer."""

from __future__ import annotations

import logging

import pytest
import torch
from transformers import (
    DataCollatorForLanguageModeling,
    DataCollatorForSeq2Seq,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    Trainer,
    TrainingArguments,
)

from litecompress.checkpoint import load_checkpoint
from litecompress.hf import LiteTransformerTokenizer
from tests.hf.models import adapted, random_language_model, random_network
from tests.models import LINES, tokenizer

pytest.importorskip("accelerate", reason="needs litecompress[train]")

VOCABULARY = tokenizer().vocab_size
SIZES = {"source_vocab_size": VOCABULARY, "target_vocab_size": VOCABULARY}
OPTIONS = {
    "max_steps": 8,
    "learning_rate": 0.01,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    "report_to": "none",
    "disable_tqdm": True,
    "use_cpu": True,
    "save_strategy": "no",
    "logging_strategy": "no",
    "dataloader_pin_memory": False,
    "seed": 0,
}


def theirs(tmp_path, **options):
    (tmp_path / "tokenizer.json").write_bytes(tokenizer().data)
    return LiteTransformerTokenizer.from_pretrained(tmp_path, **options)


@pytest.fixture(autouse=True)
def nothing_warned(caplog):
    yield
    assert not [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def test_an_encoder_decoder_learns_and_is_saved_as_ours(tmp_path):
    torch.manual_seed(0)
    model, words = adapted(random_network(**SIZES, dropout=0.1)), theirs(tmp_path)
    rows = [dict(words(line, text_target=line).items()) for line in LINES]
    trainer = Seq2SeqTrainer(
        model,
        Seq2SeqTrainingArguments(str(tmp_path / "run"), predict_with_generate=True, **OPTIONS),
        train_dataset=rows,
        eval_dataset=rows,
        data_collator=DataCollatorForSeq2Seq(words, model),
        processing_class=words,
    )
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    after = trainer.evaluate()["eval_loss"]
    assert after < 0.7 * before
    predictions = trainer.predict(rows, max_new_tokens=6).predictions
    assert len(predictions) == len(rows)
    trainer.save_model(tmp_path / "saved")
    saved = load_checkpoint(tmp_path / "saved")
    assert saved.config == model.architecture
    assert saved.tokenizer == tokenizer().data


@pytest.mark.parametrize("changes", [{}, {"adaptive_cutoffs": (40, 80), "adaptive_factor": 2}])
def test_a_language_model_learns(tmp_path, changes):
    torch.manual_seed(0)
    words = theirs(tmp_path, language_model=True)
    model = adapted(random_language_model(**SIZES, dropout=0.1, **changes))
    rows = [{"input_ids": words(line).input_ids} for line in LINES]
    trainer = Trainer(
        model,
        TrainingArguments(str(tmp_path / "run"), prediction_loss_only=True, **OPTIONS),
        train_dataset=rows,
        eval_dataset=rows,
        data_collator=DataCollatorForLanguageModeling(words, mlm=False),
        processing_class=words,
    )
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < 0.7 * before
