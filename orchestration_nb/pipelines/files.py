"""The notebook file that is run, and the copy that holds what came of it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from orchestration_nb.errors import UsageError, WorkspaceError
from orchestration_nb.state import private_folder

INJECTED: Final = "injected-parameters"
"""The tag of the cell that holds what a run was given, as papermill has it."""
RUNS_FOLDER = "runs"
"""Where executed copies go unless a folder is named: in ``.orchestrate/``, which only its owner can read."""


def read_notebook(path: Path) -> Any:
    """The notebook in a file, in the newest form of the format.

    Raises:
        UsageError: If there is no such file, or it is no notebook that can be run here.
    """
    import nbformat  # noqa: PLC0415 - slow to load, and only headless runs need it

    if path.suffix == ".py":
        raise UsageError(
            f"{path.name} is a script, not a notebook.",
            hint=f"Run it with Python: python {path.name}. It needs nothing else.",
        )
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"There is no notebook {str(path)!r}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from None
    try:
        notebook = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
        nbformat.validate(notebook)
    except (
        json.JSONDecodeError,
        nbformat.reader.NotJSONError,
        nbformat.ValidationError,
        AttributeError,
        KeyError,
        TypeError,
    ) as error:
        reason = str(error).strip().partition("\n")[0][:200]
        raise UsageError(f"{path} is not a notebook: {reason}") from None
    language = notebook.metadata.get("kernelspec", {}).get("language", "python")
    if str(language).lower() != "python":
        raise UsageError(f"{path} is written in {language}, and only Python notebooks can be run.")
    return notebook


def tagged(cell: Any) -> list[str]:
    """The tags of a cell."""
    return list(cell.metadata.get("tags", ()))


def executed_copy(notebook: Path, *, folder: Path | None, workspace: Path, now: datetime) -> Path:
    """Where the executed copy goes: ``NAME-20260131T120000.ipynb``, a new file each time, never the notebook itself.

    Raises:
        WorkspaceError: If the folder cannot be made.
    """
    try:
        folder = folder or private_folder(workspace) / RUNS_FOLDER
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkspaceError(f"The folder {folder} cannot be made: {error.strerror or error}.") from None
    begun = f"{notebook.stem}-{now:%Y%m%dT%H%M%S}"
    taken = {path.stem for path in folder.glob(f"{begun}*.ipynb")}
    names = (begun, *(f"{begun}-{number}" for number in range(2, len(taken) + 3)))
    return folder / f"{next(name for name in names if name not in taken)}.ipynb"


def write_notebook(notebook: Any, path: Path) -> None:
    """Writes the file as a whole or not at all.

    Raises:
        WorkspaceError: If it cannot be written.
    """
    import nbformat  # noqa: PLC0415

    beside = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        beside.write_text(nbformat.writes(notebook), encoding="utf-8")  # type: ignore[no-untyped-call]
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise WorkspaceError(f"The executed copy {path} cannot be written: {error.strerror or error}.") from None
