"""A budget that pauses: the run waits, goes on with more money, or is left and resumed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from orchestration_nb.errors import BudgetPausedError, OverBudgetError, UsageError
from orchestration_nb.flows import Flow
from orchestration_nb.runs import Run
from orchestration_nb.testing import FakeProvider, fake_workspace

ROWS = pd.DataFrame({"n": range(40)})
SOURCE = 'reply = llm(f"{n}", max_tokens=5)'
ONE_USD = 0.00002
"""What a call of the fake model costs: ten tokens in at $1, five out at $2 a million."""
MOST_USD = 0.000044
"""The most it can cost: the bound of the input is 34 tokens."""


@pytest.fixture
def flow(tmp_path: Path) -> Flow:
    provider = FakeProvider(lambda request: f"re: {request.prompt}")
    return Flow.from_source(SOURCE, name="triage", workspace=fake_workspace(tmp_path, provider))


def sent(flow: Flow) -> int:
    provider = flow.workspace.providers["fake"]
    assert isinstance(provider, FakeProvider)
    return len(provider.requests)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)


def paused(flow: Flow) -> Run:
    run = flow.start(ROWS, budget=ONE_USD * 10, on_budget="pause", concurrency=4)
    until(lambda: run.waits_for is not None and run.progress.in_flight == 0)
    return run


class TestPause:
    def test_the_run_waits_and_says_why(self, flow: Flow) -> None:
        run = paused(flow)
        assert run.status == "paused"
        assert "does not cover" in run.progress.note
        assert run.billed_usd <= ONE_USD * 10
        assert 0 < sent(flow) < 12
        run.cancel()
        assert run.wait().status == "cancelled"

    def test_more_money_lets_it_go_on_and_nothing_is_paid_twice(self, flow: Flow) -> None:
        run = paused(flow)
        run.resume(budget=1.0)
        run.wait()
        assert run.status == "done"
        assert run.results["reply"].tolist() == [f"re: {n}" for n in range(40)]
        assert run.results["_status"].eq("ok").all()
        assert sent(flow) == 40
        assert run.progress.note == ""

    def test_too_little_more_pauses_again(self, flow: Flow) -> None:
        run = paused(flow)
        before = sent(flow)
        run.resume(budget=ONE_USD * 20)
        until(lambda: sent(flow) > before and run.waits_for is not None and run.progress.in_flight == 0)
        assert run.billed_usd <= ONE_USD * 20
        run.resume(budget=1.0)
        assert run.wait().status == "done"

    def test_an_amount_below_what_is_spent_is_refused(self, flow: Flow) -> None:
        run = paused(flow)
        with pytest.raises(UsageError, match="spent already"):
            run.resume(budget=ONE_USD)
        assert run.waits_for is not None
        run.leave()
        run.wait()

    def test_an_amount_for_a_run_that_waits_for_none_is_refused(self, flow: Flow) -> None:
        run = flow.map(ROWS, budget=1.0)
        with pytest.raises(UsageError, match="waits for no budget"):
            run.resume(budget=2.0)


class TestLeave:
    def test_it_ends_as_paused_with_what_is_done(self, flow: Flow) -> None:
        run = paused(flow)
        run.leave()
        run.wait()
        assert run.status == "paused"
        assert isinstance(run.error, BudgetPausedError)
        counts = run.results["_status"].value_counts()
        assert set(counts.index) == {"ok", "paused"}
        assert counts["ok"] == sent(flow)
        assert flow.workspace.ledger.run(str(run.id)).run["status"] == "paused"

    def test_nobody_to_ask_ends_it_so(self, flow: Flow) -> None:
        run = flow.map(ROWS, budget=ONE_USD * 10, on_budget="pause")
        assert run.status == "paused"
        assert run.waits_for is not None

    def test_who_waits_can_be_asked(self, flow: Flow) -> None:
        run = flow.start(ROWS, budget=ONE_USD * 10, on_budget="pause")
        asked: list[OverBudgetError] = []

        def ask(refusal: OverBudgetError) -> None:
            asked.append(refusal)
            run.resume(budget=1.0)

        assert run.wait(ask=ask).status == "done"
        assert asked


class TestOtherEnds:
    def test_reject_fails_the_calls(self, flow: Flow) -> None:
        run = flow.map(ROWS, budget=ONE_USD * 10)
        assert run.status == "failed"
        assert isinstance(run.error, OverBudgetError)
        assert not isinstance(run.error, BudgetPausedError)

    def test_alert_goes_on(self, flow: Flow) -> None:
        run = flow.map(ROWS, budget=ONE_USD * 10, on_budget="alert")
        assert run.status == "done"
        assert sent(flow) == 40


class TestDegrade:
    def test_a_step_without_an_answer_yields_none_and_is_marked(self, tmp_path: Path) -> None:
        def respond(request: object) -> str:
            from orchestration_nb.errors import BadRequestError

            if getattr(request, "prompt", "").endswith("3"):
                raise BadRequestError("no threes")
            return "fine"

        workspace = fake_workspace(tmp_path, FakeProvider(respond))
        flow = Flow.from_source(SOURCE + "\nlength = len(reply or '')", name="triage", workspace=workspace)
        run = flow.map(ROWS, degrade=True)
        rows = run.results
        assert run.status == "done"
        assert rows["_status"].value_counts().to_dict() == {"ok": 36, "degraded": 4}
        assert rows.loc[rows["_status"] == "degraded", "reply"].isna().all()
        assert rows.loc[rows["_status"] == "degraded", "length"].eq(0).all()
        steps = workspace.ledger.sql("select count(*) as n from steps where status = 'degraded'")
        assert steps["n"].tolist() == [4]


class TestResumedInAnotherRun:
    def test_it_goes_on_with_the_same_flow_only(self, flow: Flow) -> None:
        first = flow.map(ROWS, budget=ONE_USD * 10, on_budget="pause")
        other = Flow.from_source(SOURCE, name="other", workspace=flow.workspace)
        with pytest.raises(UsageError, match=r"one of 'triage', not of 'other'"):
            other.map(ROWS, resumes=str(first.id))
        with pytest.raises(UsageError, match="no run 'nothing'"):
            flow.map(ROWS, resumes="nothing")

    @pytest.mark.parametrize("named", ["last", "id"])
    def test_it_pays_only_what_is_left_and_says_what_it_goes_on_with(self, flow: Flow, named: str) -> None:
        first = flow.map(ROWS, budget=ONE_USD * 10, on_budget="pause")
        before = sent(flow)
        second = flow.map(ROWS, budget=1.0, resumes="last" if named == "last" else str(first.id))
        assert second.status == "done"
        assert sent(flow) == 40
        assert second.billed_usd == pytest.approx(ONE_USD * (40 - before))
        third = flow.map(ROWS, resumes=str(second.id))
        rows = flow.workspace.ledger.sql("select run_id, resumes, budget_usd from runs order by run_id")
        assert rows["resumes"].tolist()[1:] == [str(first.id)] * 2
        assert third.progress.budget_usd == pytest.approx(1.0)

    def test_a_headless_runner_says_it_by_the_environment(self, flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
        first = flow.map(ROWS, budget=ONE_USD * 10, on_budget="pause")
        monkeypatch.setenv("ORCHESTRATE_RESUME", f"{first.id}:0.5")
        second = flow.map(ROWS, budget=ONE_USD * 10, on_budget="pause")
        assert second.status == "done"
        assert second.progress.budget_usd == pytest.approx(0.5)
        other = Flow.from_source(SOURCE, name="other", workspace=flow.workspace).map(ROWS.head(2), budget=1.0)
        assert other.progress.budget_usd == pytest.approx(1.0)

    def test_a_default_need_not_look_like_an_answer(self, tmp_path: Path) -> None:
        def respond(request: object) -> str:
            from orchestration_nb.errors import BadRequestError

            if "3" in getattr(request, "prompt", ""):
                raise BadRequestError("no threes")
            return '{"value": "calm"}'

        workspace = fake_workspace(tmp_path, FakeProvider(respond))
        source = 'mood: Literal["calm", "angry"] = llm(f"{n}", default="unknown")\nboth: Literal["calm"] = llm(f"{n}")'
        flow = Flow.from_source(source, name="moods", workspace=workspace)
        rows = flow.map(ROWS.head(5), degrade=True).results
        assert rows["mood"].tolist() == ["calm", "calm", "calm", "unknown", "calm"]
        assert rows["both"].tolist()[:3] == ["calm"] * 3
        assert rows["both"].isna().tolist() == [False, False, False, True, False]
        assert rows["_status"].tolist() == ["ok", "ok", "ok", "degraded", "ok"]
