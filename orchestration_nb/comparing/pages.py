"""How a comparison becomes a file: whoever draws comparisons says here how, since it stands on a floor above."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestration_nb.comparing.comparison import Comparison

WritePage = Callable[["Comparison", Path], int]
"""Writes a comparison as one HTML file and returns its size in bytes."""

_writers: list[WritePage] = []


def set_page_writer(write: WritePage) -> None:
    """Says what writes comparisons as files; the package does so when it is imported."""
    _writers[:] = [write]


def write_page(comparison: Comparison, path: Path) -> int:
    """Writes a comparison as one HTML file that opens with no network.

    Returns:
        Its size in bytes.

    Raises:
        UsageError: If it cannot be written there.
    """
    return _writers[0](comparison, path)
