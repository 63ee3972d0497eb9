"""The slice of an item: what stands in the column that was named by ``--slices``, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

NO_SLICE: Final = "(none)"
"""The slice of items whose column is empty."""


def slice_of(item: Mapping[str, Any], column: str) -> str:
    """The slice of an item.

    Args:
        item: Its columns; the one that is named is among them.
        column: The column.
    """
    value = item[column]
    if value is None or value != value:  # noqa: PLR0124 - NaN, which refuses to become text
        return NO_SLICE
    return repr(bytes(value)) if isinstance(value, bytes) else str(value)
