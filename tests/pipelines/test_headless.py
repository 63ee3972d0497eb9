from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest

from orchestration_nb.errors import UsageError, WorkspaceError
from orchestration_nb.ledger import Ledger
from orchestration_nb.pipelines import CellEnded, NotebookRun, RunOptions, Unwatched, run_notebook
from orchestration_nb.pipelines.files import executed_copy
from orchestration_nb.pipelines.kernel import Kernel
from orchestration_nb.workspace import Workspace
from tests.conftest import REPO
from tests.pipelines.notebooks import BEGIN, SMALL_USD, flow, outputs, write


class Heard(Unwatched):
    """Keeps what a watcher hears."""

    def __init__(self) -> None:
        self.begun: list[tuple[int, int, str]] = []
        self.cells: list[CellEnded] = []

    def begins(self, number: int, total: int, title: str) -> None:
        self.begun.append((number, total, title))

    def ended(self, cell: CellEnded) -> None:
        self.cells.append(cell)


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")]))


def run(path: Path, out: Path | None = None) -> tuple[NotebookRun, Heard]:
    heard = Heard()
    return run_notebook(path, options=RunOptions(out=out), watcher=heard), heard


def test_every_cell_runs_and_the_copy_holds_what_it_put_out(tmp_path: Path) -> None:
    path = write(tmp_path, BEGIN, flow(), "", "import os\nprint(os.getcwd(), os.environ['ORCHESTRATE_NOTEBOOK'])")
    before = path.read_bytes()
    done, heard = run(path)
    assert done.status == "done"
    assert heard.begun == [
        (1, 3, "%load_ext orchestration_nb"),
        (2, 3, "%%orchestrate triage --over tickets"),
        (3, 3, "import os"),
    ]
    assert heard.cells[1].accounts[0].startswith("triage done: 40 items · 40 ok")
    assert not heard.cells[0].accounts
    assert outputs(done.copy, 3) == f"{tmp_path} {path}\n"
    assert path.read_bytes() == before
    assert done.copy.parent == tmp_path / ".orchestrate" / "runs"
    assert sorted(done.copy.parent.iterdir()) == sorted([done.copy, done.copy.with_suffix(".html")])
    assert done.report == done.copy.with_suffix(".html")
    runs = Ledger(tmp_path).sql("select notebook, status from runs")
    assert runs.to_dict("records") == [{"notebook": "weekly.ipynb", "status": "done"}]


def test_a_notebook_in_a_folder_runs_in_it_and_in_the_workspace_above(tmp_path: Path) -> None:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    write(tmp_path)
    path = write(folder, "import os\nprint(os.getcwd())")
    (folder / "orchestrate.toml").unlink()
    done, _ = run(path)
    assert outputs(done.copy, 0) == f"{folder}\n"
    assert done.copy.is_relative_to(tmp_path / ".orchestrate")


def test_a_cell_that_fails_stops_the_others(tmp_path: Path) -> None:
    done, heard = run(write(tmp_path, "1 / 0", "print('later')"), tmp_path / "copies")
    assert done.status == "failed"
    assert len(heard.cells) == 1
    assert heard.cells[0].error_type == "ZeroDivisionError"
    assert heard.cells[0].error.endswith("ZeroDivisionError: division by zero")
    assert "\x1b" not in heard.cells[0].error
    assert done.copy.parent == tmp_path / "copies"
    assert not outputs(done.copy, 1)


def test_a_budget_that_rejects_and_one_that_pauses_are_told_apart(tmp_path: Path) -> None:
    done, _ = run(write(tmp_path, BEGIN, flow(f"--budget {SMALL_USD}")))
    assert done.status == "over budget"
    done, heard = run(write(tmp_path, BEGIN, flow(f"--budget {SMALL_USD} --on-budget pause", name="other")))
    assert done.status == "paused"
    assert "`orchestrate resume " in heard.cells[1].error
    assert heard.cells[1].accounts[0].startswith("other paused: 40 items")


