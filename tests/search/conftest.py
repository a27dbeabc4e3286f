"""The scan that the tests of scans make."""

from tests.scan.conftest import folder, scanned

__all__ = ["folder", "scanned"]
