"""What a stage leaves in half precision."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from litecompress.errors import StageError


def half_precision(values: NDArray[np.floating], name: str, stage: str) -> NDArray[np.float16]:
    """The values rounded; a weight that has larger ones is a StageError."""
    if values.size and float(np.abs(values).max()) > float(np.finfo(np.float16).max):
        raise StageError(f"{stage}: {name} has values beyond half precision; exclude it")
    return values.astype(np.float16)
