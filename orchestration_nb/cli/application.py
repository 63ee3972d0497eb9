"""What all commands share: the application, the options, the way to the workspace, and how rows are printed."""

from __future__ import annotations

import os
import select
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

import typer

from orchestration_nb import __version__
from orchestration_nb.errors import UsageError
from orchestration_nb.state import FOLDER_NAME
from orchestration_nb.terminal import Form, printable, write
from orchestration_nb.whence import FILE_NAME, find_workspace

if TYPE_CHECKING:
    import pandas as pd

    from orchestration_nb.ledger import Ledger
    from orchestration_nb.workspace import Workspace

app = typer.Typer(
    name="orchestrate",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace", "-w", help="A folder of the workspace; otherwise found from the current folder upward."
    ),
]
FormOption = Annotated[
    Form | None,
    typer.Option("--format", "-f", help="How rows are written; otherwise table in a terminal, csv in a pipe or file."),
]
ShowFormOption = Annotated[
    Literal["table", "json"], typer.Option("--format", "-f", help="Tables for people, or json for programs.")
]


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and leave.")] = False,
) -> None:
    """Ask the workspace of the current folder: its models, its runs, its ledger."""
    if version:
        say(f"orchestration_nb {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        say(context.get_help())


def put(text: str, onto: TextIO | None = None) -> None:
    """Writes a text at once, as it stands, to standard output unless told otherwise.

    Where whoever read it has gone away, as `head` does, what is under way goes on and ends as it would have.
    """
    stream = sys.stdout if onto is None else onto
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        to_nowhere(stream)


def is_read(stream: TextIO) -> bool:
    """Whether somebody is there to read what is written to the stream."""
    asked = select.poll()
    asked.register(stream.fileno(), 0)  # asks for nothing but errors
    return not asked.poll(0)


def to_nowhere(stream: TextIO) -> None:
    """From now on, nobody is told what is written to the stream; what is held back for it goes the same way."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def say(text: str) -> None:
    """Prints a text, escaped."""
    put(printable(text) + "\n")


def print_rows(frame: pd.DataFrame, form: Form | None) -> None:
    """Prints a table in the form that was asked for, or in that which fits where it goes."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    put(write(frame, form_of(form), width=width))


def form_of(asked: Form | None) -> Form:
    """The form that was asked for; otherwise a table in a terminal, and CSV in a pipe or file."""
    return asked or ("table" if sys.stdout.isatty() else "csv")


def folder_of(start: Path | None) -> Path:
    """The workspace's folder, found upward from ``start``, else from the current folder.

    Raises:
        UsageError: If there is no folder ``start``.
    """
    if start is not None and not start.is_dir():
        raise UsageError(f"There is no folder {str(start)!r}.")
    return find_workspace(start or Path.cwd())


def ledger_of(start: Path | None) -> Ledger:
    """The workspace's ledger.

    Raises:
        UsageError: If nothing was run there.
    """
    from orchestration_nb.ledger import Ledger  # noqa: PLC0415 - loads DuckDB and pandas

    folder = folder_of(start)
    if not (folder / FILE_NAME).exists() and not (folder / FOLDER_NAME).exists():
        raise UsageError(
            f"Nothing was run in {folder} yet.",
            hint="Go to the folder of the notebook, or name it with --workspace.",
        )
    return Ledger(folder)


def workspace_of(start: Path | None) -> Workspace:
    """The workspace.

    Raises:
        UsageError: If nothing was run there.
    """
    from orchestration_nb.workspace import Workspace  # noqa: PLC0415

    ledger_of(start)
    return Workspace(folder_of(start))


def print_texts(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table of texts, for people."""
    import pandas as pd  # noqa: PLC0415

    print_rows(pd.DataFrame(rows, columns=list(header)), "table")
