"""Planned against actual: beside each other afterwards, kept in the ledger, and used by the next plan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from orchestration_nb import Flow
from orchestration_nb.calls import RawReply, Request, Usage
from orchestration_nb.errors import UsageError
from orchestration_nb.testing import FakeProvider, fake_workspace

MakeFlow = Callable[..., Flow]
WORDS = {"output": 400}


@pytest.fixture
def make_flow(tmp_path: Path) -> MakeFlow:
    def wordy(request: Request) -> RawReply:
        return RawReply(text="yes", usage=Usage(input_tokens=len(request.prompt) // 4, output_tokens=WORDS["output"]))

    workspace = fake_workspace(tmp_path, FakeProvider(wordy))

    def make(text: str, name: str = "triage") -> Flow:
        return Flow.from_source(text, name=name, namespace={}, workspace=workspace)

    return make


def table(size: int, start: int = 0) -> pd.DataFrame:
    return pd.DataFrame({"body": [f"ticket {number}" for number in range(start, start + size)]})


def test_the_run_after_a_plan_carries_it_with_what_came_of_it(make_flow: MakeFlow) -> None:
    text = "queue = llm(body)\nsize = len(queue)\nreply = llm(f'{queue} {size} {body}', model='strong')"
    plan = make_flow(text).plan(table(20))
    run = make_flow(text).map(table(20))  # another object of the same text, as a cell that is run again makes
    assert run.plan is plan
    assert plan.hindsight is not None
    queue, size, reply = plan.hindsight.lines
    assert (queue.calls, size.calls, reply.calls) == (20, 0, 20)
    assert queue.output_tokens == 20 * 400
    assert plan.hindsight.cost_usd == pytest.approx(run.billed_usd) == pytest.approx(queue.cost_usd + reply.cost_usd)
    assert plan.hindsight.held is (plan.cost_usd.low <= run.billed_usd <= plan.cost_usd.high)


def test_a_plan_is_for_one_run_of_the_same(make_flow: MakeFlow) -> None:
    flow = make_flow("queue = llm(body)")
    flow.plan(table(20))
    assert flow.map(table(10)).plan is None
    assert flow.map(table(20), model="strong").plan is None
    assert make_flow("queue = llm(body + '!')").map(table(20)).plan is None
    assert flow.map(table(20)).plan is not None
    assert flow.map(table(20)).plan is None


def test_planned_and_actual_are_kept_in_the_ledger(make_flow: MakeFlow) -> None:
    flow = make_flow("queue = llm(body)\nsize = len(queue)")
    plan = flow.plan(table(20))
    run = flow.map(table(20))
    rows = flow.workspace.ledger.sql("select * from plans")
    assert len(rows) == 1
    row = rows.iloc[0]
    assert (row.run_id, row.flow, row.step, row.model, row.basis) == (
        run.id,
        "triage",
        "queue",
        "fake/small",
        "prompts",
    )
    assert (row.calls, row.actual_calls) == (20, 20)
    assert row.expected_usd == pytest.approx(plan.cost_usd.expected)
    assert row.actual_usd == pytest.approx(run.billed_usd)
    assert row.low_usd < row.expected_usd < row.high_usd


def test_a_plan_that_nobody_ran_leaves_no_row(make_flow: MakeFlow) -> None:
    flow = make_flow("queue = llm(body)")
    flow.map(table(5))
    flow.plan(table(20))
    assert len(flow.workspace.ledger.sql("select * from plans")) == 0


def test_plans_that_were_wrong_correct_the_next_ones_of_their_kind(make_flow: MakeFlow) -> None:
    """The models say 400 tokens where 180 are guessed; flows are new and calls too few to tell, so only plans teach."""
    ratios = []
    for number in range(4):
        text = f"step{number} = llm(body, system='{number}', output=str)"
        flow = make_flow(text, name=f"flow{number}")
        plan = flow.plan(table(2, start=100 * number))
        ratios.append(plan.cost_usd.expected / flow.map(table(2, start=100 * number)).billed_usd)
    assert ratios[0] < 0.6
    assert abs(ratios[-1] - 1) < abs(ratios[0] - 1) / 2
    assert ratios == sorted(ratios)


def test_a_right_plan_from_past_calls_is_hardly_corrected(make_flow: MakeFlow) -> None:
    flow = make_flow("queue = llm(body)")
    flow.map(table(30))
    for number in range(1, 4):
        plan = flow.plan(table(30, start=100 * number))
        run = flow.map(table(30, start=100 * number))
        assert plan.cost_usd.expected == pytest.approx(run.billed_usd, rel=0.03)


def test_any_run_of_the_flow_can_be_set_beside_a_plan(make_flow: MakeFlow) -> None:
    flow = make_flow("queue = llm(body)\nreply = llm(queue + body, model='strong')")
    run = flow.map(table(12))
    plan = flow.plan(table(12), fresh=True)
    hindsight = plan.actual(run)
    assert plan.hindsight is hindsight
    assert [line.calls for line in hindsight.lines] == [12, 12]
    assert hindsight.cost_usd == pytest.approx(run.billed_usd)
    assert hindsight.time_s > 0


def test_a_run_of_another_flow_is_refused(make_flow: MakeFlow) -> None:
    plan = make_flow("queue = llm(body)").plan(table(2))
    with pytest.raises(UsageError, match="other"):
        plan.actual(make_flow("queue = llm(body)", name="other").map(table(2)))


def test_a_run_that_was_stopped_teaches_nothing(make_flow: MakeFlow) -> None:
    flow = make_flow("queue = llm(body)")
    flow.plan(table(50), budget=0.0015)
    run = flow.map(table(50), budget=0.0015)
    assert run.status == "failed"
    assert run.plan is not None
    assert run.plan.hindsight is not None
    assert len(flow.workspace.ledger.sql("select * from plans")) == 0
