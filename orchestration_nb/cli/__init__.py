"""The command line: ``orchestrate``, and the same as ``jupyter orchestrate``.

Each command parses its arguments and delegates; what models and prompts say reaches the terminal escaped.
"""

from __future__ import annotations

import sys

import typer

from orchestration_nb.cli import history, money, reading, running, scheduling
from orchestration_nb.cli.application import app, is_read, put, to_nowhere
from orchestration_nb.errors import OrchestrationError, UsageError
from orchestration_nb.terminal import printable

__all__ = ["app", "history", "main", "money", "reading", "running", "scheduling"]


def main() -> int:
    """Runs the command line and returns its exit code.

    0 done, 1 failed, 2 wrong usage, 3 a budget that rejects, 4 waiting for a person to raise one, 130 cancelled.
    """
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    # jsonschema, which comes with nbformat, would compile a grammar of web addresses for a second, and nobody asks for
    # it. The process is the command's own, and a notebook's code runs in a kernel.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    try:
        return app(standalone_mode=False) or 0
    except typer.Abort:
        return 130
    except OrchestrationError as error:
        _complain(str(error), error.hint)
        return 2 if isinstance(error, UsageError) else 1
    except SystemExit as left:  # typer's, who makes it of a broken pipe, whoever's
        if not isinstance(left.__context__, BrokenPipeError):
            raise
        return _broken(left.__context__)
    except Exception as error:  # noqa: BLE001 - the edge of the command: no traceback reaches the user
        if hasattr(error, "format_message"):  # typer's own: an unknown command, a missing argument
            _complain(
                error.format_message(),
                "`orchestrate --help` lists the commands and `orchestrate COMMAND --help` what they take.",
            )
            return 2
        return _mistaken(error)


def _broken(error: BrokenPipeError) -> int:
    """No failure where it was typer's help that was not read to its end."""
    if is_read(sys.stdout):
        return _mistaken(error)
    to_nowhere(sys.stdout)
    return 0


def _mistaken(error: Exception) -> int:
    _complain(f"{type(error).__name__}: {error}", "This is a mistake of the package, please report it.")
    return 1


def _complain(sentence: str, hint: str) -> None:
    """One line that says what is wrong, and one that says how to mend it."""
    lines = [f"Error: {sentence}", hint] if hint else [f"Error: {sentence}"]
    put("".join(f"{printable(line)}\n" for line in lines), sys.stderr)
