from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from orchestration_nb.errors import OverBudgetError, RunCancelled
from tests.notebook.scripted import Flow
from tests.notebook.shell import Shell

CELL = "%%orchestrate triage --over tickets {flags}\nqueue = llm(body)\nreply = llm(queue)"


def cell(flags: str = "") -> str:
    return CELL.format(flags=flags)


def test_the_flow_is_bound_and_its_results_are_shown(shell: Shell, tickets: pd.DataFrame) -> None:
    result, out = shell.run(cell("--budget 2 --strategy cascade --concurrency 4 --on-error stop --fresh"))
    assert result.success
    triage = shell.names["triage"]
    assert isinstance(triage, Flow)
    assert len(triage.last.results) == 30
    assert triage.asked == {
        "strategy": "cascade",
        "model": None,
        "budget": 2.0,
        "concurrency": 4,
        "sample": None,
        "on_error": "stop",
        "fresh": True,
    }
    assert "triage done: 30 items · 30 ok" in out.stdout
    assert "simulated" in out.stdout
    assert "20 more rows in triage.last.results" in out.stdout


def test_the_body_reaches_the_flow_unchanged(shell: Shell) -> None:
    body = 'a = llm("{\\"a\\": 1} {{x}} $HOME %d")\n\n\nb = a'
    shell.run(f"%%orchestrate triage\n{body}")
    assert shell.names["triage"].source.strip("\n") == body


def test_into_binds_the_results(shell: Shell, tickets: pd.DataFrame) -> None:
    shell.run(cell("--into rows"))
    assert isinstance(shell.names["rows"], pd.DataFrame)
    assert len(shell.names["rows"]) == 30


def test_define_runs_nothing(shell: Shell, tickets: pd.DataFrame) -> None:
    _, out = shell.run("%%orchestrate triage --define\nqueue = llm('x')")
    assert shell.names["triage"].last is None
    assert "queue" in out.outputs[0].data["text/plain"]
    assert "<svg" in out.outputs[0].data["text/html"]


def test_plan_runs_nothing_and_counts_calls(shell: Shell, tickets: pd.DataFrame) -> None:
    _, out = shell.run(cell("--plan --model fast"))
    assert shell.names["triage"].last is None
    assert "30" in out.outputs[0].data["text/plain"]
    assert "fast" in out.outputs[0].data["text/plain"]
    assert "<svg" in out.outputs[0].data["text/html"]


def test_without_over_the_flow_runs_once(shell: Shell) -> None:
    result, out = shell.run("%%orchestrate triage\nqueue = llm('x')")
    assert result.success
    assert "1 item · 1 ok" in out.stdout


def test_over_takes_an_expression(shell: Shell, tickets: pd.DataFrame) -> None:
    shell.run("%%orchestrate triage --over tickets.head(3)\nqueue = llm(body)")
    assert len(shell.names["triage"].last.results) == 3


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("triage --over tikets", "There is no variable 'tikets' to run over."),
        ("triage --over tickets.hed(3)", "--over tickets.hed(3) has no value: AttributeError"),
        ("triage --over tickets.head(", "--over tickets.head( has no value: SyntaxError"),
        ("tickets", "'tickets' already names a DataFrame, which the flow would replace."),
        ("print", "'print' already names a builtin_function_or_method"),
    ],
)
def test_mistakes_about_variables(shell: Shell, tickets: pd.DataFrame, line: Any, said: Any) -> None:
    result, out = shell.run(f"%%orchestrate {line}\nqueue = 1")
    assert not result.success
    assert said in out.stdout
    assert shell.names["tickets"] is tickets
    assert "triage" not in shell.names


def test_a_typo_does_not_lose_the_last_run(shell: Shell, tickets: pd.DataFrame) -> None:
    shell.run(cell())
    before = shell.names["triage"]
    shell.names["broken"] = OverBudgetError("nothing works")
    shell.run(cell())
    assert shell.names["triage"] is before


def test_running_again_replaces_the_flow(shell: Shell, tickets: pd.DataFrame) -> None:
    shell.run(cell())
    before = shell.names["triage"]
    shell.run(cell())
    assert shell.names["triage"] is not before


def test_an_interrupt_cancels_keeps_what_is_done_and_ends_the_cell_with_one_line(
    shell: Shell, tickets: pd.DataFrame
) -> None:
    shell.names.update(ticks=10, interrupt_at=6)
    result, out = shell.run(cell("--into rows"))
    assert isinstance(result.error_in_exec, KeyboardInterrupt)
    assert "triage cancelled" in out.stdout
    assert "6 of 30 items ended before and stand in triage.last.results" in out.stdout
    assert "Traceback" not in out.stdout
    assert len(shell.names["rows"]) == 30
    shell.names.update(ticks=1, interrupt_at=None)
    assert shell.run(cell())[0].success


def test_a_run_that_says_it_was_cancelled_is_treated_alike(
    shell: Shell, tickets: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(run: Any, **_: Any) -> None:
        if run.status == "running":
            run.cancel()
            raise RunCancelled

    monkeypatch.setattr("tests.notebook.scripted.Run.wait", wait)
    result, out = shell.run(cell())
    assert isinstance(result.error_in_exec, KeyboardInterrupt)
    assert "Cancelled: 0 of 30 items" in out.stdout


def test_a_run_that_failed_shows_its_account_and_then_why(shell: Shell, tickets: pd.DataFrame) -> None:
    shell.names["fails"] = OverBudgetError("The budget of $2.00 is spent.", hint="Raise it.")
    result, out = shell.run(cell())
    assert isinstance(result.error_in_exec, OverBudgetError)
    assert out.stdout.index("triage failed") < out.stdout.rindex("\x1b[31mThe budget of $2.00 is spent.")
    assert out.stdout.rstrip().endswith("Raise it.")


def test_a_display_that_breaks_does_not_leave_the_run_going_unseen(
    shell: Shell, tickets: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refresh(*_: Any) -> None:
        raise ValueError("a bug in a display")

    shell.names["ticks"] = 100
    monkeypatch.setattr("orchestration_nb.notebook.screen.LineScreen.refresh", refresh)
    result, _ = shell.run(cell())
    assert isinstance(result.error_in_exec, ValueError)
