"""Split pairs `name, text, summary` into train.tsv, valid.tsv and test.tsv, families kept together.

    python benchmarks/split_summaries.py summ.debian.tsv.xz data/summaries

Packages of one source share text (libfoo1, libfoo-dev, python3-foo), so whole families of names go
to one side, by a hash of the family; a text that is also in the training part goes there as well.
Columns of the output: text, summary.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from pathlib import Path

from litecompress.text import read_lines

AFFIX = re.compile(r"^(lib|python3?-|ruby-|golang-|node-|r-cran-|r-bioc-|fonts-|php-|elpa-)+")
HELD_OUT = {"valid": range(6), "test": range(6, 12)}  # of 100 buckets
HEAD = 100  # characters by which two texts count as the same


def family(name: str) -> str:
    """What the names of related packages have in common: the first letters of the stem."""
    stem = AFFIX.sub("", name.lower())
    letters = re.match(r"[a-z]+", stem)
    return letters[0] if letters else stem


def part_of(name: str) -> str:
    bucket = int(hashlib.sha256(family(name).encode()).hexdigest(), 16) % 100
    return next((part for part, held in HELD_OUT.items() if bucket in held), "train")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("pairs", type=Path, nargs="+")
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    rows = [line.split("\t") for path in options.pairs for line in read_lines(path)]
    parts: dict[str, list[tuple[str, str]]] = {"train": [], "valid": [], "test": []}
    for name, text, summary in rows:
        if text.strip() and summary.strip():
            parts[part_of(name)].append((text, summary))
    seen = {text[:HEAD] for text, _ in parts["train"]} | {s for _, s in parts["train"]}
    for part in HELD_OUT:
        known = [row for row in parts[part] if row[0][:HEAD] in seen or row[1] in seen]
        parts["train"] += known
        parts[part] = [row for row in parts[part] if row not in known]
        seen |= {text[:HEAD] for text, _ in parts[part]} | {s for _, s in parts[part]}
    options.output.mkdir(parents=True, exist_ok=True)
    for part, pairs in parts.items():
        lines = "".join(f"{text}\t{summary}\n" for text, summary in pairs)
        (options.output / f"{part}.tsv").write_text(lines, "utf-8")
        print(f"{part}: {len(pairs)} pairs")


if __name__ == "__main__":
    main()
