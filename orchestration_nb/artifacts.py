"""Named artifacts: what one cell, notebook or run leaves for another, as files that can be read anywhere.

::

    artifacts.save("scored", frame)
    artifacts.load("scored")

A DataFrame is kept as Parquet, what JSON can say as JSON, a text as text; nothing is pickled, and what would come back
different is refused. The ledger remembers each: ``SELECT * FROM artifacts``.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import orjson

from orchestration_nb.engine.loop import wait
from orchestration_nb.errors import UsageError, WorkspaceError
from orchestration_nb.ids import PipelineId, new_id
from orchestration_nb.parquet import read_frame, same, write_frame
from orchestration_nb.pipeline_events import ArtifactFormat, ArtifactSaved
from orchestration_nb.secrecy import secrecy_of_process
from orchestration_nb.state import private_folder
from orchestration_nb.state.folder import FOLDER_NAME
from orchestration_nb.whence import pipeline_id, pipeline_root
from orchestration_nb.workspace import Workspace

__all__ = ["load", "save"]

FOLDER: Final = "artifacts"
"""Where they are, in ``.orchestrate/``."""
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_SUFFIX: Final[Mapping[ArtifactFormat, str]] = {"parquet": ".parquet", "json": ".json", "text": ".txt"}
_SESSION: Final = new_id()
"""Names the folder of what this process saves outside any pipeline."""
_DIGITS: Final = 12
"""Of the digest, in the file's name: a name that is saved again does not take the old file away."""
# Of one pipeline and what it goes on with first, then of one run of a graph of notebooks, then whatever there is.
_NEWEST: Final = """
select a.path, a.format, a.digest from artifacts as a left join pipelines as p on a.pipeline_id = p.pipeline_id
where a.name = $name
order by coalesce(coalesce(p.resumes, a.pipeline_id) = $root, false) desc,
    coalesce(p.dag = (select dag from pipelines where pipeline_id = $own), false) desc, a.saved_at desc
limit 1
"""
_OF_RUN: Final = """
select a.path, a.format, a.digest, a.pipeline_id from artifacts as a
where a.name = $name and (starts_with(a.pipeline_id, $run) or ends_with(a.pipeline_id, $run))
order by a.saved_at desc
"""


def save(name: str, value: Any) -> None:
    """Keeps a value under a name; one that was saved before under that name is no longer loaded.

    Args:
        name: Letters, digits, ``_`` and ``-``, beginning with a letter.
        value: A DataFrame, a text, or what JSON can say: numbers, texts, truth values, ``None``, lists, and
            dictionaries whose keys are texts.

    Raises:
        UsageError: If the name cannot be one, or the value would come back different.
        WorkspaceError: If it cannot be written.
    """
    _keep(name, value, cell=None)


def load(name: str, *, run: str | None = None) -> Any:
    """The newest value that was saved under a name.

    In a pipeline, what was saved by itself (or by the run that it resumes) goes before what others saved later; in a
    graph of notebooks, so does what was saved in the same run of the graph.

    Args:
        name: As it was saved.
        run: The pipeline run that saved it: its id, the beginning or the end of it. Otherwise the newest.

    Raises:
        UsageError: If nothing was saved under that name.
        WorkspaceError: If its file is gone or was changed, or the ledger cannot be read.
    """
    workspace = Workspace.current()
    if not _NAME.fullmatch(name):
        raise _no_name(name)
    if run is None:
        found = workspace.ledger.sql(_NEWEST, {"name": name, "root": pipeline_root(), "own": pipeline_id()})
    else:
        found = workspace.ledger.sql(_OF_RUN, {"name": name, "run": run})
        if found["pipeline_id"].nunique() > 1:
            raise UsageError(f"More than one pipeline run is meant by {run!r}.", hint="Write more of its id.")
    if found.empty:
        where = "" if run is None else f" by the pipeline run {run!r}"
        raise UsageError(
            f"No artifact {name!r} was saved{where}.",
            hint="`%orchestrate sql SELECT name, pipeline_id, saved_at FROM artifacts` lists them.",
        )
    return read(workspace.folder, *found.iloc[0][["path", "format", "digest"]])


def read(folder: Path, path: str, form: ArtifactFormat, digest: str) -> Any:
    """The value in the file of an artifact.

    Args:
        folder: The workspace.
        path: Of the file, relative to ``.orchestrate/``.
        form: How it is kept.
        digest: SHA-256 that the file had when it was saved.

    Raises:
        WorkspaceError: If the file is gone, or is not what was saved.
    """
    file = folder / FOLDER_NAME / path
    if not is_whole(folder, path, digest):
        what = "was changed since it was saved" if file.is_file() else "is not there any more"
        raise WorkspaceError(f"The artifact {file} {what}.", hint="Run again what saves it.")
    if form == "parquet":
        return read_frame(file)
    data = file.read_bytes()
    return data.decode() if form == "text" else orjson.loads(data)


def is_whole(folder: Path, path: str, digest: str) -> bool:
    """Whether the file of an artifact is there, in its folder, and what was saved."""
    file, home = folder / FOLDER_NAME / path, folder / FOLDER_NAME / FOLDER
    try:
        inside = file.resolve().is_relative_to(home.resolve())
        return inside and sha256(file.read_bytes()).hexdigest() == digest
    except OSError:
        return False


