"""Every exception raised on purpose.

LiteCompressError               exit code 2: wrong use or bad input
|- RecipeError                  an unknown key, stage or value in a recipe
|- CheckpointError              a checkpoint folder or model config that cannot be used
|- ArtifactError                a `.litec` file that is foreign, damaged or inconsistent
|- StageError                   a stage that cannot act on this model
|- ExportError                  a model that a target cannot take
|  |- UnsupportedOpError        lists every operator that a target lacks
|  `- MissingBackendError       exit code 3: an extra is not installed
|- InputError                   a text, path or option that cannot be used
`- TrainingError                training that cannot start or go on

Each message says what was expected, what came, and what to do about it.
"""

from __future__ import annotations


class LiteCompressError(Exception):
    """Wrong use or bad input; the command line prints it as one line."""

    exit_code = 2


class RecipeError(LiteCompressError):
    """A recipe that cannot be read as written."""


class CheckpointError(LiteCompressError):
    """A checkpoint folder or model config that cannot be used."""


class ArtifactError(LiteCompressError):
    """A `.litec` file that is foreign, damaged or inconsistent."""


class StageError(LiteCompressError):
    """A stage that cannot act on this model."""


class ExportError(LiteCompressError):
    """A model that an export target cannot take."""


class UnsupportedOpError(ExportError):
    """Operators that a target lacks, all of them."""


class MissingBackendError(ExportError):
    """A package of an optional extra is not installed."""

    exit_code = 3

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"expected the package {package!r}, got none installed; "
            f"run: pip install 'litecompress[{extra}]'"
        )


class InputError(LiteCompressError):
    """A text, path or option that cannot be used."""


class TrainingError(LiteCompressError):
    """Training that cannot start or go on."""
