"""Notebooks without anybody looking: a kernel of its own, and what stands in the file afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parents[2]

BEGIN = """\
%load_ext orchestration_nb
import sys
print([name for name in ("pandas", "duckdb", "plotly", "ipywidgets", "nbclient") if name in sys.modules])
import pandas as pd
from tests.notebook.kernel import Answers, answered_by
answers = Answers(wait_s=0.02)
provider = answered_by(answers)
tickets = pd.DataFrame({"body": [f"ticket {number}" for number in range(60)]})"""


def execute(folder: Path, *cells: str, expect_failure: bool = False) -> Any:
    """Runs cells in a kernel; returns the notebook, or the failure of its first cell that fails."""
    notebook = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]  # type: ignore[no-untyped-call]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        client = NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(folder)}})
        if not expect_failure:
            return client.execute()
        with pytest.raises(CellExecutionError) as caught:
            client.execute()
    return caught.value


def test_the_file_holds_the_settled_account_and_no_widget(tmp_path: Path) -> None:
    ran = execute(
        tmp_path,
        BEGIN,
        "%%orchestrate triage --over tickets --budget 1\ntopic = llm(body)",
        "triage.last",
        "rows = %orchestrate sql SELECT count(*) AS n FROM calls\nrows.n[0]",
    )
    assert ran.cells[0].outputs[0].text == "[]\n"
    (output,) = ran.cells[1].outputs
    assert set(output.data) == {"text/html", "text/plain"}
    assert output.data["text/plain"].startswith("triage done: 60 items · 60 ok · 60 calls")
    assert output.data["text/html"].count("<tr>") == 1 + 10 + 1 + 1
    assert "progressbar" in output.data["text/html"]
    assert "60 ok" in ran.cells[2].outputs[0].data["text/html"]
    assert ran.cells[2].outputs[0].data["text/plain"].startswith("<Run ")
    assert ran.cells[3].outputs[0].data["text/plain"] in {"60", "np.int64(60)"}


def test_a_users_mistake_stops_the_notebook_with_one_line(tmp_path: Path) -> None:
    failure = execute(tmp_path, BEGIN, "%%orchestrate triage --ovr tickets\ntopic = llm(body)", expect_failure=True)
    assert failure.ename == "UsageError"
    assert failure.evalue == "There is no flag '--ovr'."
    assert "Did you mean --over?" in str(failure)
    assert "File" not in failure.traceback


def test_a_background_run_settles_while_the_next_cells_run(tmp_path: Path) -> None:
    ran = execute(
        tmp_path,
        BEGIN,
        "%%orchestrate triage --over tickets --background --into rows --concurrency 2\ntopic = llm(body)",
        "import asyncio\nawait triage.last.done()\nawait asyncio.sleep(0.5)",
        "len(rows)",
    )
    (output,) = ran.cells[1].outputs
    assert "triage done: 60 items" in output.data["text/plain"]
    assert set(output.data) == {"text/html", "text/plain"}
    assert not ran.cells[2].outputs
    assert ran.cells[3].outputs[0].data["text/plain"] == "60"


def test_a_budget_that_pauses_ends_the_notebook_where_nobody_can_answer(tmp_path: Path) -> None:
    cell = "%%orchestrate triage --over tickets --budget 0.0002 --on-budget pause\ntopic = llm(body, max_tokens=5)"
    failure = execute(tmp_path, BEGIN, cell, expect_failure=True)
    assert failure.ename == "BudgetPausedError"
    assert "Run the cell again with --resume " in str(failure)
