"""What the paper publishes of size and work, table by table (arXiv:2004.11886).

A figure is `recalled` when it was written down from memory and not checked against a published
page, even where our arithmetic reproduces it; it is not when it was read in a table, figure, slide
or README of the authors. (`shared/facts/paper.md` tags all that it says: A and R are recalled, F
and what it digitises are not.) Figures that depend on trained weights are not here: accuracy, and
the 9.7 MB of the pruned model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from litecompress.cost import band_macs, nonembed, paper_macs, parameters
from litecompress.model.config import ModelConfig

Measure = Callable[[ModelConfig], int]
Source = Literal["table", "figure", "digitised", "README"]


@dataclass(frozen=True)
class Figure:
    """One published number.

    `printed` is as published, such as `2.8 M`: its last digit says how far it was rounded.
    `source` is where it was published, `digitised` for a point read off a curve. `measure`
    computes ours from the preset `model`; without it there is no configuration of this model, and
    `note` says why.
    """

    table: str
    model: str
    column: str
    printed: str
    source: Source
    recalled: bool
    measure: Measure | None = None
    note: str = ""


def figures() -> Iterator[Figure]:
    """Every #Params, #Mult-Adds and size of the paper, table by table."""
    yield from _iwslt()
    yield from _wmt()
    yield from _trade_off()
    yield from _evolved()
    yield from _summarization()
    yield from _language_models()
    yield from _language_model_trade_off()
    yield from _compression()
    yield from _breakdown()


def _size(config: ModelConfig, bytes_each: int = 1) -> int:
    """Parameters outside the embedding, or their bytes."""
    return bytes_each * nonembed(parameters(config))


def _macs(config: ModelConfig, source_length: int, target_length: int) -> int:
    return sum(paper_macs(config, source_length, target_length).values())


_MACS_AT_30 = partial(_macs, source_length=30, target_length=30)


def _part(config: ModelConfig, names: Sequence[str]) -> int:
    """MACs of some components at 30 tokens; the convolution's taps as a T x T band matrix."""
    counts = paper_macs(config, 30, 30)
    taps = band_macs(config, 30, 30) if "convolution" in names else 0
    return sum(counts[name] for name in names) + taps


def _pairs(
    table: str,
    rows: Iterable[tuple[str, str, str]],
    recalled: bool,
) -> Iterator[Figure]:
    """#Params and #Mult-Adds of rows of preset, printed parameters, printed MACs."""
    for model, params, macs in rows:
        yield Figure(table, model, "#Params", params, "table", recalled, _size)
        yield Figure(table, model, "#Mult-Adds", macs, "table", recalled, _MACS_AT_30)


def _iwslt() -> Iterator[Figure]:
    rows = (
        ("transformer-iwslt14-de-en-embed128", "2.8 M", "63 M"),
        ("lightconv-iwslt14-de-en-embed128", "2.5 M", "52 M"),
        ("iwslt14-de-en-embed160", "2.8 M", "54 M"),
        ("transformer-iwslt14-de-en-embed192", "5.7 M", "139 M"),
        ("lightconv-iwslt14-de-en-embed192", "5.1 M", "115 M"),
        ("iwslt14-de-en-embed240", "5.4 M", "119 M"),
        ("transformer-iwslt14-de-en-embed240", "8.5 M", "215 M"),
        ("lightconv-iwslt14-de-en-embed256", "8.4 M", "204 M"),
        ("iwslt14-de-en-embed320", "8.9 M", "209 M"),
    )
    yield from _pairs("IWSLT'14 De-En", rows, recalled=True)


def _wmt() -> Iterator[Figure]:
    rows = (
        ("transformer-wmt14-en-fr-embed128", "2.8 M", "87 M"),
        ("wmt14-en-fr-embed200", "2.9 M", "90 M"),
        ("transformer-wmt14-en-fr-embed256", "11.1 M", "338 M"),
        ("wmt14-en-fr-embed408", "11.7 M", "360 M"),
        ("transformer-wmt14-en-fr-embed320", "17.3 M", "527 M"),
        ("wmt14-en-fr-embed496", "17.3 M", "527 M"),
    )
    yield from _pairs("WMT'14", rows, recalled=False)


_UNPUBLISHED = "configuration not published"
_READING = "read off an axis: good to a few M"


def _digitised(
    table: str, column: str, rows: Iterable[tuple[str, str, str]], macs: Measure
) -> Iterator[Figure]:
    """Points of a curve as model, printed MACs and note; a model without a preset has no ours."""
    for model, printed, note in rows:
        measure = None if note == _UNPUBLISHED else macs
        text = f"{note}; {_READING}" if note else _READING
        yield Figure(table, model, column, printed, "digitised", False, measure, text)


def _trade_off() -> Iterator[Figure]:
    rows = (
        ("transformer-wmt14-en-fr-embed128", "88 M", ""),
        ("transformer-wmt14-en-fr-embed256", "338 M", ""),
        ("transformer-wmt14-en-fr-embed320", "527 M", ""),
        ("transformer-wmt14-en-fr-embed512", "1334 M", ""),
        ("wmt14-en-fr-embed200", "91 M", ""),
        ("wmt14-en-fr-embed408", "360 M", ""),
        ("wmt14-en-fr-embed496", "526 M", ""),
        ("Lite Transformer (1324 M)", "1324 M", _UNPUBLISHED),
    )
    yield from _digitised("Trade-off, WMT'14 En-Fr", "#Mult-Adds", rows, _MACS_AT_30)


