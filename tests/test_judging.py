"""A judge named by ``--score`` on a run: bound to its model, its money within the run's budget and told apart."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestration_nb.calls import Request
from orchestration_nb.errors import CallError, UsageError
from orchestration_nb.evals.judges import judge
from orchestration_nb.flow.schema import output_schema
from orchestration_nb.flows import Flow
from orchestration_nb.ids import RunId, new_id
from orchestration_nb.judging import JudgeAsks
from orchestration_nb.notebook.account import account_of
from orchestration_nb.testing import FakeProvider, fake_workspace

ITEMS = 8
WORDS = pd.DataFrame({"word": [f"w{number}" for number in range(ITEMS)]})
polite = judge("Is it polite?", model="strong", show="word")
MakeFlow = Callable[..., Flow]


def answer(request: Request) -> str:
    if request.output is None:
        return f"to {request.prompt}"
    return json.dumps({"reason": "it is polite", "mark": 5 if "w1" in request.prompt else 3})


@pytest.fixture
def make_flow(tmp_path: Path) -> MakeFlow:
    def make(respond: Any = answer) -> Flow:
        workspace = fake_workspace(tmp_path, FakeProvider(respond))
        return Flow.from_source("reply = llm(word)", name="quiz", namespace={"polite": polite}, workspace=workspace)

    return make


def test_its_marks_are_the_scores_and_its_cost_is_apart(make_flow: MakeFlow) -> None:
    run = make_flow().map(WORDS, model="fast", score="reply=polite")
    assert run.results["_score"].tolist() == [0.5, 1.0, *[0.5] * (ITEMS - 2)]
    sql = run.flow.workspace.ledger.sql
    asked = sql(
        "select flow, model, sum(c.cost_usd) as usd from (select run_id, flow, tags from runs) join calls c "
        "using (run_id) group by all order by flow"
    )
    assert list(zip(asked["flow"], asked["model"], strict=True)) == [("judge", "fake/large"), ("quiz", "fake/small")]
    scores = sql("select scored_by, cost_usd, request_id from scores")
    assert set(scores["scored_by"]) == {"judge"}
    assert scores["cost_usd"].sum() == pytest.approx(asked["usd"][0])
    assert run.cost_usd == pytest.approx(asked["usd"][1]), "the run's own calls"
    assert f"scoring cost ${asked['usd'][0]:,.4f}" in account_of(run).story[-1]
    assert set(sql("select tags['scored_run'] as run from runs where flow = 'judge'")["run"]) == {run.id}


def test_it_spends_the_budget_of_the_run(make_flow: MakeFlow) -> None:
    run = make_flow().map(WORDS, model="fast", score="reply=polite", budget=0.0025, on_budget="pause")
    billed = run.flow.workspace.ledger.sql("select sum(billed_usd) as usd from calls")["usd"][0]
    assert billed <= 0.0025
    reasons = run.flow.workspace.ledger.sql("select reason from scores where quality is null")["reason"]
    assert reasons.str.contains("The budget of \\$0.0025").any()


def test_a_column_that_it_cannot_see_is_said_before_anything_is_paid(make_flow: MakeFlow) -> None:
    flow = make_flow()
    with pytest.raises(UsageError, match="'colour'"):
        flow.map(WORDS, score=judge("Is it polite?", model="strong", show="colour"))


async def test_who_asks_a_judge_that_was_stopped_just_before_is_not_left_behind(tmp_path: Path) -> None:
    async def respond(request: Request) -> str:
        await asyncio.sleep(60)
        return answer(request)

    workspace = fake_workspace(tmp_path, FakeProvider(respond))
    asks = JudgeAsks(workspace=workspace, account=RunId(new_id()), budget_usd=None, concurrency=1)
    asks.stop()
    output = output_schema(bool, name="judge")
    assert output is not None
    with pytest.raises(CallError, match="gave no reply"):
        await asyncio.wait_for(asks("Is it polite?", model="fast", output=output), timeout=30)


def test_a_run_that_is_cancelled_leaves_no_judge_behind(make_flow: MakeFlow) -> None:
    asked = threading.Event()

    async def respond(request: Request) -> str:
        if request.output is not None:
            asked.set()
            await asyncio.sleep(60)
        return answer(request)

    run = make_flow(respond).start(WORDS, model="fast", score="reply=polite")
    assert asked.wait(10)
    run.cancel()
    assert run.wait().status == "cancelled"
    workspace = run.flow.workspace

    async def judges() -> int:
        return workspace.services.asking

    deadline = workspace.clock.monotonic() + 10
    while workspace.engine.submit(judges()).result() and workspace.clock.monotonic() < deadline:
        pass
    assert workspace.engine.submit(judges()).result() == 0
    assert len(workspace.ledger.sql("select 1 from scores")) == 0
