"""A vocabulary shortlist: the few targets that a source may need, so that the output projection
multiplies their rows only (arXiv:1412.2007, arXiv:1610.00072).

`Shortlist` is the table that a package carries; NumPy is all it needs. `learn` makes one of text.
"""

from litecompress.shortlist.file import FILE, load_shortlist, save_shortlist
from litecompress.shortlist.learning import Settings, learn
from litecompress.shortlist.table import Shortlist

__all__ = ["FILE", "Settings", "Shortlist", "learn", "load_shortlist", "save_shortlist"]
