"""Notebooks that nobody here made: those of the test suites of nbclient, papermill and nbconvert.

Each runs under bare nbclient and under this package, and puts out the same: memory addresses, times, execution counts
and random ids aside. One that fails does so in the same cell, with the same error. `.ci/run` fetches them.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from traitlets.config import Config

from orchestration_nb.pipelines import RunOptions, run_notebook
from tests.conftest import REPO, foreign_folder

# Without nbclient's Output.ipynb, whose cells hang now and then under bare nbclient.
NOTEBOOKS = (
    "nbclient/tests/files/Check History in Memory.ipynb",
    "nbclient/tests/files/Clear Output.ipynb",
    "nbclient/tests/files/Disable Stdin.ipynb",
    "nbclient/tests/files/Empty Cell.ipynb",
    "nbclient/tests/files/Error.ipynb",
    "nbclient/tests/files/Factorials.ipynb",
    "nbclient/tests/files/HelloWorld.ipynb",
    "nbclient/tests/files/Inline Image.ipynb",
    "nbclient/tests/files/JupyterWidgets.ipynb",
    "nbclient/tests/files/Other Comms.ipynb",
    "nbclient/tests/files/SVG.ipynb",
    "nbclient/tests/files/Skip Exceptions with Cell Tags.ipynb",
    "nbclient/tests/files/Skip Exceptions.ipynb",
    "nbclient/tests/files/Skip Execution with Cell Tag.ipynb",
    "nbclient/tests/files/Sleep1s.ipynb",
    "nbclient/tests/files/Unicode.ipynb",
    "nbclient/tests/files/UnicodePy3.ipynb",
    "nbclient/tests/files/update-display-id.ipynb",
    "nbconvert/tests/files/Unexecuted_widget.ipynb",
    "nbconvert/tests/files/Widget_List.ipynb",
    "nbconvert/tests/files/notebook3_with_errors.ipynb",
    "nbconvert/tests/files/notebook_tags.ipynb",
    "nbconvert/tests/preprocessors/files/HelloWorld.ipynb",
    "papermill/papermill/tests/notebooks/binder.ipynb",
    "papermill/papermill/tests/notebooks/broken1.ipynb",
    "papermill/papermill/tests/notebooks/complex_parameters.ipynb",
    "papermill/papermill/tests/notebooks/line_magic_error.ipynb",
    "papermill/papermill/tests/notebooks/no_parameters.ipynb",
    "papermill/papermill/tests/notebooks/report_mode_test.ipynb",
    "papermill/papermill/tests/notebooks/simple_execute.ipynb",
    "papermill/papermill/tests/notebooks/sysexit1.ipynb",
)
VARYING = (
    (re.compile(r"0x[0-9a-f]+"), "0x"),
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r"ipykernel_\d+[/\\]\d+\.py"), "ipykernel.py"),
    (re.compile(r"\b(In|Out) ?\[\d+\]"), r"\1[]"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "id"),
    (re.compile(r"\d+:\d\d:\d\d(\.\d+)?"), "time"),
    (re.compile(r"\d+(\.\d+)? ?([mµun]?s|seconds)\b"), "time"),
)


def file_of(name: str) -> Path:
    """The notebook in the source distribution of its package, whichever version was fetched."""
    package, _, rest = name.partition("/")
    return next(foreign_folder().glob(f"{package}-*/{rest}"))


def plain(value: Any) -> Any:
    """An output without what differs from one run to the next."""
    if isinstance(value, dict):
        varies = {"execution_count", "model_id", "metadata"}
        return {name: plain(held) for name, held in value.items() if name not in varies}
    if isinstance(value, list):
        return [plain(held) for held in value]
    if isinstance(value, str):
        for pattern, instead in VARYING:
            value = pattern.sub(instead, value)
    return value


def put_out(notebook: Any) -> list[list[Any]]:
    """The outputs of each code cell; what streams say one after the other is one text of each.

    Which of two streams a kernel sends first is a matter of its timers.
    """
    cells = []
    for cell in notebook.cells:
        outputs = cell.outputs if cell.cell_type == "code" else ()
        found: list[Any] = []
        for is_stream, some in itertools.groupby(outputs, lambda output: output.output_type == "stream"):
            if not is_stream:
                found.extend(map(dict, some))
                continue
            said: dict[str, str] = {}
            for output in some:
                said[output.name] = said.get(output.name, "") + output.text
            found.extend({"output_type": "stream", "name": name, "text": said[name]} for name in sorted(said))
        cells.append(plain(found))
    return cells


def bare(path: Path) -> tuple[Any, str]:
    """The notebook under bare nbclient, and the name of the error that stopped it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of notebooks older than this format
        notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = []
        # over files: of two kernels that look for free ports at once, one may hang
        config = Config({"KernelManager": {"transport": "ipc"}})
        client = NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(path.parent)}}, config=config)
        error = ""
        try:
            client.execute()
        except CellExecutionError as stopped:
            error = stopped.ename
        except DeadKernelError:
            error = "DeadKernelError"
    return notebook, error


def test_there_are_twenty() -> None:
    assert len(set(NOTEBOOKS)) == len(NOTEBOOKS) >= 20


@pytest.mark.slow
@pytest.mark.foreign
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_puts_out_what_it_does_under_bare_nbclient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")]))
    path = tmp_path / file_of(name).name
    shutil.copy(file_of(name), path)
    expected, error = bare(path)
    done = run_notebook(path, options=RunOptions(cell_timeout_s=60))
    got: Any = nbformat.read(done.copy, as_version=4)  # type: ignore[no-untyped-call]
    assert put_out(got) == put_out(expected)
    assert (done.error_type, done.status) == (error, "failed" if error else "done")
    assert [cell.source for cell in got.cells] == [cell.source for cell in expected.cells]


@pytest.mark.slow
@pytest.mark.foreign
def test_cells_with_output_widgets_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time, and with the same outputs, though a message for a widget may take the sign of a reply away."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")]))
    path = tmp_path / "Output.ipynb"
    shutil.copy(file_of("nbclient/tests/files/Output.ipynb"), path)
    every = [run_notebook(path, options=RunOptions(cell_timeout_s=60)) for _ in range(4)]
    assert {done.status for done in every} == {"done"}
    first, *later = (put_out(nbformat.read(done.copy, as_version=4)) for done in every)  # type: ignore[no-untyped-call]
    assert sum(map(bool, first)) > 5
    assert all(outputs == first for outputs in later)
