"""What may be done to each tensor, as an allocation needs it."""

from __future__ import annotations

from litecompress.allocate import Option
from litecompress.scan.result import Scan
from litecompress.scan.settings import KEPT, Setting


def options(scan: Scan) -> list[list[tuple[Setting, Option]]]:
    """What may be done to each tensor, with its bytes and predicted loss; also nothing.

    Of settings that come to the same, such as too few weights for a codebook, the first is enough.
    """
    found = []
    for tensor in scan.tensors:
        by_option = {Option(tensor.kept_bytes, 0.0): KEPT}
        for cost in tensor.costs:
            option = Option(cost.coded_bytes, tensor.predicted(cost.setting))
            by_option.setdefault(option, cost.setting)
        found.append([(setting, option) for option, setting in by_option.items()])
    return found
