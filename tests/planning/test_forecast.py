"""What a plan says before a run: calls, what the cache answers, money, time, and what does not fit the budget."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestration_nb import Flow, Workspace, strategy
from orchestration_nb.calls import RawReply, Request, Usage
from orchestration_nb.plan import Plan, PlanLine
from orchestration_nb.testing import FakeProvider, fake_workspace

MakeFlow = Callable[..., Flow]


def respond(request: Request) -> RawReply:
    """Counts as tokenizers do: a token for four bytes; says as much as it was asked for."""
    size = len(request.prompt)
    return RawReply(text="yes" * (size % 7), usage=Usage(input_tokens=size // 4 + 8, output_tokens=size // 10 + 5))


@pytest.fixture
def provider() -> FakeProvider:
    return FakeProvider(respond)


@pytest.fixture
def make_flow(tmp_path: Path, provider: FakeProvider) -> MakeFlow:
    workspace = fake_workspace(tmp_path, provider)

    def make(text: str, **names: Any) -> Flow:
        return Flow.from_source(text, name="triage", namespace=names, workspace=workspace)

    return make


def table(*sizes: int, start: int = 0) -> pd.DataFrame:
    return pd.DataFrame({"body": [f"{start + place}" + "x" * size for place, size in enumerate(sizes)]})


def line(plan: Plan, step: str = "reply") -> PlanLine:
    return next(line for line in plan.lines if line.step == step)


def test_a_prompt_that_is_known_is_counted_for_each_row(make_flow: MakeFlow) -> None:
    plan = make_flow("reply = llm(body, max_tokens=100)").plan(table(100, 200, 300))
    one = line(plan)
    assert (one.calls_text, one.basis, plan.bases) == ("3", "prompts", "from the prompts")
    assert one.input_tokens.low < 603 / 4 + 24 < one.input_tokens.high
    assert one.output_tokens.high <= 3 * 100
    assert 0 < plan.cost_usd.low < plan.cost_usd.expected < plan.cost_usd.high


def test_past_calls_say_what_the_same_step_costs(make_flow: MakeFlow) -> None:
    flow = make_flow("reply = llm(body)")
    flow.map(table(*range(100, 140)))
    plan = flow.plan(table(*range(100, 140), start=1000))
    run = flow.map(table(*range(100, 140), start=1000))
    assert plan.bases == "from the calls of 40 past items"
    assert plan.cost_usd.expected == pytest.approx(run.billed_usd, rel=0.01)
    assert plan.cost_usd.high < 1.15 * plan.cost_usd.low
    assert line(plan).output_tokens.expected == pytest.approx(40 * (123.5 // 10 + 5), rel=0.05)


def test_longer_prompts_than_before_are_known_to_cost_more(make_flow: MakeFlow) -> None:
    flow = make_flow("reply = llm(body)")
    flow.map(table(*range(100, 900, 20)))
    long = table(*([800] * 40), start=1000)
    plan, run = flow.plan(long), flow.map(long)
    assert plan.cost_usd.expected == pytest.approx(run.billed_usd, rel=0.03)


def test_what_the_cache_answers_is_not_charged(make_flow: MakeFlow) -> None:
    flow = make_flow("first = llm(body)\nreply = llm(f'{first} and {body}')")
    rows = table(*range(100, 130))
    flow.map(rows)
    again = flow.plan(rows)
    assert again.cost_usd.high == 0
    assert [round(each.cached_calls.expected) for each in again.lines] == [30, 30]
    half = flow.plan(pd.concat([rows.head(10), table(*range(100, 110), start=500)]))
    assert [round(each.cached_calls.expected) for each in half.lines] == [10, 10]
    fresh = flow.plan(rows, fresh=True)
    assert [round(each.cached_calls.expected) for each in fresh.lines] == [0, 0]
    assert fresh.cost_usd.expected > 0


def test_the_same_question_in_one_run_is_charged_once(make_flow: MakeFlow) -> None:
    rows = pd.DataFrame({"body": ["a" * 100, "b" * 100] * 50})
    flow = make_flow("reply = llm(body)\nmore = llm(f'{reply} {body}')")
    before = flow.plan(rows)
    assert [round(each.cached_calls.expected) for each in before.lines] == [98, 98]
    run = flow.map(rows)
    assert run.plan is before
    assert before.hindsight is not None
    assert [each.cached_calls for each in before.hindsight.lines] == [98, 98]


def test_replies_that_are_not_cached_are_all_charged(make_flow: MakeFlow) -> None:
    rows = pd.DataFrame({"body": ["a" * 100] * 10})
    flow = make_flow("reply = llm(body, cache=False)\nmore = llm(f'{reply} {body}', cache=False)")
    assert [round(each.cached_calls.expected) for each in flow.plan(rows).lines] == [0, 0]


def test_a_step_that_was_asked_of_some_keeps_its_share(make_flow: MakeFlow) -> None:
    flow = make_flow("first = llm(body)\nreply = llm(f'{body}!') if len(first) > 9 else None")
    rows = table(*range(100, 200))
    flow.map(rows)
    asked = sum(len("yes" * (len(body) % 7)) > 9 for body in rows.body)
    plan = flow.plan(table(*range(100, 200), start=1000))
    assert line(plan).calls.expected == asked
    assert line(plan).calls.low < asked < line(plan).calls.high


def test_a_step_that_was_never_asked_may_be_asked_yet(make_flow: MakeFlow) -> None:
    flow = make_flow("first = llm(body)\nreply = llm(f'{body}!') if len(first) > 900 else None")
    flow.map(table(*range(100, 140)))
    plan = flow.plan(table(*range(100, 140), start=1000))
    assert line(plan).calls.low == 0
    assert 0 < line(plan).calls.expected <= 1
    assert line(plan).cost_usd.high > 0


def test_another_model_is_reckoned_at_its_own_price_and_less_surely(make_flow: MakeFlow) -> None:
    flow = make_flow("reply = llm(body)")
    flow.map(table(*range(100, 140)))
    new = table(*range(100, 140), start=1000)
    same, other = flow.plan(new), flow.plan(new, model="strong")
    assert line(other).full_model == "fake/large"
    assert other.cost_usd.expected == pytest.approx(same.cost_usd.expected, rel=0.01)
    assert other.cost_usd.high / other.cost_usd.low > 2 * same.cost_usd.high / same.cost_usd.low


def test_another_text_of_the_step_is_reckoned_less_surely(make_flow: MakeFlow) -> None:
    rows, new = table(*range(100, 140)), table(*range(100, 140), start=1000)
    make_flow("reply = llm(body)").map(rows)
    plan = make_flow("reply = llm(body + '?')").plan(new)
    assert line(plan).basis == "past calls"
    assert plan.cost_usd.high / plan.cost_usd.low > 3


def test_a_model_that_is_known_from_another_flow_counts_as_it_did_there(make_flow: MakeFlow, tmp_path: Path) -> None:
    elsewhere = Flow.from_source(
        "answer = llm(body)", name="other", namespace={}, workspace=make_flow("a = llm('x')").workspace
    )
    elsewhere.map(table(*range(100, 160)))
    plan = make_flow("reply = llm(body + '?')").plan(table(*range(100, 160), start=1000))
    assert plan.bases == "from the prompts and the models' other calls"
    assert line(plan).input_tokens.expected == pytest.approx(60 * (133.5 / 4 + 8), rel=0.03)
    assert line(plan).output_tokens.expected == pytest.approx(60 * (131.5 / 10 + 5), rel=0.1)


def test_a_strategy_is_reckoned_by_the_models_that_it_asked(make_flow: MakeFlow) -> None:
    @strategy
    async def mostly_cheap(request: Request, ask: Any) -> Any:
        reply = await ask("fast")
        return await ask("strong") if len(request.prompt) % 4 == 0 else reply

    flow = make_flow("reply = llm(body)")
    unknown = flow.plan(table(*range(100, 180)), strategy="mostly_cheap")
    assert [each.model for each in unknown.lines] == ["fake/small", "fake/large"]
    flow.map(table(*range(100, 180)), strategy="mostly_cheap")
    new = table(*range(100, 180), start=1000)
    plan, run = flow.plan(new, strategy="mostly_cheap"), flow.map(new, strategy="mostly_cheap")
    small, large = plan.lines
    assert small.calls.expected == pytest.approx(80)
    assert large.calls.expected == pytest.approx(20, abs=1)
    assert plan.cost_usd.low <= run.billed_usd <= plan.cost_usd.high
    assert run.billed_usd <= unknown.cost_usd.high


def test_a_step_that_is_evaluated_once_is_charged_once(make_flow: MakeFlow) -> None:
    flow = make_flow("rules = llm('The rules, please')\nreply = llm(f'{rules}: {body}')")
    plan = flow.plan(table(*range(100, 140)))
    assert (line(plan, "rules").calls_text, line(plan).calls_text) == ("1", "40")
    flow.map(table(*range(100, 140)))
    assert line(flow.plan(table(100, start=9)), "rules").cost_usd.expected == 0


def test_a_flow_without_a_table_is_planned_as_one_item(make_flow: MakeFlow) -> None:
    plan = make_flow("reply = llm(question)", question="why?").plan()
    assert (plan.items, line(plan).calls_text) == (1, "1")


def test_planning_asks_nothing_writes_nothing_and_runs_no_code_of_the_user(
    make_flow: MakeFlow, provider: FakeProvider, tmp_path: Path
) -> None:
    called = []

    def looked_up(body: str) -> str:
        called.append(body)
        return body

    flow = make_flow("known = looked_up(body)\nreply = llm(f'{known}')\nother = llm(body)", looked_up=looked_up)
    flow.plan(table(1, 2, 3))
    assert (called, provider.requests) == ([], [])
    assert not (tmp_path / ".orchestrate" / "ledger.duckdb").exists()
    assert not list(tmp_path.glob(".orchestrate/journal/*"))


def test_a_row_that_cannot_be_evaluated_asks_nothing(make_flow: MakeFlow) -> None:
    plan = make_flow("reply = llm(f'{body}')").plan(pd.DataFrame({"body": ["fine", None]}))
    assert line(plan).calls_text == "1"


def test_a_budget_that_will_not_do_says_how_many_items_fit(make_flow: MakeFlow) -> None:
    flow = make_flow("reply = llm(body)")
    flow.map(table(*range(100, 140)))
    new = table(*range(100, 140), start=1000)
    expected = flow.plan(new).cost_usd.expected
    assert flow.plan(new, budget=1).warnings == ()
    short = flow.plan(new, budget=expected / 2)
    assert len(short.warnings) == 1
    assert "passes the budget" in short.warnings[0]
    assert "about 20 of 40 items fit as expected" in short.warnings[0]
    tight = flow.plan(new, budget=expected * 1.0001)
    assert "may pass the budget" in tight.warnings[0]


def test_a_model_without_a_price_is_told_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "orchestrate.toml").write_text(
        '[providers.house]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n'
    )
    flow = Flow.from_source("reply = llm(body, model='house/one')", name="f", workspace=Workspace(tmp_path, environ={}))
    assert flow.plan(table(1)).warnings == ("Nobody knows what house/one costs: the run will refuse to ask it.",)


def test_a_long_table_is_planned_from_some_of_its_rows_within_seconds(make_flow: MakeFlow) -> None:
    flow = make_flow("reply = llm(body)\nmore = llm(f'{reply} {body}')")
    flow.map(table(*range(100, 150)))
    long = pd.DataFrame({"body": [f"{place}" + "x" * (100 + place % 50) for place in range(200_000)]})
    started = time.perf_counter()
    plan = flow.plan(pd.concat([long.head(50_000)] * 2))
    assert time.perf_counter() - started < 20  # one or two where nobody else uses the machine
    assert plan.rows == 5000
    assert line(plan).calls_text == "100,000"
    assert line(plan).cached_calls.expected == pytest.approx(50_000, rel=0.01)
    assert line(plan, "more").cached_calls.expected == pytest.approx(50_000, rel=0.01)


def test_time_follows_latency_and_concurrency(tmp_path: Path) -> None:
    async def slow(_: Request) -> RawReply:
        return RawReply(text="yes", usage=Usage(input_tokens=9, output_tokens=5), latency_ms=2000.0)

    workspace = fake_workspace(tmp_path, FakeProvider(slow))
    flow = Flow.from_source("first = llm(body)\nreply = llm(f'{first} {body}')", name="f", workspace=workspace)
    flow.map(table(*range(100, 130)))
    new = table(*range(100, 140), start=1000)
    one, many = flow.plan(new, concurrency=1), flow.plan(new, concurrency=64)
    assert one.time_s.expected == pytest.approx(80 * 2.0, rel=0.05)
    assert many.time_s.expected == pytest.approx(4.0, rel=0.3)
    assert one.time_s.low < one.time_s.expected < one.time_s.high
    assert (line(one).p50_s, line(one).p95_s) == (2.0, 2.0)
