"""Raw text taken apart as the Moses tokenizer does, as far as that needs no lists of a language.

The dictionary says how its corpus was prepared: with `&apos;` for special characters, with `@-@`
between the parts of a compound, with English (`'s`) or French (`l'`) contractions, with
typographic quotes or without. Known to differ from Moses: abbreviations such as `Mr.` lose their
period before a capital (initials and `U.S.` do not), and digits' apostrophes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Regex, decoders, normalizers

_ESCAPES = (  # the ampersand first
    ("&", "&amp;"),
    ("|", "&#124;"),
    ("<", "&lt;"),
    (">", "&gt;"),
    ("'", "&apos;"),
    ('"', "&quot;"),
    ("[", "&#91;"),
    ("]", "&#93;"),
)
_TYPOGRAPHIC = {"’": "'", "‘": "'", "“": '"', "”": '"', "„": '"', "–": "-", "…": "..."}
_SYMBOL = r"[^\p{L}\p{M}\p{N}\s.'`,\-]"
_CLITIC = r"(?i:s|t|re|ve|ll|d|m)\b"


@dataclass(frozen=True)
class RawText:
    """How a dictionary's text was prepared."""

    escaped: bool
    hyphens: bool
    clitics: bool
    elisions: bool
    typographic: str

    @classmethod
    def of(cls, tokens: Sequence[str]) -> RawText:
        """What the spelling of a dictionary's tokens shows."""
        words = {token.removesuffix("@@") for token in tokens}
        characters = {c for word in words for c in word}
        quote = "&apos;" if any("&apos;" in word for word in words) else "'"
        return cls(
            escaped=any(w in words for w in ("&apos;", "&quot;", "&amp;", "&apos;s")),
            hyphens="@-@" in words,
            clitics=f"{quote}s" in words,
            elisions=any(f"{letter}{quote}" in words for letter in "lLdD"),
            typographic="".join(c for c in _TYPOGRAPHIC if c in characters),
        )

    def normalizers(self) -> list[normalizers.Normalizer]:
        """What puts blanks between words and punctuation."""
        steps: list[tuple[str, str]] = [(r"\p{Cc}", " ")]
        steps += [(c, plain) for c, plain in _TYPOGRAPHIC.items() if c not in self.typographic]
        steps.append((rf"(?<=\S)(?={_SYMBOL})|(?<={_SYMBOL})(?=\S)", " "))
        if self.hyphens:
            steps.append((r"(?<=[\p{L}\p{N}])-(?=[\p{L}\p{N}])", " @-@ "))
        steps += [
            (r"(?<=[^\s.])(?=\.\.)|(?<=\.\.)(?=[^\s.])", " "),
            (r"(?<!\p{N}),|,(?!\p{N})", " , "),
            (r"(?<![\p{L}\p{N}])'|'(?!\p{L})", " ' "),
            *self._contractions(),
            (r"(?<=[^\s.][^\s.]|\p{N})\.(?=\s+[^\s\p{Ll}]|\s*\z)", " ."),
        ]
        if self.escaped:
            steps += _ESCAPES
        replaced = [normalizers.Replace(Regex(p) if len(p) > 1 else p, c) for p, c in steps]
        return [normalizers.NFC(), *replaced]

    def _contractions(self) -> list[tuple[str, str]]:
        """Where an apostrophe between letters belongs: to the right, to the left, or to neither."""
        between = r"(?<=[\p{L}\p{N}])'(?=\p{L})"
        if self.clitics and self.elisions:
            return [(rf"{between}(?={_CLITIC})", " '"), (between, "' ")]
        if self.clitics or self.elisions:
            return [(between, " '" if self.clitics else "' ")]
        return [(between, " ' ")]

    def decoders(self) -> list[decoders.Decoder]:
        """What makes text of words again: no escapes, punctuation where it is written.

        Straight quotes stay apart: nothing says whether one opens or closes.
        """
        steps = [(escape, c) for c, escape in reversed(_ESCAPES)] if self.escaped else []
        steps += [(" @-@ ", "-")] if self.hyphens else []
        regexes = [
            (r" (?=[.,!?;:%)\]}»”…]+(?:\s|\z))", ""),
            (r"(?<=[(\[{«„¿¡]) ", ""),
            (rf" (?='{_CLITIC})", ""),
            (r"(?<=\p{L}') (?=\p{L})", ""),
        ]
        plain: list[decoders.Decoder] = [decoders.Replace(p, c) for p, c in steps]
        return plain + [decoders.Replace(Regex(p), c) for p, c in regexes]
