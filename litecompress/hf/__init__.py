"""Models of this project in Hugging Face transformers; importing this registers them.

Afterwards AutoConfig, AutoModelForSeq2SeqLM, AutoModelForCausalLM (language models) and
AutoTokenizer open a checkpoint folder, and what they save is one.
"""

from __future__ import annotations

from litecompress.backends import named_extras
from litecompress.silence import silenced

with named_extras(), silenced():
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    from litecompress.hf.cache import LiteTransformerCache
    from litecompress.hf.causal import LiteTransformerForCausalLM
    from litecompress.hf.config import LiteTransformerConfig
    from litecompress.hf.seq2seq import LiteTransformerForSeq2SeqLM
    from litecompress.hf.tokenizer import LiteTransformerTokenizer

__all__ = [
    "LiteTransformerCache",
    "LiteTransformerConfig",
    "LiteTransformerForCausalLM",
    "LiteTransformerForSeq2SeqLM",
    "LiteTransformerTokenizer",
]

AutoConfig.register(LiteTransformerConfig.model_type, LiteTransformerConfig, exist_ok=True)
for auto, model in (
    (AutoModelForSeq2SeqLM, LiteTransformerForSeq2SeqLM),
    (AutoModelForCausalLM, LiteTransformerForCausalLM),
):
    auto.register(LiteTransformerConfig, model, exist_ok=True)
AutoTokenizer.register(LiteTransformerConfig, LiteTransformerTokenizer, exist_ok=True)
