"""Tables as plain text: every row on one line."""

from __future__ import annotations

from collections.abc import Sequence

from orchestration_nb.pages.figures import shortened
from orchestration_nb.terminal import printable

CELL_WIDTH = 28


def table_text(header: Sequence[str], rows: Sequence[Sequence[str]], width: int = CELL_WIDTH) -> str:
    """A table with a line under its header; every cell on one line of at most ``width`` characters."""
    lines = [[shortened(printable(cell), width) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    drawn = ["  ".join(cell.ljust(wide) for cell, wide in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([drawn[0], "  ".join("─" * wide for wide in widths), *drawn[1:]])
