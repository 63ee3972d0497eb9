"""Notebooks that misbehave: each is stopped with a clear error, and its copy is written as far as it came."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from orchestration_nb.ledger import Ledger
from orchestration_nb.pipelines import NotebookRun, RunOptions, run_notebook
from orchestration_nb.pipelines import execution as execution_module
from tests.conftest import REPO
from tests.pipelines.notebooks import BEGIN, flow, outputs, write


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")]))


def run(folder: Path, *cells: str, **options: Any) -> NotebookRun:
    return run_notebook(write(folder, "print('so far')", *cells), options=RunOptions(**options))


def is_told(done: NotebookRun, error_type: str, said: str) -> None:
    """The error is clear; the copy, the ledger and the exit code agree with it; what came before is kept."""
    assert (done.status, done.exit_code, done.error_type) == ("failed", 1, error_type)
    assert said in done.error
    assert outputs(done.copy, 0) == "so far\n"
    read: Any = nbformat.read(done.copy, as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(read)
    assert error_type in [output.get("ename") for output in read.cells[len(done.cells) - 1].outputs]
    assert not read.cells[-1].outputs
    row = Ledger(done.workspace).sql("select status, error_type, error, cells, cells_done from pipelines").iloc[-1]
    assert row.tolist() == ["failed", error_type, done.error, len(read.cells), len(done.cells) - 1]
    cells = Ledger(done.workspace).sql("select status from cells order by cell")["status"].tolist()
    assert cells == ["ok"] * (len(done.cells) - 1) + ["failed"]


def test_an_endless_loop_is_interrupted(tmp_path: Path) -> None:
    done = run(tmp_path, "import time\nprint('begun')\nwhile True: time.sleep(0.01)", "1", cell_timeout_s=1.5)
    is_told(done, "CellTimeoutError", "The cell took longer than 1.5 s (--cell-timeout) and was interrupted.")
    assert "killed" not in done.error
    assert "begun" in outputs(done.copy, 1)


def test_a_loop_that_swallows_the_interrupt_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution_module, "INTERRUPT_S", 0.5)
    stubborn = "import time\nwhile True:\n    try:\n        time.sleep(60)\n    except KeyboardInterrupt:\n        pass"
    done = run(tmp_path, stubborn, "1", timeout_s=6)
    is_told(done, "PipelineTimeoutError", "The notebook took longer than 6 s (--timeout) and was interrupted.")
    assert "Its kernel did not stop when it was interrupted, and was killed." in done.error


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("import os\nos._exit(3)", "The kernel died: it ended itself with exit code 3."),
        ("exit()", "The cell ended its kernel with exit() or quit()"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "most likely because the memory ran out."),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "The kernel died: it was ended by SIGSEGV."),
    ],
)
def test_a_kernel_that_is_gone_is_told_by_how_it_went(tmp_path: Path, cell: str, said: str) -> None:
    is_told(run(tmp_path, cell, "1"), "DeadKernelError", said)


def test_memory_that_has_a_limit_ends_the_cell_and_not_the_machine(tmp_path: Path) -> None:
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (2**31, resource.RLIM_INFINITY))"
    done = run(tmp_path, limit, "held = []\nwhile True: held.append(bytearray(2**26))", "1")
    is_told(done, "MemoryError", "MemoryError")


def test_nobody_answers_input(tmp_path: Path) -> None:
    done = run(tmp_path, "name = input('Who? ')", "1", cell_timeout_s=60)
    is_told(done, "StdinNotImplementedError", "asks for input, and nobody can answer here")


@pytest.mark.slow
def test_a_hundred_megabytes_leave_a_small_copy_and_a_small_runner(tmp_path: Path) -> None:
    line = "import sys\nfor number in range(100_000): print(f'{number:06d}' + 'x' * 993)\nprint('the end')"
    path = write(tmp_path, line, "print('y' * 30_000_000)", "print('next')")
    script = (
        "import sys\nfrom orchestration_nb.cli import main\nfrom tests.memory import peak_mb\n"
        "code = main()\nprint(peak_mb())\nsys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "run", str(path), "--json"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told, peak = done.stdout.rsplit("}", 1)
    copy = Path(json.loads(told + "}")["copy"])
    assert copy.stat().st_size < 5 * 2**20
    printed = outputs(copy, 0)
    assert printed.startswith("000000xxx")
    assert printed.endswith("the end\n")
    assert len(printed) < 1.1 * 2**20
    assert "characters are left out here ...]" in printed
    assert outputs(copy, 2) == "next\n"
    assert int(peak) < 400  # 30 MB in one message are held a few times over while they are read


def test_widgets_and_background_runs_end_with_their_cells(tmp_path: Path) -> None:
    """A notebook without a kernelspec, too: it runs in python3."""
    path = write(
        tmp_path,
        BEGIN,
        flow("--background"),
        "print(triage.last.status, len(triage.last.results))",
        "import ipywidgets\nslider = ipywidgets.IntSlider(value=7)\nslider",
        "slider.value = 9",
        "captured = ipywidgets.Output()\nwith captured: print('inside')\ncaptured",
    )
    assert "kernelspec" not in json.loads(path.read_text())["metadata"]
    done = run_notebook(path)
    assert done.status == "done"
    assert outputs(done.copy, 2) == "done 40\n"
    states = json.loads(done.copy.read_text())["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]
    held = [one["state"] for one in states["state"].values()]
    assert any(state.get("value") == 9 for state in held)
    assert any(output.get("text") == "inside\n" for state in held for output in state.get("outputs", ()))
