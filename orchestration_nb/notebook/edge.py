"""The edge of a magic: a user's mistake ends the cell with one line and a hint, and our own bugs keep their traceback.

The cell does fail, so that "run all" and headless runs stop at it; only the traceback is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from orchestration_nb.errors import OrchestrationError
from orchestration_nb.terminal import printable

_RED, _END = "\x1b[31m", "\x1b[0m"
_LONGEST_SENTENCE, _LONGEST_HINT = 1500, 600


def _cut(text: str, most: int) -> str:
    text = printable(text).strip()
    return text if len(text) <= most else text[:most] + " …"


def told(error: BaseException, sentence: str, hint: str = "") -> BaseException:
    """``error``, so that IPython shows it as ``sentence`` in red and ``hint`` below it, without a traceback."""
    lines = [f"{_RED}{_cut(sentence, _LONGEST_SENTENCE)}{_END}"]
    if hint:
        lines.append(_cut(hint, _LONGEST_HINT))
    # The hook that IPython offers to exceptions that know best how to be shown.
    error._render_traceback_ = lambda: lines  # type: ignore[attr-defined]
    # IPython prints everything for an exception group anywhere in the context.
    error.__context__ = None
    return error


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Lets every error of our tree end the cell as one line and a hint."""
    try:
        yield
    except OrchestrationError as error:
        raise told(error, str(error), error.hint) from None
