from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestration_nb import Ledger
from orchestration_nb.errors import OverloadedError, QueryError
from tests.notebook.kernel import Answers, answered_by
from tests.notebook.shell import Shell

CELL = "%%orchestrate triage --over tickets\ntopic = llm(body)"


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("SELECT * FROM calls", "SELECT * FROM calls"),
        ('"SELECT 1"', "SELECT 1"),
        ("SELECT 'a', {'b': 1}, $x FROM \"t\"", "SELECT 'a', {'b': 1}, $x FROM \"t\""),
        ("'a' || 'b'", "'a' || 'b'"),
    ],
)
def test_sql_reaches_the_ledger_unchanged_and_can_be_assigned(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, written: str, asked: str
) -> None:
    monkeypatch.setattr(Ledger, "sql", lambda _ledger, text: pd.DataFrame({"asked": [text]}))
    result, _ = shell.run(f"rows = %orchestrate sql {written}")
    assert result.success
    assert shell.names["rows"]["asked"][0] == asked


def test_sql_answers_from_the_ledger(shell: Shell, tickets: pd.DataFrame) -> None:
    shell.run(CELL)
    rows = shell.run("%orchestrate sql SELECT model, count(*) AS calls FROM calls GROUP BY 1")[0].result
    assert rows.to_dict("records") == [{"model": "fake/small", "calls": 30}]


@pytest.mark.parametrize("query", ["SELEC", "DROP TABLE calls", "FROM read_csv('/etc/passwd')", "FROM nowhere"])
def test_sql_that_is_refused_is_no_traceback(shell: Shell, query: str) -> None:
    result, out = shell.run(f"%orchestrate sql {query}")
    assert isinstance(result.error_in_exec, QueryError)
    assert "Traceback" not in out.stdout


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("sql", "needs a query"),
        ("runs many", "'many' is no number of runs"),
        ("use fast", "needs ALIAS=MODEL"),
        ("use fast=", "needs ALIAS=MODEL"),
        ("use fast = openai/gpt", "needs ALIAS=MODEL"),
        ("last", "No run was started in this notebook yet."),
        ("cancel", "No run is under way"),
        ("pause triage", "No run 'triage' is under way."),
        ("modles", "Did you mean models?"),
        ("xyzzy", "There are: help, models"),
    ],
)
def test_mistakes_are_one_line(shell: Shell, line: Any, said: Any) -> None:
    result, out = shell.run(f"%orchestrate {line}")
    assert not result.success
    assert said in out.stdout
    assert "Traceback" not in out.stdout


def test_models_say_what_can_be_used_and_why_not(shell: Shell) -> None:
    _, out = shell.run("%orchestrate models")
    text = out.outputs[0].data["text/plain"]
    (usable,) = [line for line in text.splitlines() if line.startswith("fake/small")]
    assert "fast, medium" in usable
    assert usable.split()[3:4] == ["yes"]
    assert usable.endswith("simulated")
    assert "OPENAI_API_KEY" in text
    assert "<table" in out.outputs[0].data["text/html"]


def test_use_points_an_alias_and_says_whether_money_is_real(shell: Shell) -> None:
    _, out = shell.run("%orchestrate use cheap=fake/small")
    assert out.stdout == "cheap now stands for fake/small (simulated), until this process ends.\n"
    assert "There is no model 'fake2/x'." in shell.run("%orchestrate use cheap=fake2/x")[1].stdout


def test_runs_and_show(shell: Shell, tickets: pd.DataFrame) -> None:
    shell.run(CELL)
    shell.run(CELL)
    assert len(shell.run("%orchestrate runs")[0].result) == 2
    newest = shell.run("%orchestrate runs 1")[0].result["run_id"]
    assert list(newest) == [shell.names["triage"].last.id]
    _, out = shell.run(f"%orchestrate show {newest[0]}")
    assert "topic" in out.stdout
    assert "fake/small" in out.stdout
    html = shell.format(shell.run(f"%orchestrate show {newest[0]}")[0].result)["text/html"]
    assert "topic = llm(body)" in html


def test_last_shows_parts_of_the_last_run(shell: Shell, tickets: pd.DataFrame) -> None:
    shell.run(CELL)
    assert len(shell.run("%orchestrate last results")[0].result) == 30
    assert shell.run("%orchestrate last errors")[0].result.empty
    _, out = shell.run("%orchestrate last")
    assert "triage done" in out.outputs[0].data["text/plain"]
    assert "Did you mean errors?" in shell.run("%orchestrate last error")[1].stdout


def test_background_runs_can_be_steered_without_buttons(shell: Shell, tickets: pd.DataFrame, answers: Answers) -> None:
    answers.wait_s = 60
    _, out = shell.run(f"{CELL.splitlines()[0]} --background\ntopic = llm(body)")
    assert "`%orchestrate cancel`" in out.stdout
    run = shell.names["triage"].last
    shell.run("%orchestrate pause")
    until(lambda: run.status == "paused")
    shell.run("%orchestrate resume triage")
    until(lambda: run.status == "running")
    _, out = shell.run("%orchestrate status")
    assert "triage running" in out.outputs[0].data["text/plain"]
    shell.run(f"%orchestrate cancel {run.id[:10]}")
    until(lambda: run.status == "cancelled")
    assert "No run is under way" in shell.run("%orchestrate cancel")[1].stdout