def _evolved() -> Iterator[Figure]:
    table, note = "Evolved Transformer, WMT'14 En-De", "published only: not of this family"
    small = (
        ("transformer-wmt16-en-de-embed128", "2.8 M", "87 M"),
        ("wmt16-en-de-embed200", "2.9 M", "90 M"),
    )
    large = (
        ("transformer-wmt16-en-de-embed256", "11.1 M", "338 M"),
        ("wmt16-en-de-embed408", "11.7 M", "360 M"),
    )
    for rows, params, macs, recalled in (
        (small, "3.0 M", "94 M", False),
        (large, "11.8 M", "364 M", True),
    ):
        yield from _pairs(table, rows, recalled)
        for column, printed in (("#Params", params), ("#Mult-Adds", macs)):
            model = f"Evolved Transformer ({params})"
            yield Figure(table, model, column, printed, "table", recalled, None, note)


def _summarization() -> Iterator[Figure]:
    table = "CNN/DailyMail"
    for model, params, macs in (
        ("transformer-cnndm-embed512", "44.1 M", ("2.0 G", "3.6 G", "29.9 G")),
        ("cnndm-embed496", "17.3 M", ("0.8 G", "1.5 G", "12.5 G")),
    ):
        yield Figure(table, model, "#Params", params, "table", True, _size)
        for source_length, printed in zip((30, 100, 1000), macs, strict=True):
            at = partial(_macs, source_length=source_length, target_length=60)
            column = f"#Mult-Adds, source {source_length}"
            in_readme = printed == "0.8 G"
            source: Source = "README" if in_readme else "table"
            note = "target of 60 tokens, inferred: it fits all six"
            note += "; 800M in the README" if in_readme else ""
            yield Figure(table, model, column, printed, source, not in_readme, at, note)


_LITE_LM, _LM_MACS = "wikitext103-embed896", "#Mult-Adds, 30 tokens"
_LM_NOTE = "with the input projection of the widest band for every token"


def _language_models() -> Iterator[Figure]:
    table = "WikiText-103"
    for model, params, macs in (
        ("transformer-wikitext103-embed512", "37.8 M", ("3.9 G", "50.3 G")),
        (_LITE_LM, "37.2 M", ("3.9 G", "48.7 G")),
    ):
        note = "decoder layers only; no adaptive input or softmax"
        yield Figure(table, model, "#Params", params, "table", True, _size, note)
        for length, printed in zip((100, 1000), macs, strict=True):
            column, at = f"#Mult-Adds, {length} tokens", _decoding(length)
            yield Figure(table, model, column, printed, "table", True, at, _LM_NOTE)
    yield Figure(table, _LITE_LM, _LM_MACS, "1147 M", "README", False, _decoding(30), _LM_NOTE)


def _language_model_trade_off() -> Iterator[Figure]:
    inferred = f"{_LM_NOTE}; width inferred from this figure"
    rows = (
        ("transformer-wikitext103-embed256", "293 M", inferred),
        ("transformer-wikitext103-embed320", "454 M", inferred),
        ("transformer-wikitext103-embed512", "1155 M", _LM_NOTE),
        ("transformer-wikitext103-embed768", "2582 M", inferred),
        ("Lite Transformer (244 M)", "244 M", _UNPUBLISHED),
        ("Lite Transformer (377 M)", "377 M", _UNPUBLISHED),
        ("Lite Transformer (581 M)", "581 M", _UNPUBLISHED),
        (_LITE_LM, "1148 M", _LM_NOTE),
    )
    yield from _digitised("Trade-off, WikiText-103", _LM_MACS, rows, _decoding(30))


def _decoding(length: int) -> Measure:
    """MACs of a language model on so many tokens."""
    return partial(_macs, source_length=0, target_length=length)


def _compression() -> Iterator[Figure]:
    table, note = "Compression, WMT'14 En-Fr", "weights outside the embedding, 1 MB = 10^6 bytes"
    for model, column, printed, width in (
        ("transformer-wmt14-en-fr-embed512", "size", "176 MB", 4),
        ("wmt14-en-fr-embed496", "size", "69.2 MB", 4),
        ("wmt14-en-fr-embed496", "size in 8 bits", "17.3 MB", 1),
    ):
        text = note if width == 4 else f"{note}; without codebooks"
        measure = partial(_size, bytes_each=width)
        yield Figure(table, model, column, printed, "figure", False, measure, text)


def _breakdown() -> Iterator[Figure]:
    table = "Mult-Adds breakdown, WMT'14 En-Fr"
    attention = ("attention", "cross_attention")
    parts = {
        "FFN": ("ffn",),
        "attention": attention,
        "convolution": ("convolution",),
        "total": ("ffn", *attention, "convolution"),
    }
    for model, printed in (
        ("transformer-wmt14-en-fr-embed512", {"FFN": 754, "attention": 582, "total": 1336}),
        ("transformer-wmt14-en-fr-embed720", {"FFN": 373, "attention": 1143, "total": 1516}),
        (
            "wmt14-en-fr-embed496",
            {"FFN": 177, "attention": 276, "convolution": 76, "total": 529},
        ),
    ):
        for name, number in printed.items():
            with_band = model == "wmt14-en-fr-embed496" and name in ("convolution", "total")
            band = "; convolution taps as a T x T band matrix product" if with_band else ""
            column, measure = f"#Mult-Adds, {name}", partial(_part, names=parts[name])
            note = "the figure cuts decimals off" + band
            yield Figure(table, model, column, f"{number} M", "figure", False, measure, note)
