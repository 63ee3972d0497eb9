"""What a cell says it leaves behind: the tag ``artifact:scored``, and what keeps that variable."""

from __future__ import annotations

import keyword
from typing import Any, Final

from orchestration_nb.errors import UsageError
from orchestration_nb.pipelines.files import tagged

TAG: Final = "artifact:"
"""How the tag of a cell begins that names a variable which the cell leaves behind."""
MODULE: Final = "__import__('orchestration_nb.artifacts', fromlist=['artifacts'])"
"""The module of artifacts in an expression that leaves no name in the notebook."""


def left_behind(cell: Any) -> tuple[str, ...]:
    """The variables that a cell says it leaves behind.

    Raises:
        UsageError: If a tag names none.
    """
    names = tuple(tag.removeprefix(TAG) for tag in tagged(cell) if tag.startswith(TAG))
    odd = next((name for name in names if not _is_variable(name)), None)
    if odd is not None:
        raise UsageError(
            f"The tag {TAG + odd!r} of a cell names no variable that can be kept.",
            hint=f"Write the name of a variable that the cell makes, such as {TAG}scored.",
        )
    return tuple(dict.fromkeys(names))


def _is_variable(name: str) -> bool:
    return name.isascii() and name.isidentifier() and not keyword.iskeyword(name) and len(name) <= 64


def keeping(number: int, cell: Any) -> str:
    """What the kernel executes silently once a cell has ended well: keeps what it leaves behind.

    Raises:
        UsageError: If a tag names no variable.
    """
    names = left_behind(cell)
    return f"{MODULE}.keep_of_cell({number}, {names!r})" if names else ""