def keep_of_cell(cell: int, names: Sequence[str]) -> None:
    """Keeps variables of the notebook as what one of its cells leaves behind: called by the headless runner.

    Args:
        cell: Number of the code cell, from 1.
        names: The variables; each is kept under its own name.

    Raises:
        UsageError: If there is no such variable, or it would come back different.
    """
    variables = vars(sys.modules["__main__"])
    for name in names:
        if name not in variables:
            raise UsageError(f"The cell says that it leaves {name!r} behind, and there is no such variable.")
    for name in names:
        _keep(name, variables[name], cell=cell)


def put_back(found: Mapping[str, tuple[str, ArtifactFormat, str]]) -> None:
    """Sets variables of the notebook to what was kept of them: called by the headless runner in place of a cell.

    Args:
        found: Name to path, form and digest, as for :func:`read`.

    Raises:
        WorkspaceError: If a file is gone, or is not what was saved.
    """
    folder = Workspace.current().folder
    values = {name: read(folder, *artifact) for name, artifact in found.items()}
    vars(sys.modules["__main__"]).update(values)


def _no_name(name: str) -> UsageError:
    return UsageError(
        f"{name!r} cannot be the name of an artifact.",
        hint="Use up to 64 letters, digits, _ and -, beginning with a letter.",
    )


def _keep(name: str, value: Any, *, cell: int | None) -> None:
    if not _NAME.fullmatch(name):
        raise _no_name(name)
    workspace, own = Workspace.current(), pipeline_id()
    _refuse_secrets(name, value)
    form, write = _how_kept(name, value)
    path, digest, size = _written(workspace.folder, name, own or f"session-{_SESSION}", form, write)
    event = ArtifactSaved(
        pipeline_id=own,
        cell=cell,
        name=name,
        format=form,
        path=path,
        bytes=size,
        digest=digest,
        saved_at=workspace.clock.now(),
    )

    async def journalled() -> None:
        workspace.services.journal.write(event)

    wait(workspace.engine.submit(journalled()))


def _refuse_secrets(name: str, value: Any) -> None:
    """A file that others read must not hold a secret of this run; without one it would not be what was saved."""
    secrecy = secrecy_of_process()
    if secrecy is None:
        return
    text = value.to_csv() if hasattr(value, "to_csv") else value if isinstance(value, str) else repr(value)
    if secrecy.finds(text):
        raise UsageError(f"The artifact {name!r} holds a secret of this run.", hint="Leave it out, and save the rest.")


def _how_kept(name: str, value: Any) -> tuple[ArtifactFormat, Callable[[Path], Any]]:
    """How a value is kept, and what writes it into a file."""
    if type(value).__module__.partition(".")[0] == "pandas":
        if type(value).__name__ != "DataFrame":
            raise UsageError(
                f"The artifact {name!r} is a {type(value).__name__}, which cannot be kept.",
                hint="Save a DataFrame of it: .to_frame() makes one.",
            )
        return "parquet", lambda path: write_frame(value, path)
    if isinstance(value, str):
        try:
            data = str.encode(value)
        except UnicodeEncodeError as error:
            raise UsageError(f"The artifact {name!r} is no valid text: {error}.") from None
        return "text", lambda path: path.write_bytes(data)
    data = _as_json(name, value)
    return "json", lambda path: path.write_bytes(data)


def _as_json(name: str, value: Any) -> bytes:
    try:
        data = orjson.dumps(value)
        is_same = same(orjson.loads(data), value)
    except (TypeError, RecursionError) as error:
        raise _not_kept(name, value, str(error)) from None
    if not is_same:
        raise _not_kept(name, value, "it would come back different")
    return data


def _not_kept(name: str, value: Any, why: str) -> UsageError:
    return UsageError(
        f"The artifact {name!r} ({type(value).__name__}) cannot be kept: {why}.",
        hint="Save a DataFrame, a text, or numbers, texts, lists and dictionaries of texts to them.",
    )


def _written(
    folder: Path, name: str, whose: PipelineId | str, form: ArtifactFormat, write: Callable[[Path], Any]
) -> tuple[str, str, int]:
    """Writes the file as a whole or not at all; returns its path in ``.orchestrate/``, its digest and its size."""
    try:
        home = private_folder(folder) / FOLDER / whose
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = home / f".{name}.{uuid4().hex[:8]}"
        try:
            write(part)
            data = part.read_bytes()
            digest = sha256(data).hexdigest()
            path = home / f"{name}-{digest[:_DIGITS]}{_SUFFIX[form]}"
            with part.open("rb") as written:
                os.fsync(written.fileno())  # what the ledger remembers is there after a power cut, too
            part.replace(path)
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
    except OSError as error:
        raise WorkspaceError(
            f"The artifact {name!r} cannot be written: {error.strerror or error}.", hint="Make room or give access."
        ) from error
    return str(path.relative_to(folder / FOLDER_NAME)), digest, len(data)