def test_copies_never_replace_each_other_or_the_notebook(tmp_path: Path) -> None:
    path = write(tmp_path, "1")
    copies = {run(path, tmp_path)[0].copy for _ in range(2)}
    assert len({path, *copies}) == 3


def test_runs_of_the_same_second_have_copies_of_their_own(tmp_path: Path) -> None:
    begun = datetime(2026, 1, 31, tzinfo=UTC)

    def reserved() -> AbstractContextManager[Path]:
        return executed_copy(Path("x/re[port.ipynb"), folder=tmp_path, workspace=tmp_path, now=begun)

    with reserved() as first, reserved() as second, reserved() as third:
        assert [copy.name for copy in (first, second, third)] == [
            "re[port-20260131T000000.ipynb",
            "re[port-20260131T000000-2.ipynb",
            "re[port-20260131T000000-3.ipynb",
        ]
        second.write_text("{}")
    assert [*tmp_path.iterdir()] == [second]


def test_no_copy_is_left_where_the_kernel_never_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(*_args: object, **_more: object) -> None:
        raise OSError("no memory")

    monkeypatch.setattr(Kernel, "start", refused)
    with pytest.raises(OSError, match="no memory"):
        run(write(tmp_path, "1"))
    assert [*(tmp_path / ".orchestrate" / "runs").iterdir()] == []


def test_a_kernel_that_dies_is_said(tmp_path: Path) -> None:
    done, heard = run(write(tmp_path, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "1"))
    assert done.status == "failed"
    assert "kernel died" in heard.cells[0].error


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "There is no notebook"),
        ("not json", "is not a notebook"),
        ('{"cells": 3}', "is not a notebook"),
        ("[]", "is not a notebook"),
    ],
)
def test_what_is_no_notebook_is_wrong_usage(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "weekly.ipynb"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=said):
        run(path)


def test_scripts_other_languages_and_missing_kernels_are_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a script") as caught:
        run(tmp_path / "weekly.py")
    assert "python weekly.py" in caught.value.hint
    path = write(tmp_path, "1")
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    notebook.metadata["kernelspec"] = {"name": "ir", "language": "R", "display_name": "R"}
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
    with pytest.raises(UsageError, match="written in R"):
        run(path)
    notebook.metadata["kernelspec"] = {"name": "nowhere", "language": "python", "display_name": "Nowhere"}
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
    with pytest.raises(UsageError, match="wants the kernel 'nowhere'"):
        run(path)


def test_a_folder_that_cannot_be_made_is_said_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="cannot be made"):
        run(write(tmp_path, "1"), tmp_path / "file" / "copies")


@pytest.mark.slow
def test_a_signal_leaves_the_batches_at_their_provider_and_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, BEGIN, flow("--batch --model sim/small"))
    (tmp_path / "orchestrate.toml").write_text("[sim]\nbatch_s = 600\nlatency_scale = 1\n")
    command = [sys.executable, "-m", "orchestration_nb.cli", "run", str(path)]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    workspace, ends_s = Workspace(tmp_path), time.monotonic() + 60
    while not (left := workspace.batches_under_way()) or left[0].provider_id is None:
        assert time.monotonic() < ends_s
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "· A batch goes on at sim with 40 requests of this run; running it again with --batch waits" in out


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_what_is_under_way_and_books_it(tmp_path: Path, number: signal.Signals) -> None:
    path = write(tmp_path, BEGIN, flow("--concurrency 1"), "print('later')")
    (tmp_path / "orchestrate.toml").write_text("[sim]\nlatency_scale = 3\n")
    command = [sys.executable, "-m", "orchestration_nb.cli", "run", str(path)]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    ledger, ends_s = Ledger(tmp_path), time.monotonic() + 60
    while not ledger.is_begun() or ledger.sql("select count(*) as n from calls")["n"].iloc[0] < 1:
        assert time.monotonic() < ends_s
        time.sleep(0.2)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "triage cancelled" in out
    assert out.splitlines()[-1].startswith("cancelled: ")
    assert ledger.sql("select status from runs")["status"].tolist() == ["cancelled"]
