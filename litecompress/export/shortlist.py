"""The shortlist that a package carries."""

from __future__ import annotations

from pathlib import Path

from litecompress.artifact import Artifact
from litecompress.errors import ExportError
from litecompress.export.base import Exporter
from litecompress.shortlist import Shortlist, load_shortlist


def shortlist_of(exporter: Exporter, artifact: Artifact) -> Shortlist | None:
    """What the exporter's option of that name says, if there is one; made for these tokenizers.

    An InputError where the file is none or of another model; an ExportError for a language model.
    """
    path: str | None = getattr(exporter, "shortlist", None)
    if path is None:
        return None
    if artifact.config.is_language_model:
        raise ExportError(
            f"{exporter.target}: expected a translation or summarization model for a shortlist, "
            "got a language model, which has no source; leave the shortlist out"
        )
    source, target = artifact.tokenizers()
    return load_shortlist(Path(path), source.vocab_size, target.vocab_size)
