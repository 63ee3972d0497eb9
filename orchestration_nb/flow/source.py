"""The text of a cell -> Python's syntax tree, with an error for everything that is no Python."""

from __future__ import annotations

import ast
import linecache
import re
import textwrap
from typing import Final

from orchestration_nb.errors import FlowSyntaxError, UsageError
from orchestration_nb.flow.adapters import shortened

_EMPTY_HINT: Final = 'A step is a name and an expression: answer = llm("...").'
_SHELL_LINE: Final = re.compile(r"^\s*(?:!|%%?[A-Za-z]|\?\w)|[\w.]\?{1,2}\s*$")


def read(text: str, filename: str) -> tuple[ast.Module, str]:
    """Parses a cell.

    Returns:
        The tree, and the text it was made from: that of a cell indented as a whole is dedented.

    Raises:
        FlowSyntaxError: Not Python, or nothing in it.
        UsageError: Not text.
    """
    if not isinstance(text, str):
        raise UsageError(f"A flow is written as text, not as {type(text).__name__}.")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text[:1] in {" ", "\t"} or text.lstrip("\n")[:1] in {" ", "\t"}:
        text = textwrap.dedent(text)
    try:
        module = ast.parse(text, filename)
    except SyntaxError as error:
        raise syntax_error(error, text) from None
    except ValueError as error:  # a character that no text file can hold
        raise FlowSyntaxError(f"The cell is no Python that can be read: {error}.") from None
    except (RecursionError, MemoryError):
        raise nested_too_deeply() from None
    if not module.body:
        raise FlowSyntaxError("The cell is empty.", hint=_EMPTY_HINT, line=1)
    return module, text


def nested_too_deeply() -> FlowSyntaxError:
    """The error for a cell that Python's own parser or compiler gives up on."""
    return FlowSyntaxError("The cell is nested too deeply for Python.", hint="Split the longest step into several.")


def syntax_error(error: SyntaxError, text: str) -> FlowSyntaxError:
    """Python's complaint in our words."""
    lines = text.splitlines()
    number = min(max(error.lineno or 1, 1), max(len(lines), 1))
    line = lines[number - 1] if lines else ""
    if _SHELL_LINE.search(line):
        return FlowSyntaxError(
            f"Line {number}: {shortened(repr(line.strip()))} is a command of IPython; a flow holds Python only.",
            hint="Run it in a cell of its own above.",
            line=number,
        )
    return FlowSyntaxError(
        f"Line {number} is not Python: {error.msg}: {shortened(repr(line.strip()))}.", hint=_EMPTY_HINT, line=number
    )


def remember(filename: str, text: str) -> None:
    """Lets tracebacks show the lines of the cell."""
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
