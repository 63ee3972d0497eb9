from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from orchestration_nb.errors import BudgetPausedError, OverBudgetError
from orchestration_nb.notebook.asking import Asking, can_ask, outlook
from orchestration_nb.testing import FakeProvider
from tests.notebook.scripted import progress
from tests.notebook.shell import Shell

CELL = "%%orchestrate triage --over tickets --budget 0.0002 --on-budget pause {}\ntopic = llm(body, max_tokens=5)"
ONE_USD = 20e-6
"""What a call of the fake model costs."""


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Lets somebody sit at the notebook who types these lines; returns the questions."""

    def sit(*lines: str) -> list[str]:
        answers, questions = iter(lines), []

        def read(question: str) -> str:
            questions.append(question)
            return next(answers)

        monkeypatch.setattr("orchestration_nb.notebook.cell.can_ask", lambda _shell: True)
        monkeypatch.setattr(Asking.__init__, "__kwdefaults__", {"read": read})
        return questions

    return sit


def test_more_money_lets_the_run_go_on(
    shell: Shell, tickets: pd.DataFrame, provider: FakeProvider, typed: Callable[..., list[str]]
) -> None:
    questions = typed("$1.50")
    result, out = shell.run(CELL.format("--into rows"))
    assert result.success
    assert questions == ["New budget in US dollars (Enter stops here): "]
    assert "does not cover the next call" in out.stdout
    assert "The run waits for its budget: " in out.stdout
    assert " of 30 items done, " in out.stdout
    assert "At the pace so far the rest costs about $0.000" in out.stdout
    assert "triage done: 30 items · 30 ok" in out.stdout
    assert len(provider.requests) == len(shell.names["rows"]) == 30
    assert shell.names["triage"].last.progress.budget_usd == 1.5


def test_what_is_no_amount_or_too_little_is_asked_again(
    shell: Shell, tickets: pd.DataFrame, typed: Callable[..., list[str]]
) -> None:
    questions = typed("a lot", "0.00001", "1")
    result, out = shell.run(CELL.format(""))
    assert result.success
    assert len(questions) == 3
    assert "A budget needs a number of US dollars, 0 or more, not 'a lot'." in out.stdout
    assert "is spent already. Give the new amount as a whole" in out.stdout


def test_a_little_more_is_asked_for_again_when_it_is_spent(
    shell: Shell, tickets: pd.DataFrame, typed: Callable[..., list[str]]
) -> None:
    questions = typed(f"{18 * ONE_USD}", "1")
    result, _ = shell.run(CELL.format("--concurrency 1"))
    assert result.success
    assert len(questions) == 2


def test_enter_stops_keeps_what_is_done_and_says_how_to_go_on(
    shell: Shell, tickets: pd.DataFrame, provider: FakeProvider, typed: Callable[..., list[str]]
) -> None:
    typed("")
    result, out = shell.run(CELL.format("--into rows"))
    assert isinstance(result.error_in_exec, BudgetPausedError)
    assert "triage paused" in out.stdout
    assert "Traceback" not in out.stdout
    run = shell.names["triage"].last
    assert f"--resume {run.id} --budget USD" in out.stdout.splitlines()[-1]
    done = shell.names["rows"]["_status"].eq("ok").sum()
    assert 0 < done < 30
    asked = len(provider.requests)
    result, out = shell.run(CELL.replace("0.0002", "1").format(f"--resume {run.id}"))
    assert result.success
    assert len(provider.requests) - asked == 30 - asked


def test_an_interrupt_of_the_question_cancels(
    shell: Shell, tickets: pd.DataFrame, typed: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(_question: str) -> str:
        raise KeyboardInterrupt

    typed()
    monkeypatch.setattr(Asking.__init__, "__kwdefaults__", {"read": read})
    result, out = shell.run(CELL.format(""))
    assert isinstance(result.error_in_exec, KeyboardInterrupt)
    assert "Cancelled: " in out.stdout


def test_where_nobody_can_answer_the_run_ends_as_paused(shell: Shell, tickets: pd.DataFrame) -> None:
    result, out = shell.run(CELL.format(""))
    assert isinstance(result.error_in_exec, BudgetPausedError)
    assert shell.names["triage"].last.status == "paused"
    assert "--resume" in out.stdout.splitlines()[-1]


def test_a_headless_runner_is_told_the_command(
    shell: Shell, tickets: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATE_HEADLESS", "1")
    _, out = shell.run(CELL.format("--background"))  # nobody uses the notebook meanwhile: it is waited for
    run = shell.names["triage"].last
    assert run.status == "paused"
    assert out.stdout.splitlines()[-1].startswith(f"`orchestrate resume {run.id} --budget USD` goes on")


def test_of_another_budget_the_settings_say_more(shell: Shell) -> None:
    from orchestration_nb.notebook.asking import paused_error

    refusal = BudgetPausedError("It is spent.", budget="support-month", pauses=True)
    run: Any = types.SimpleNamespace(id="0193f0", error=refusal)
    error = paused_error(run)
    assert error is not None
    assert error.hint.startswith("Raise the budget support-month in orchestrate.toml")


def test_the_question_waits_for_what_is_in_flight() -> None:
    asked: list[str] = []
    run: Any = types.SimpleNamespace(progress=progress(in_flight=3), leave=lambda: asked.append("left"))
    asking = Asking(run, show=lambda: None, read=lambda _question: "")
    asking(OverBudgetError("Spent.", pauses=True))
    assert not asked
    run.progress.in_flight = 0
    asking(OverBudgetError("Spent.", pauses=True))
    assert asked == ["left"]


def test_somebody_can_answer_in_a_kernel_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert can_ask(types.SimpleNamespace(kernel=types.SimpleNamespace(_allow_stdin=True)))
    assert not can_ask(types.SimpleNamespace(kernel=types.SimpleNamespace(_allow_stdin=False)))
    monkeypatch.setenv("ORCHESTRATE_HEADLESS", "1")
    assert not can_ask(types.SimpleNamespace(kernel=types.SimpleNamespace(_allow_stdin=True)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "124 of 200 items done, 76 left. At the pace so far the rest costs about $0.019."),
        ({"done": 0}, "0 of 200 items done, 200 left."),
        ({"items": None}, "124 items done."),
        ({"items": 1, "done": 0}, "0 of 1 item done, 1 left."),
    ],
)
def test_what_is_left_and_what_it_will_cost(changes: Any, said: str) -> None:
    assert outlook(progress(**changes)) == said
