"""The task's own metric as a criterion for early stopping."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from litecompress.backends import load_backend
from litecompress.checkpoint import Checkpoint
from litecompress.evaluate.bootstrap import Resampling
from litecompress.evaluate.corpus import Samples
from litecompress.evaluate.model import translations
from litecompress.evaluate.rouge import summary_statistics
from litecompress.evaluate.text_metrics import bleu
from litecompress.model.lite_transformer import LiteTransformer
from litecompress.runtime.search import SearchConfig
from litecompress.tokenizer import Tokenizer, shortened
from litecompress.train.recipe import TrainRecipe

Score = Callable[[Checkpoint], float]  # of a model on validation text; higher is better
GREEDY = SearchConfig(beam=1)


def validation_score(recipe: TrainRecipe) -> Score | None:
    """BLEU or ROUGE-L of greedy output for the first `metric_sentences` of the validation text.

    None where the recipe's metric is nll, which every validation measures. A scorer that is not
    installed is a MissingBackendError, before training begins.
    """
    if recipe.metric == "nll":
        return None
    load_backend({"bleu": "sacrebleu", "rouge": "rouge_score"}[recipe.metric])
    sources, references = recipe.data.read("valid")

    def score(checkpoint: Checkpoint) -> float:
        network = LiteTransformer.from_weights(checkpoint.config, checkpoint.weights)
        tokenizer = Tokenizer(checkpoint.tokenizer)
        samples = _samples(sources, references, tokenizer, recipe)
        written = translations(network, samples, tokenizer, GREEDY)
        if recipe.metric == "bleu":
            return bleu(written, samples.references).score
        return summary_statistics(written, samples.references, Resampling())["rougel"].score

    return score


def _samples(
    sources: Sequence[str], references: Sequence[str], tokenizer: Tokenizer, recipe: TrainRecipe
) -> Samples:
    """The first pairs that have text, sources cut to the length that the model is trained on."""
    rows = [row for row in zip(sources, references, strict=True) if all(map(str.strip, row))]
    rows = rows[: recipe.metric_sentences]
    cut = [shortened(tokenizer.encode(source), recipe.max_length) for source, _ in rows]
    kept = tuple(source for source, _ in rows), tuple(reference for _, reference in rows)
    return Samples(*kept, tuple(map(tuple, cut)), ())