def test_a_background_run_without_a_display_binds_its_results_too(shell: Shell, tickets: pd.DataFrame) -> None:
    shell.run(f"{CELL.splitlines()[0]} --background --into rows\ntopic = llm(body)")
    until(lambda: "rows" in shell.names)
    assert list(shell.names["rows"]["topic"]) == ["fine"] * 30


def test_of_two_background_runs_one_must_be_named(shell: Shell, tickets: pd.DataFrame, answers: Answers) -> None:
    answers.wait_s = 60
    for name in ("one", "two"):
        shell.run(f"%%orchestrate {name} --over tickets --background\ntopic = llm(body)")
    assert "More than one run is under way." in shell.run("%orchestrate cancel")[1].stdout
    assert "Did you mean one?" in shell.run("%orchestrate cancel onee")[1].stdout
    for name in ("one", "two"):
        shell.run(f"%orchestrate cancel {name}")
        until(lambda name=name: shell.names[name].last.status == "cancelled")  # type: ignore[misc]


def until(reached: Callable[[], bool]) -> None:
    """Waits for what another thread does, for at most a minute."""
    ends_s = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < ends_s
        time.sleep(0.01)


PAUSING = (
    "%%orchestrate triage --over tickets --budget 0.0002 --on-budget pause --background\n"
    "topic = llm(body, max_tokens=5)"
)


def test_a_run_that_waits_for_its_budget_is_given_more(shell: Shell, tickets: pd.DataFrame) -> None:
    shell.run(PAUSING)
    run = shell.names["triage"].last
    until(lambda: run.waits_for is not None and not run.progress.in_flight)
    _, out = shell.run("%orchestrate resume")
    assert "does not cover the next call" in out.stdout
    assert f"%orchestrate resume {run.id} --budget USD gives it more." in out.stdout
    assert "is spent already" in shell.run("%orchestrate resume triage --budget 0.00001")[1].stdout
    assert run.status == "paused"
    shell.run(f"%orchestrate resume {run.id[:20]} --budget=1")
    until(lambda: run.status == "done")
    assert run.results["_status"].eq("ok").all()


def test_a_run_that_was_started_in_python_is_steered_too(shell: Shell, tickets: pd.DataFrame, answers: Answers) -> None:
    answers.wait_s = 60
    shell.run("%%orchestrate triage --over tickets --define\ntopic = llm(body)")
    shell.run("run = triage.start(tickets)")
    _, out = shell.run("%orchestrate status")
    assert "triage running" in out.outputs[0].data["text/plain"]
    shell.run("%orchestrate cancel triage")
    until(lambda: shell.names["run"].status == "cancelled")


def test_of_a_run_of_the_ledger_resume_says_what_to_write(shell: Shell, tickets: pd.DataFrame) -> None:
    shell.run(CELL)
    run = shell.names["triage"].last
    result, out = shell.run(f"%orchestrate resume {run.id[:22]} --budget 3")
    assert not result.success
    assert f"The run {run.id} is done and not under way here." in out.stdout
    assert f"Run the cell 'triage' again with --resume {run.id} --budget USD" in out.stdout


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("resume --budget", "--budget needs a value"),
        ("resume --budget much", "--budget needs a number of US dollars"),
        ("resume --bugdet 3", "Did you mean --budget?"),
        ("resume one two", "'two' is one run too many"),
        ("resume nowhere", "No run 'nowhere' is under way."),
    ],
)
def test_mistakes_of_resume_are_one_line(shell: Shell, line: Any, said: Any) -> None:
    result, out = shell.run(f"%orchestrate {line}")
    assert not result.success
    assert said in out.stdout
    assert "Traceback" not in out.stdout


def test_status_shows_the_circuits_and_the_pace(shell: Shell, tickets: pd.DataFrame, answers: Answers) -> None:
    answers.error = OverloadedError("no room", billing="no")
    (Path.cwd() / "orchestrate.toml").write_text("[retry]\nattempts = 1\n")
    answered = answered_by(answers)
    assert answered.name == "fake"
    shell.run("%%orchestrate triage --over tickets --concurrency 2\ntopic = llm(body, timeout=0.2)")
    _, out = shell.run("%orchestrate status")
    text = out.outputs[-1].data["text/plain"]
    (line,) = [line for line in text.splitlines() if line.startswith("fake/small  open")]
    assert "in 1" in line or "in 9" in line or "in 8" in line
    assert "<table" in out.outputs[-1].data["text/html"]


def test_status_of_a_new_workspace_says_that_nothing_runs(shell: Shell) -> None:
    _, out = shell.run("%orchestrate status")
    assert out.stdout.startswith("No run is under way, and none was started with --background in this notebook.")
