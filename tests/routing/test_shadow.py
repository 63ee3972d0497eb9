"""One answers; another is asked unseen."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from orchestration_nb import Flow
from orchestration_nb.errors import NotAuthorisedError, ServerFailedError, UnknownModelError, UsageError
from orchestration_nb.notebook.reasons import reasons
from orchestration_nb.routing import cascade, models_of, shadow
from orchestration_nb.testing import FakeProvider, fake_workspace
from tests.routing.replies import says


def asks(folder: Path, respond: Any) -> Flow:
    workspace = fake_workspace(folder, FakeProvider(respond))
    other = FakeProvider(respond, name="other")
    workspace.providers["other"] = other
    workspace.catalog.add(other.models())
    workspace.catalog.open_providers |= {"other"}
    return Flow.from_source("reply = llm(word)", name="asks", workspace=workspace)


def test_the_answer_does_not_wait_and_the_other_is_recorded_as_a_request_of_its_own(tmp_path: Path) -> None:
    flow = asks(tmp_path, lambda request: "Answer: 4")
    workspace = flow.workspace
    order = []

    async def slowly(_request: Any) -> str:
        await asyncio.sleep(0.05)
        order.append("shadow")
        return "It is 4"

    workspace.providers["other"] = FakeProvider(slowly, name="other")
    workspace.listeners.append(lambda event: order.append("item") if event.event == "item" else None)
    run = flow.map([{"word": "hello"}], strategy="shadow(fast, other/large)")
    assert order == ["item", "shadow"]
    rows = workspace.ledger.sql("select * from requests order by request_id")
    assert rows["strategy"].tolist() == ["shadow(fast, other/large)", "shadow of fast: other/large"]
    assert rows["model"].tolist() == ["fake/small", "other/large"]
    assert rows["item"].tolist() == [0, 0]
    assert rows["reason"].tolist() == [
        "the one that answers; other/large is asked afterwards, unseen",
        f"agrees with the answer of fake/small to request {rows['request_id'].iloc[0]}",
    ]
    assert run.results["reply"].tolist() == ["Answer: 4"]
    assert run.cost_usd == pytest.approx(rows["cost_usd"].sum())
    assert run.results["_cost_usd"].iloc[0] == pytest.approx(rows["cost_usd"].iloc[0])
    assert len(reasons(workspace.ledger, f"{run.id}:0")) == 2


def test_a_failure_of_the_other_is_recorded_and_changes_nothing(tmp_path: Path) -> None:
    def fails(_request: Any) -> str:
        raise NotAuthorisedError("no key")

    flow = asks(tmp_path, lambda request: "4")
    flow.workspace.providers["other"] = FakeProvider(fails, name="other")
    run = flow.map([{"word": "a"}, {"word": "b"}], strategy="shadow(fast, other/small)")
    assert (run.status, run.results["_status"].tolist()) == ("done", ["ok", "ok"])
    rows = flow.workspace.ledger.sql("select status, error_type from requests order by strategy")
    assert rows["status"].tolist() == ["failed", "failed", "ok", "ok"]
    assert set(rows["error_type"].dropna()) == {"NotAuthorisedError"}


def test_where_the_first_cannot_answer_nobody_is_asked_afterwards(tmp_path: Path) -> None:
    def fails(_request: Any) -> str:
        raise NotAuthorisedError("no key")

    flow = asks(tmp_path, fails)
    run = flow.map([{"word": "a"}], strategy="shadow(fast, other/small)")
    assert run.results["_status"].tolist() == ["failed"]
    assert len(flow.workspace.ledger.sql("select 1 from requests")) == 1


def test_shadows_do_not_pile_up(tmp_path: Path) -> None:
    most, now = 0, 0

    async def slowly(_request: Any) -> str:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.002)
        now -= 1
        return "5"

    flow = asks(tmp_path, lambda request: "4")
    flow.workspace.providers["other"] = FakeProvider(slowly, name="other")
    flow.map([{"word": str(number)} for number in range(60)], strategy="shadow(fast, other/small)", concurrency=4)
    rows = flow.workspace.ledger.sql("select reason from requests where strategy like 'shadow of %'")
    assert len(rows) == 60
    assert rows["reason"].str.startswith("disagrees with the answer").all()
    assert most <= 4  # they take turns with all other calls of the run


def test_cancelling_a_run_cancels_what_goes_on_unseen(tmp_path: Path) -> None:
    begun = threading.Event()

    async def never(_request: Any) -> str:
        begun.set()
        await asyncio.sleep(3600)
        return "5"

    flow = asks(tmp_path, lambda request: "4")
    flow.workspace.providers["other"] = FakeProvider(never, name="other")
    run = flow.start([{"word": "a"}], strategy="shadow(fast, other/small)")
    assert begun.wait(20)
    run.cancel()
    run.wait()
    assert run.status == "cancelled"
    rows = flow.workspace.ledger.sql("select status from requests order by strategy")
    assert rows["status"].tolist() == ["cancelled", "ok"]


def test_alone_it_costs_both_and_takes_the_time_of_one() -> None:
    replies = says(fast=("4", 200.0), strong=("5", 900.0))
    came, decision = replies.answer(shadow("fast", "strong"))
    assert came.reply is not None
    assert came.reply.text == "4"
    assert came.latency_ms == pytest.approx(200)
    assert [asked.model for asked in came.asked] == ["fast", "strong"]
    assert decision.afterwards == []
    came, _ = says(fast="4", strong=ServerFailedError("500")).answer(shadow("fast", "strong"))
    assert came.error is None


def test_strategies_may_stand_on_both_sides(tmp_path: Path) -> None:
    tried = shadow(cascade("fast", "strong"), cascade("medium", "other/large"))
    assert models_of(tried) == ("fast", "strong", "medium", "other/large")
    flow = asks(tmp_path, lambda request: "4")
    flow.map([{"word": "a"}], strategy=tried)
    rows = flow.workspace.ledger.sql("select reason from requests order by request_id")["reason"].tolist()
    assert rows[0] == "fast answers; cascade(medium, other/large) is asked afterwards, unseen"
    assert rows[1].startswith("agrees with the answer of fake/small to request ")
    assert rows[1].endswith(" (medium answers)")


def test_models_are_checked_before_anything_is_paid(tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match="sim/huge"):
        asks(tmp_path, lambda request: "4").map([{"word": "a"}], strategy="shadow(fast, sim/huge)")
    with pytest.raises(UsageError, match="names no models"):
        shadow("fast", 3)  # type: ignore[arg-type]
