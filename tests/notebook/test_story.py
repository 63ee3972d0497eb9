from __future__ import annotations

from datetime import timedelta
from typing import Any

import pandas as pd
import pytest

from orchestration_nb.calls import Request
from orchestration_nb.errors import OverloadedError
from orchestration_nb.events import BudgetAlert, CircuitChanged, CircuitState
from orchestration_nb.ids import RunId
from orchestration_nb.notebook.account import account_of
from orchestration_nb.notebook.cards import account_card
from orchestration_nb.notebook.story import MOST_ALERTS, MOST_STORIES, Chronicle
from orchestration_nb.notebook.text import account_text
from orchestration_nb.testing import FakeProvider
from orchestration_nb.workspace import Workspace
from tests.ledger.happened import NOON, attempt, call, item, request, run_finished, run_started
from tests.notebook.shell import Shell
from tests.notebook.test_account import run_of, tickets


@pytest.fixture
def heard() -> Chronicle:
    """A chronicle of a run ``r`` that began."""
    chronicle = Chronicle()
    chronicle(run_started("r"))
    return chronicle


def circuit(state: CircuitState, second: int, model: str = "sim/medium", reason: str = "") -> CircuitChanged:
    at = NOON + timedelta(seconds=second)
    return CircuitChanged(model=model, state=state, failure_rate=0.6, attempts=40, reason=reason, changed_at=at)


def alert(message: str, run_id: str | None = "r", budget: str = "run") -> BudgetAlert:
    return BudgetAlert(
        kind="share",
        budget=budget,
        share=0.8,
        spent_usd=1.6,
        limit_usd=2.0,
        message=message,
        run_id=None if run_id is None else RunId(run_id),
        raised_at=NOON,
    )


def test_a_run_without_trouble_has_no_story(heard: Chronicle) -> None:
    for event in (call("r", attempts=(attempt(1),)), request("r"), item("r"), run_finished("r")):
        heard(event)
    assert heard.of("r").lines() == ()
    assert heard.of("nobody listened").lines() == ()


def test_failed_attempts_are_told_by_their_kind(heard: Chronicle) -> None:
    slow_down = attempt(1, status="failed", error_type="RateLimitedError")
    lost = attempt(2, status="failed", error_type="ConnectionLostError")
    heard(call("r", attempts=(slow_down, lost, attempt(3))))
    heard(call("r", attempts=(slow_down,)))
    heard(call("other", attempts=(slow_down,)))
    assert heard.of("r").lines() == ("3 attempts failed: 2 429 (asked to slow down), 1 connection lost",)


def test_fallbacks_are_told_by_who_was_wanted_and_who_answered(heard: Chronicle) -> None:
    for _ in range(12):
        heard(request("r", model="sim/large", instead_of="sim/medium"))
    heard(request("r", model="sim/small", instead_of="sim/large"))
    heard(request("r", model="sim/medium", reason="sim/medium is unavailable; sim/medium answers"))
    heard(request("r", model=None, reason="sim/medium failed (OverloadedError); sim/large failed (BadRequestError)"))
    assert heard.of("r").lines() == (
        "13 requests fell back: 12 from sim/medium to sim/large, 1 from sim/large to sim/small",
    )


def test_an_outage_is_told_with_its_length_and_reason(heard: Chronicle) -> None:
    for change in (
        circuit("open", 1, reason="60 % of 40 attempts failed."),
        circuit("half_open", 11),
        circuit("open", 12, reason="the probe failed"),
        circuit("half_open", 14),
        circuit("closed", 15),
    ):
        heard(change)
    heard(run_finished("r", finished_at=NOON + timedelta(seconds=60)))
    heard(circuit("open", 70))  # after the end, and none of its business
    (line,) = heard.of("r").lines()
    assert line == "the circuit of sim/medium was open for 14 s (60 % of 40 attempts failed)"


def test_an_outage_that_goes_on_is_told_so(heard: Chronicle) -> None:
    heard(circuit("open", 1))
    assert heard.of("r").lines() == ("the circuit of sim/medium is open",)
    heard(run_finished("r", finished_at=NOON + timedelta(seconds=31)))
    assert heard.of("r").lines() == ("the circuit of sim/medium was open for 30 s, and still is",)


def test_an_outage_from_before_the_run_that_ends_is_not_its_own() -> None:
    chronicle = Chronicle()
    chronicle(circuit("open", 0))
    chronicle(run_started("r"))
    chronicle(circuit("closed", 5))
    assert chronicle.of("r").lines() == ()


