from __future__ import annotations

import _thread
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from orchestration_nb import Flow
from orchestration_nb.errors import BadRequestError, JournalWriteError, OverBudgetError
from orchestration_nb.testing import FakeProvider
from orchestration_nb.workspace import Workspace
from tests.notebook.kernel import Answers
from tests.notebook.shell import Shell


def cell(flags: str = "", body: str = "topic = llm(body)\nreply = llm(topic)") -> str:
    return f"%%orchestrate triage --over tickets {flags}\n{body}"


def test_the_flow_is_bound_and_its_results_are_shown(shell: Shell, tickets: pd.DataFrame) -> None:
    result, out = shell.run(cell("--budget 2"))
    assert result.success
    triage = shell.names["triage"]
    assert isinstance(triage, Flow)
    assert triage.last is not None
    assert list(triage.last.results["reply"]) == ["fine"] * 30
    assert "triage done: 30 items · 30 ok" in out.stdout
    assert "simulated" in out.stdout
    assert "20 more rows in triage.last.results" in out.stdout


def test_every_flag_reaches_the_flow(shell: Shell, tickets: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    start = Flow.start

    def spy(flow: Flow, frame: Any, **options: Any) -> Any:
        asked.update(options)
        return start(flow, frame, **options)

    monkeypatch.setattr(Flow, "start", spy)
    shell.run(cell("--model strong --budget 2 --sample 3 --concurrency 4 --on-error stop --fresh"))
    assert asked == {
        "strategy": None,
        "model": "strong",
        "budget": 2.0,
        "concurrency": 4,
        "sample": 3,
        "on_error": "stop",
        "fresh": True,
    }
    assert len(shell.names["triage"].last.results) == 3


def test_items_are_scored_and_the_account_tells_it(shell: Shell, tickets: pd.DataFrame) -> None:
    _, out = shell.run("fine = lambda value, item: value == 'fine'")
    _, out = shell.run(cell("--score reply=fine --score topic=includes:body"))
    assert "Score of reply by fine: 1.000, between 0.8" in out.stdout
    assert "Score of topic by includes:body: " in out.stdout
    assert list(shell.names["triage"].last.results["_score_reply"]) == [1.0] * 30


def test_a_score_of_no_step_is_one_line(shell: Shell, tickets: pd.DataFrame) -> None:
    result, out = shell.run(cell("--score replies=exact:body"))
    assert not result.success
    assert "there is no 'replies'" in out.stderr + out.stdout
    assert "Did you mean 'reply'" in out.stderr + out.stdout or "reply" in out.stderr + out.stdout


def test_flags_that_are_left_out_are_left_to_the_settings(
    shell: Shell, tickets: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    start = Flow.start

    def spy(flow: Flow, frame: Any, **options: Any) -> Any:
        asked.append(options)
        return start(flow, frame, **options)

    monkeypatch.setattr(Flow, "start", spy)
    shell.run(cell())
    shell.run(cell("--on-budget alert --degrade --batch --tag team=support --tag case=7 --resume last"))
    assert asked[0].keys() == {"strategy", "model", "budget", "concurrency", "sample", "on_error", "fresh"}
    assert {name: value for name, value in asked[1].items() if name not in asked[0]} == {
        "on_budget": "alert",
        "degrade": True,
        "batch": True,
        "tags": {"team": "support", "case": "7"},
        "resumes": "last",
    }


def test_a_sample_says_its_seed(shell: Shell, tickets: pd.DataFrame) -> None:
    _, out = shell.run(cell("--sample 3"))
    assert "3 items · a sample, drawn with seed 0 · 3 ok" in out.stdout


def test_braces_and_percent_signs_reach_the_model_unchanged(shell: Shell, provider: FakeProvider) -> None:
    shell.run('%%orchestrate triage\na = llm("""{"a": 1} {{x}} $HOME %d ?""")')
    assert [request.prompt for request in provider.requests] == ['{"a": 1} {{x}} $HOME %d ?']


def test_into_binds_the_results(shell: Shell, tickets: pd.DataFrame) -> None:
    shell.run(cell("--into rows"))
    assert list(shell.names["rows"]["reply"]) == ["fine"] * 30


def test_define_runs_nothing(shell: Shell, provider: FakeProvider) -> None:
    _, out = shell.run("%%orchestrate triage --define\n'Sorts tickets.'\ntopic = llm('x')\nreply = llm(topic)")
    assert shell.names["triage"].last is None
    assert out.outputs[0].data["text/plain"] == "triage: topic, reply"
    assert "<svg" in out.outputs[0].data["text/html"]
    assert "Sorts tickets." in out.outputs[0].data["text/html"]
    assert not provider.requests


def test_plan_asks_nothing_and_counts(shell: Shell, tickets: pd.DataFrame, provider: FakeProvider) -> None:
    _, out = shell.run(cell("--plan", "topic = llm(body, model='fast')\nreply = llm(topic) if len(topic) else None"))
    lines = [line.split() for line in out.outputs[0].data["text/plain"].splitlines()]
    assert ["topic", "fast", "30"] in [line[:3] for line in lines]
    assert ["reply", "medium", "18", "(0", "to", "30)"] in [line[:6] for line in lines]
    assert "<svg" in out.outputs[0].data["text/html"]
    assert shell.names["triage"].last is None
    assert not provider.requests


def test_without_over_the_flow_runs_once(shell: Shell) -> None:
    shell.names["question"] = "why?"
    result, out = shell.run("%%orchestrate triage\nreply = llm(question)")
    assert result.success
    assert "1 item · 1 ok" in out.stdout


def test_over_takes_an_expression(shell: Shell, tickets: pd.DataFrame) -> None:
    shell.run("%%orchestrate triage --over tickets.head(3)\nreply = llm(body)")
    assert len(shell.names["triage"].last.results) == 3


@pytest.mark.parametrize(
    ("line", "body", "said"),
    [
        ("triage --over tikets", "a = 1", "There is no variable 'tikets' to run over."),
        ("triage --over tickets.hed(3)", "a = 1", "--over tickets.hed(3) has no value: AttributeError"),
        ("triage --over tickets.head(", "a = 1", "--over tickets.head( has no value: SyntaxError"),
        ("triage --over print", "a = 1", "There is no variable 'print' to run over."),
        ("triage --over tickets.head(0)", "a = 1", "no rows"),
        ("tickets", "a = 1", "'tickets' already names a DataFrame, which the flow would replace."),
        ("print", "a = 1", "'print' already names a builtin_function_or_method"),
        ("triage --model stron", "a = llm('x')", "Did you mean 'strong'?"),
        ("triage --strategy cascad", "a = llm('x')", "Did you mean 'cascade'?"),
        ("triage --over tickets", "a = llm(bdy)", "Did you mean the column `body`?"),
        ("triage --over tickets", "a = b\nb = 1", "Line 1"),
        ("triage --over tickets", "a = 1\na = 2", "`a`"),
        ("triage --over tickets", "a = = 1", "Line 1 is not Python"),
        ("triage --over tickets", "import no_such_module\na = 1", "No module named 'no_such_module'"),
        ("triage --over tickets", "for x in y: pass", "Line 1"),
        ("triage --over tickets", "# nothing", "\x1b[31m"),
    ],
)
def test_mistakes_end_the_cell_with_one_line(
    shell: Shell, tickets: pd.DataFrame, provider: FakeProvider, line: str, body: str, said: str
) -> None:
    result, out = shell.run(f"%%orchestrate {line}\n{body}")
    assert not result.success
    assert said in out.stdout
    assert "Traceback" not in out.stdout
    assert len(out.stdout.splitlines()) <= 2
    assert shell.names["tickets"] is tickets
    assert not provider.requests


def test_a_typo_does_not_lose_the_last_run(shell: Shell, tickets: pd.DataFrame) -> None:
    shell.run(cell())
    before = shell.names["triage"]
    shell.run(cell(body="topic = llm(bdy)"))
    assert shell.names["triage"] is before


def test_running_again_replaces_the_flow(shell: Shell, tickets: pd.DataFrame) -> None:
    shell.run(cell())
    before = shell.names["triage"]
    shell.run(cell())
    assert shell.names["triage"] is not before


def test_an_item_that_fails_is_told_with_the_users_own_line(shell: Shell, tickets: pd.DataFrame) -> None:
    result, out = shell.run(cell(body="topic = llm(body)\nshare = 1 / (id - 3)"))
    assert result.success
    assert "29 ok · 1 failed" in out.stdout
    assert "1 × share: ZeroDivisionError: division by zero (line 2) (row 3)" in out.stdout


def test_an_interrupt_cancels_keeps_what_is_done_and_ends_the_cell_with_one_line(
    shell: Shell, tickets: pd.DataFrame, provider: FakeProvider, answers: Answers
) -> None:
    def respond(request: Any) -> Any:
        if "ticket 7" in request.prompt:
            _thread.interrupt_main()
            answers.wait_s = 30
        return answers(request)

    provider._respond = respond
    result, out = shell.run(cell("--into rows --concurrency 1", "topic = llm(body)"))
    assert isinstance(result.error_in_exec, KeyboardInterrupt)
    assert "triage cancelled" in out.stdout
    assert "Cancelled: 7 of 30 items ended before and stand in triage.last.results." in out.stdout
    assert "Traceback" not in out.stdout
    assert list(shell.names["rows"]["topic"][:7]) == ["fine"] * 7
    assert shell.names["triage"].last.status == "cancelled"
    answers.wait_s = 0
    provider._respond = answers
    asked = len(provider.requests)
    assert shell.run(cell(body="topic = llm(body)"))[0].success
    assert len(provider.requests) - asked == 23  # what was finished is not paid twice


def test_a_budget_that_is_spent_shows_the_account_and_then_why(shell: Shell, tickets: pd.DataFrame) -> None:
    result, out = shell.run(cell("--budget 0.001"))
    assert isinstance(result.error_in_exec, OverBudgetError)
    assert out.stdout.index("triage failed") < out.stdout.rindex("\x1b[31m")
    assert "--budget" in out.stdout.splitlines()[-1]


def test_a_journal_that_cannot_be_written_shows_the_account_and_then_why(
    shell: Shell, tickets: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*_: Any) -> None:
        raise JournalWriteError("The journal cannot be written: no space left on device.", hint="Make room.")

    shell.run(cell())
    monkeypatch.setattr(type(shell.names["triage"].workspace.services.journal), "write", write)
    result, out = shell.run(cell())
    assert isinstance(result.error_in_exec, JournalWriteError)
    assert "triage failed" in out.stdout
    assert out.stdout.rstrip().endswith("\x1b[0m\nMake room.")


def test_real_money_is_told_apart_from_simulated_money(shell: Shell, tickets: pd.DataFrame, answers: Answers) -> None:
    real = FakeProvider(answers, name="real")
    workspace = Workspace.current()
    workspace.providers["real"] = real
    workspace.catalog.add(replace(model, simulated=False) for model in real.models())
    _, out = shell.run(cell(body="topic = llm(body)\nreply = llm(topic + body, model='real/small')"))
    spent = 30 * 20e-6  # ten tokens in at $1 a million, five out at $2
    assert f"cost ${2 * spent:.4f} partly simulated, spent ${spent:.5f}" in out.stdout
    assert shell.names["triage"].last.progress.spent_usd == pytest.approx(spent)


def test_on_error_stop_ends_the_run_and_says_where(shell: Shell, tickets: pd.DataFrame) -> None:
    result, out = shell.run(cell("--on-error stop --concurrency 1", "share = 1 / (id - 3)"))
    assert not result.success
    assert "division by zero" in out.stdout.splitlines()[-2] + out.stdout.splitlines()[-1]
    assert "Traceback" not in out.stdout


def test_a_model_that_refuses_is_told_and_the_cell_goes_on(
    shell: Shell, tickets: pd.DataFrame, answers: Answers
) -> None:
    answers.error = BadRequestError("The model cannot read the request.")
    result, out = shell.run(cell(body="topic = llm(body)"))
    assert result.success
    assert "30 × topic: The model cannot read the request." in out.stdout


def test_a_display_that_breaks_does_not_leave_the_run_going_unseen(
    shell: Shell, tickets: pd.DataFrame, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refresh(*_: Any) -> None:
        raise ValueError("a bug in a display")

    answers.wait_s = 60
    monkeypatch.setattr("orchestration_nb.notebook.screen.LineScreen.refresh", refresh)
    result, _ = shell.run(cell())
    assert isinstance(result.error_in_exec, ValueError)
    last = shell.names["triage"].last
    last.wait()
    assert last.status == "cancelled"
