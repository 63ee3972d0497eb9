"""The notebook file that is run, and the copy that holds what came of it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import orjson

from orchestration_nb.errors import UsageError, WorkspaceError
from orchestration_nb.state import private_folder

INJECTED: Final = "injected-parameters"
"""The tag of the cell that holds what a run was given, as papermill has it."""
USUAL_KERNEL: Final = "python3"
"""The kernel of a notebook that names none."""
RUNS_FOLDER = "runs"
"""Where executed copies go unless a folder is named: in ``.orchestrate/``, which only its owner can read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SketchedCell:
    """A cell as far as it must be known before a kernel starts."""

    cell_type: str
    source: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """A notebook as far as it must be known before a kernel starts."""

    text: str
    """The whole file."""
    metadata: Mapping[str, Any]
    cells: Sequence[SketchedCell]


def sketched(path: Path) -> Sketch:
    """What a notebook's file says at first sight; nbformat, which takes longer than a kernel to start, reads the rest.

    Raises:
        UsageError: If there is no such file, or it is no notebook that can be run here.
    """
    text = _text_of(path)
    try:
        raw = json.loads(text)
        plain = raw["nbformat"] == 4
        cells = [_sketched(cell) for cell in raw["cells"]] if plain else []
        metadata = raw["metadata"] if plain else {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        plain = False
    if not plain or not isinstance(metadata, dict):  # of an older form, or none: its reader knows more
        notebook = read_notebook(path)
        cells = [
            SketchedCell(cell_type=one.cell_type, source=one.source, metadata=one.metadata) for one in notebook.cells
        ]
        metadata = notebook.metadata
    _refuse_other_languages(path, metadata)
    return Sketch(text=text, metadata=metadata, cells=cells)


def _sketched(cell: Any) -> SketchedCell:
    source = cell["source"]
    text = source if isinstance(source, str) else "".join(source)
    return SketchedCell(cell_type=cell["cell_type"], source=text, metadata=dict(cell["metadata"]))


def _refuse_other_languages(path: Path, metadata: Any) -> None:
    spec = metadata.get("kernelspec") or {}
    language = spec.get("language", "python") if isinstance(spec, dict) else "python"
    if str(language).lower() != "python":
        raise UsageError(f"{path} is written in {language}, and only Python notebooks can be run.")


def _text_of(path: Path) -> str:
    if path.suffix == ".py":
        raise UsageError(
            f"{path.name} is a script, not a notebook.",
            hint=f"Run it with Python: python {path.name}. It needs nothing else.",
        )
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"There is no notebook {str(path)!r}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from None


def read_notebook(path: Path, text: str | None = None) -> Any:
    """The notebook in a file, in the newest form of the format.

    Args:
        path: The file.
        text: What stands in it, where it was read already.

    Raises:
        UsageError: If there is no such file, or it is no notebook that can be run here.
    """
    import nbformat  # noqa: PLC0415 - slow to load, and only headless runs need it

    text = _text_of(path) if text is None else text
    try:
        notebook = nbformat.convert(nbformat.reader.reads(text), 4)  # type: ignore[no-untyped-call]
        _complete(notebook.metadata)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # cells without ids, of an older form: they get some
            _, notebook = nbformat.validator.normalize(notebook)
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
    _refuse_other_languages(path, notebook.metadata)
    return notebook


def _complete(metadata: Any) -> None:
    """Names the kernel of a notebook that has only the language of one, as some editors leave it."""
    if "kernelspec" in metadata:
        metadata.kernelspec.setdefault("name", USUAL_KERNEL)
        metadata.kernelspec.setdefault("display_name", metadata.kernelspec.name)


def tagged(cell: Any) -> list[str]:
    """The tags of a cell."""
    return list(cell.metadata.get("tags", ()))


def code_cells(notebook: Any) -> list[Any]:
    """The cells that are run: code that is not blank, and not tagged to be skipped."""
    return [cell for cell in notebook.cells if is_code(cell)]


def is_code(cell: Any) -> bool:
    """Whether a cell is run."""
    return cell.cell_type == "code" and bool(cell.source.strip()) and "skip-execution" not in tagged(cell)


@contextmanager
def executed_copy(notebook: Path, *, folder: Path | None, workspace: Path, now: datetime) -> Iterator[Path]:
    """Where the executed copy goes: ``NAME-20260131T120000.ipynb``, a new file each time, never the notebook itself.

    The file is there, empty, from the beginning, so that no other run of the same second takes its name. Where nothing
    was written into it until the end, it goes.

    Raises:
        WorkspaceError: If the folder or the file cannot be made.
    """
    try:
        folder = folder or private_folder(workspace) / RUNS_FOLDER
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkspaceError(f"The folder {folder} cannot be made: {error.strerror or error}.") from None
    copy = _reserved(folder, f"{notebook.stem}-{now:%Y%m%dT%H%M%S}")
    try:
        yield copy
    finally:
        if is_reserved(copy):
            copy.unlink(missing_ok=True)


def _reserved(folder: Path, begun: str) -> Path:
    for number in count(1):
        copy = folder / (f"{begun}.ipynb" if number == 1 else f"{begun}-{number}.ipynb")
        try:
            copy.touch(exist_ok=False)
        except FileExistsError:
            continue
        except OSError as error:
            raise _unwritable(copy, error) from None
        return copy
    raise AssertionError  # pragma: no cover - there is always a further number


def is_reserved(copy: Path) -> bool:
    """Whether nothing was written into an executed copy: its run was killed before its kernel answered."""
    return copy.is_file() and not copy.stat().st_size


def write_notebook(notebook: Any, path: Path, *, finished: bool = True) -> None:
    """Writes the file as a whole or not at all.

    Args:
        notebook: The notebook.
        path: The file.
        finished: Whether it is laid out as Jupyter does, a line of text a line; quicker where another write follows.

    Raises:
        WorkspaceError: If it cannot be written.
    """
    beside = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        beside.write_bytes(_as_jupyter(notebook) if finished else _quickly(notebook))
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> WorkspaceError:
    return WorkspaceError(f"The executed copy {path} cannot be written: {error.strerror or error}.")


def _as_jupyter(notebook: Any) -> bytes:
    from nbformat import v4  # noqa: PLC0415 - its own writer: to validate what was validated takes longer than a cell

    text: str = v4.writes(notebook)  # type: ignore[no-untyped-call]
    return f"{text}\n".encode("utf-8", "backslashreplace")


def _quickly(notebook: Any) -> bytes:
    try:
        return orjson.dumps(notebook, option=orjson.OPT_INDENT_2)
    except TypeError:  # half a surrogate pair, a number beyond 64 bits
        return _as_jupyter(notebook)
