"""Batches in a notebook: left by a cell that was cancelled, listed, and cancelled at their provider."""

from __future__ import annotations

import threading
import time

import pandas as pd
import pytest

from orchestration_nb.errors import UsageError
from orchestration_nb.workspace import Workspace
from tests.notebook.shell import Shell

CELL = "%%orchestrate triage --over tickets --batch --model sim/small\ntopic = llm(body)"
SENTENCE = (
    "A batch goes on at sim with 30 requests of this run; running it again with --batch waits for their answers and "
    "sends nothing twice."
)


def cancel_once_handed_over(shell: Shell) -> None:
    ends_s = time.monotonic() + 60
    while time.monotonic() < ends_s:
        flow = shell.names.get("triage")
        if flow is not None and "since" in flow.last.progress.note:
            flow.last.cancel()
            return
        time.sleep(0.01)


@pytest.fixture
def left(shell: Shell, tickets: pd.DataFrame) -> str:
    """What a cell said that was cancelled while its batch was under way."""
    (Workspace.current().folder / "orchestrate.toml").write_text("[sim]\nbatch_s = 60\nlatency_scale = 1\n")
    somebody = threading.Thread(target=cancel_once_handed_over, args=(shell,))
    somebody.start()
    result, out = shell.run(CELL)
    somebody.join()
    assert isinstance(result.error_in_exec, KeyboardInterrupt)
    return out.stdout


def test_a_cell_that_was_cancelled_says_so_in_its_account_and_its_error(left: str) -> None:
    assert f"· {SENTENCE}" in left.splitlines(), "in the account"
    assert f"is not paid twice. {SENTENCE} `%orchestrate batches` lists what is under way" in left


def test_they_are_listed_and_cancelled(left: str, shell: Shell) -> None:
    assert SENTENCE in left
    (batch,) = Workspace.current().batches_under_way()
    _, out = shell.run("%orchestrate batches")
    shown = out.outputs[-1].data
    run_id = str(shell.names["triage"].last.id)
    for seen in (batch.token[:8], "sim/small", "triage", run_id, "at the provider"):
        assert seen in shown["text/plain"]
        assert seen in shown["text/html"]
    _, out = shell.run(f"%orchestrate batches cancel {batch.token[:8]}")
    assert out.stdout.startswith(f"sim was asked to cancel the batch {batch.token[:8]} with 30 requests.")
    assert "the cell 'triage' is run again" in out.stdout


def test_where_there_are_none_that_is_said(shell: Shell) -> None:
    assert shell.run("%orchestrate batches")[1].stdout == "No batch is under way.\n"


@pytest.mark.parametrize("line", ["cancel", "end t1", "cancel t1 t2"])
def test_what_it_does_not_know_is_refused_with_how_it_is_written(shell: Shell, line: str) -> None:
    result, out = shell.run(f"%orchestrate batches {line}")
    assert isinstance(result.error_in_exec, UsageError)
    assert "%orchestrate batches [cancel BATCH]" in out.stdout


def test_one_that_is_none_is_refused(shell: Shell) -> None:
    result, out = shell.run("%orchestrate batches cancel 12")
    assert isinstance(result.error_in_exec, UsageError)
    assert "No batch of this workspace begins with '12'." in out.stdout