def test_degraded_semantic_batch_and_unknown_are_told(heard: Chronicle) -> None:
    for number in range(3):
        heard(item("r", number, status="degraded"))
    heard(call("r", attempts=(), cache="semantic", similarity=0.93))
    heard(call("r", attempts=(), cache="semantic", similarity=0.97))
    heard(call("r", attempts=(), batch=True))
    heard(call("r", attempts=(), bill_unknown=True, billed_usd=0.02))
    assert heard.of("r").lines() == (
        "3 items degraded: a step without an answer took its default",
        "2 calls answered from a question that means the same, at least 0.93 alike",
        "1 call went by batch, at the batch price",
        "1 call may have been billed without an answer: $0.020 is counted for them",
    )


def test_alerts_are_the_runs_own_or_nobodys_and_few(heard: Chronicle) -> None:
    heard(alert("50 % of the run's budget is spent.", "r"))
    heard(alert("80 % of the run's budget is spent.", "r"))
    heard(alert("Support's month ends early.", None, "month"))
    heard(alert("Another run's.", "other"))
    assert heard.of("r").lines() == ("80 % of the run's budget is spent.", "Support's month ends early.")
    for number in range(10):
        heard(alert(f"{number}", budget=f"b{number}"))
    assert heard.of("r").lines()[MOST_ALERTS:] == ("7 more alerts",)


def test_old_stories_are_forgotten() -> None:
    chronicle = Chronicle()
    for number in range(MOST_STORIES + 1):
        chronicle(run_started(f"r{number}"))
    chronicle(item("r0", status="degraded"))
    assert chronicle.of("r0").lines() == ()


def test_the_card_and_the_text_tell_it_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    run, chronicle = run_of(tickets()), Chronicle()
    monkeypatch.setattr("orchestration_nb.notebook.account.CHRONICLE", chronicle)
    chronicle(run_started(run.id))
    chronicle(alert("80 % of <b>team</b> is spent.\x1b[2K", run.id))
    account = account_of(run)
    assert "<li>80 % of &lt;b&gt;team&lt;/b&gt; is spent.\\x1b[2K</li>" in account_card(account)
    assert "· 80 % of <b>team</b> is spent.\\x1b[2K" in account_text(account).splitlines()


def test_a_run_that_came_through_trouble_says_so(shell: Shell, tickets: pd.DataFrame, provider: FakeProvider) -> None:
    """End to end: every second item's first attempt is refused, and one item is never answered."""
    seen: set[str] = set()

    def respond(request: Request) -> Any:
        number = int(request.prompt.split()[-1])
        if number == 7 or (number % 2 and request.prompt not in seen):
            seen.add(request.prompt)
            raise OverloadedError("no room")
        return "fine"

    (Workspace.current().folder / "orchestrate.toml").write_text(
        "[retry]\nattempts = 3\nfirst_wait_s = 0.001\n[breaker]\nmin_calls = 1000\n"
    )
    workspace = Workspace.current()
    workspace.providers[provider.name] = provider
    provider._respond = respond
    workspace.catalog.add(provider.models())
    workspace.use("medium", "fake/small")
    _, out = shell.run("%%orchestrate triage --over tickets --degrade\ntopic = llm(body)")
    assert "29 ok · 1 degraded" in out.stdout
    assert "· 17 attempts failed: 17 overloaded" in out.stdout.splitlines()
    assert "· 1 item degraded: a step without an answer took its default" in out.stdout.splitlines()


def test_an_outage_that_others_answered_is_told(shell: Shell) -> None:
    """End to end on the simulated provider: one model is down, another answers for it."""
    shell.names["bills"] = pd.DataFrame({"body": [f"bill {number}" for number in range(60)]})
    (Workspace.current().folder / "orchestrate.toml").write_text(
        "[sim]\nlatency_scale = 0\n[retry]\nfirst_wait_s = 0.01\n[models.'sim/medium']\nfallback = ['sim/large']\n"
    )
    shell.run("%orchestrate use medium=sim/medium")
    shell.run("%orchestrate sim down=medium")
    _, out = shell.run("%%orchestrate triage --over bills\ntopic = llm(f'What is it? {body}', max_tokens=20)")
    shell.run("%orchestrate sim off")
    assert "triage done: 60 items · 60 ok" in out.stdout
    lines = out.stdout.splitlines()
    assert "· 60 requests fell back: 60 from sim/medium to sim/large" in lines
    (outage,) = [line for line in lines if line.startswith("· the circuit of sim/medium was open for ")]
    assert "and still is" in outage
    _, status = shell.run("%orchestrate status")
    assert "sim/medium  open" in status.outputs[-1].data["text/plain"]
