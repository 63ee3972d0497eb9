"""Flows over tables: what an analyst gets, whatever fails on the way."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestration_nb.calls import Ask, RawReply, Request, Usage
from orchestration_nb.errors import (
    DuplicateStepError,
    FlowError,
    NotAuthorisedError,
    OverloadedError,
    StepOrderError,
    UnknownModelError,
    UnknownNameError,
    UnknownStrategyError,
    UsageError,
)
from orchestration_nb.flows import Flow
from orchestration_nb.resilience import RetryPolicy
from orchestration_nb.routing import strategy
from orchestration_nb.testing import FakeProvider, fake_workspace

MakeFlow = Callable[..., tuple[Flow, FakeProvider]]

TICKETS = pd.DataFrame({"body": ["refund please", "it crashes", "wrong invoice"], "amount": [1, 2, 3]})


def echo(request: Request) -> Any:
    return request.prompt.upper()


@pytest.fixture
def make_flow(tmp_path: Path) -> Any:
    def make(text: str, respond: Any = echo, **namespace: Any) -> Any:
        provider = respond if isinstance(respond, FakeProvider) else FakeProvider(respond)
        workspace = fake_workspace(tmp_path, provider)
        flow = Flow.from_source(text, name="triage", namespace=namespace, workspace=workspace)
        return flow, provider

    return make


def test_each_row_is_answered_in_its_place(make_flow: MakeFlow) -> None:
    async def later_first(request: Request) -> Any:
        await asyncio.sleep(0.02 if "refund" in request.prompt else 0)
        return request.prompt.upper()

    flow, _ = make_flow("reply = llm(body)\nsize = len(reply)", later_first)
    run = flow.map(TICKETS)
    assert list(run.results["reply"]) == ["REFUND PLEASE", "IT CRASHES", "WRONG INVOICE"]
    assert list(run.results["size"]) == [13, 10, 13]
    assert list(run.results.columns) == [
        "body", "amount", "reply", "size", "_status", "_error", "_cost_usd", "_latency_ms",
    ]  # fmt: skip
    assert run.status == "done"
    assert run.results["_cost_usd"].sum() == pytest.approx(run.cost_usd) == pytest.approx(3 * 20e-6)


def test_order_and_index_of_the_input_are_kept_under_random_delays(make_flow: MakeFlow) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)

    async def jittered(request: Request) -> Any:
        await asyncio.sleep(dice.random() * 0.01)
        return request.prompt

    flow, _ = make_flow("same = llm(f'{number}')", jittered)
    frame = pd.DataFrame({"number": range(300)}, index=[f"row{number}" for number in range(300)])
    results = flow.map(frame, concurrency=64).results
    assert list(results["same"]) == [str(number) for number in range(300)]
    assert list(results.index) == list(frame.index)


def test_steps_wait_only_for_what_they_use(make_flow: MakeFlow) -> None:
    together = threading.Barrier(2, timeout=10)

    async def meet(request: Request) -> Any:
        await asyncio.get_running_loop().run_in_executor(None, together.wait)
        return "met"

    flow, _ = make_flow("left = llm('a ' + body)\nright = llm('b ' + body)", meet)
    assert list(flow.map(TICKETS.head(1)).results["right"]) == ["met"]


def test_braces_in_a_prompt_reach_the_model_unchanged(make_flow: MakeFlow) -> None:
    flow, provider = make_flow("reply = llm('{\"a\": 1} {{x}} ' + body)")
    flow.map(TICKETS.head(1))
    assert provider.requests[0].prompt == '{"a": 1} {{x}} refund please'


def test_an_unknown_name_fails_before_any_call(make_flow: MakeFlow) -> None:
    flow, provider = make_flow("first = llm(body)\nsecond = llm(f'{bdy}')")
    with pytest.raises(UnknownNameError, match="bdy") as caught:
        flow.map(TICKETS)
    assert "body" in str(caught.value) + caught.value.hint
    assert caught.value.line == 2
    assert provider.requests == []


def test_an_async_step_a_variable_and_a_plain_step_work(make_flow: MakeFlow) -> None:
    flow, _ = make_flow(
        "@step\n"
        "async def careful(body):\n"
        "    first = await llm('one ' + body)\n"
        "    return await llm('two ' + first)\n"
        "tail = history[history.amount >= amount].amount.tolist()\n"
        "asked = await llm('three ' + body)\n",
        history=TICKETS,
    )
    results = flow.map(TICKETS).results
    assert results["careful"][1] == "TWO ONE IT CRASHES"
    assert results["tail"][1] == [2, 3]
    assert results["asked"][1] == "THREE IT CRASHES"


def test_fan_out_and_conditions(make_flow: MakeFlow) -> None:
    flow, provider = make_flow(
        "points = [llm(f'{word}') for word in body.split()]\nreply = llm(f'{points}') if amount > 1 else None"
    )
    results = flow.map(TICKETS).results
    assert results["points"][0] == ["REFUND", "PLEASE"]
    assert pd.isna(results["reply"][0])
    assert results["reply"][1] == "['IT', 'CRASHES']"
    assert len(provider.requests) == 6 + 2


def test_an_annotation_is_asked_for_and_checked(make_flow: MakeFlow) -> None:
    replies = {"refund please": '{"value": "refund"}', "it crashes": '{"value": "bug"}', "wrong invoice": "no idea"}
    flow, provider = make_flow(
        "queue: Literal['billing', 'bug', 'refund'] = llm(body)",
        lambda request: replies.get(request.prompt, "still none"),
    )
    results = flow.map(TICKETS).results
    assert list(results["queue"][:2]) == ["refund", "bug"]
    assert results["_status"][2] == "failed"
    assert provider.requests[0].output is not None
    assert sum("still none" in str(request.messages) for request in provider.requests) == 1


def test_a_failing_item_never_stops_the_others(make_flow: MakeFlow) -> None:
    def picky(request: Request) -> Any:
        if "crashes" in request.prompt:
            raise OverloadedError("no room")
        return "fine"

    flow, _ = make_flow("reply = llm(body)\nsize = len(reply)\nhalf = 1 / (amount - 1)", picky)
    flow.workspace.services.retry = RetryPolicy(attempts=1)
    run = flow.map(TICKETS)
    results = run.results
    assert list(results["_status"]) == ["failed", "failed", "ok"]
    assert results["_error"][0] == "half: ZeroDivisionError: division by zero (line 3)"
    assert results["_error"][1] == "reply: no room"
    assert results["reply"][0] == "fine"
    assert results["half"][1] == 1.0
    assert list(run.errors["step"]) == ["half", "reply"]
    assert run.status == "done"
    assert (run.progress.done, run.progress.failed) == (3, 2)


def test_on_error_stop_stops_the_others(make_flow: MakeFlow) -> None:
    flow, provider = make_flow("bad = 1 / (amount - 1)\nreply = llm(f'{amount} {bad}')")
    frame = pd.DataFrame({"amount": range(1, 200)})
    run = flow.map(frame, on_error="stop", concurrency=1)
    assert run.status == "failed"
    assert "row 0" in str(run.error)
    assert provider.requests == []
    assert list(run.results["_status"][:2]) == ["failed", "skipped"]


def test_a_step_that_reaches_no_column_is_evaluated_once(make_flow: MakeFlow) -> None:
    flow, provider = make_flow("style = llm('a style')\nreply = llm(f'{style}: {body}')")
    results = flow.map(TICKETS, fresh=True).results
    assert list(results["reply"]) == [f"A STYLE: {body.upper()}" for body in TICKETS["body"]]
    assert [request.prompt for request in provider.requests].count("a style") == 1
    assert list(results["style"]) == ["A STYLE"] * 3


def test_without_a_table_the_flow_runs_once_on_variables(make_flow: MakeFlow) -> None:
    flow, _ = make_flow("reply = llm(f'{who}')\nsize = len(reply)", who="ada")
    assert flow.run().results[["reply", "size"]].to_numpy().tolist() == [["ADA", 3]]
    assert flow.run(who="grace").results["size"][0] == 5


def test_a_default_stands_in_and_is_marked(make_flow: MakeFlow) -> None:
    def fail(request: Request) -> Any:
        raise OverloadedError("no room")

    flow, _ = make_flow("reply = llm(body, default='(none)')", fail)
    flow.workspace.services.retry = RetryPolicy(attempts=1)
    results = flow.map(TICKETS).results
    assert list(results["reply"]) == ["(none)"] * 3
    assert set(results["_status"]) == {"degraded"}


def test_a_pending_reply_that_is_used_or_lost_is_an_error_that_says_so(make_flow: MakeFlow) -> None:
    flow, _ = make_flow("size = len(llm(body))\nlost = str([llm(body) for _ in 'ab' if llm(body + '!') is None])")
    run = flow.map(TICKETS.head(1))
    sentences = dict(zip(run.errors["step"], run.errors["error"], strict=True))
    assert "len()" in sentences["size"] or "pending" in sentences["size"]
    assert "never awaited" in sentences["lost"]


def test_the_same_run_again_pays_nothing(make_flow: MakeFlow) -> None:
    flow, provider = make_flow("reply = llm(body)")
    first, second = flow.map(TICKETS), flow.map(TICKETS)
    assert len(provider.requests) == 3
    assert second.billed_usd == 0
    assert second.cost_usd == pytest.approx(first.cost_usd)
    assert second.progress.cache_hits == 3


def test_a_budget_is_never_passed_and_the_rest_is_told_why(make_flow: MakeFlow) -> None:
    flow, provider = make_flow("reply = llm(f'{number}', max_tokens=100)")
    run = flow.map(pd.DataFrame({"number": range(200)}), budget=0.004)
    assert run.billed_usd <= 0.004
    assert 10 < len(provider.requests) < 200
    assert run.status == "failed"
    assert run.error is not None
    assert "--budget" in run.error.hint
    refused = run.results[run.results["_status"] == "failed"]
    assert len(refused) == 200 - len(provider.requests)


def test_the_ledger_holds_every_call_request_item_and_step(make_flow: MakeFlow) -> None:
    flow, _ = make_flow("reply = llm(body)\nsize = len(reply)")
    run = flow.map(TICKETS, tags={"team": "support"})
    ledger = flow.workspace.ledger
    counts = {
        table: ledger.sql(f"SELECT count(*) AS n FROM {table} WHERE run_id = ?", [run.id])["n"][0]
        for table in ("runs", "items", "steps", "requests", "calls")
    }
    assert counts == {"runs": 1, "items": 3, "steps": 6, "requests": 3, "calls": 3}
    assert ledger.sql("SELECT sum(cost_usd) AS usd FROM calls")["usd"][0] == pytest.approx(run.cost_usd)
    assert len(run.calls) == 3


def test_a_sample_is_the_same_one_each_time_and_in_order(make_flow: MakeFlow) -> None:
    flow, _ = make_flow("same = llm(f'{number}')")
    frame = pd.DataFrame({"number": range(100)})
    first, second = (list(flow.map(frame, sample=10).results["number"]) for _ in range(2))
    assert first == second == sorted(first)
    assert len(first) == 10
    assert list(flow.map(frame, sample=10, seed=1).results["number"]) != first


def test_a_strategy_written_by_the_analyst_is_used_by_name(make_flow: MakeFlow) -> None:
    @strategy
    async def strong_for_long(request: Request, ask: Ask) -> Any:
        return await ask("strong" if len(request.prompt) > 10 else "fast")

    flow, _ = make_flow("reply = llm(body)\npinned = llm('x ' + body, model='fast')")
    run = flow.map(TICKETS, strategy="strong_for_long")
    chosen = dict(zip(run.steps["step"], run.steps["models"], strict=True))
    assert chosen == {"reply": "fake/large, fake/small", "pinned": "fake/small"}
    assert list(run.steps["calls"]) == [3, 3]


async def test_a_flow_can_be_awaited(make_flow: MakeFlow) -> None:
    flow, _ = make_flow("reply = llm(body)")
    assert len((await flow.amap(TICKETS)).results) == 3


def test_cancelling_a_run_keeps_what_is_finished(make_flow: MakeFlow) -> None:
    async def slow_after_first(request: Request) -> Any:
        if "refund" not in request.prompt:
            await asyncio.sleep(60)
        return "fine"

    flow, _ = make_flow("reply = llm(body)", slow_after_first)
    run = flow.start(TICKETS)
    deadline = time.monotonic() + 10
    while run.progress.done < 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    begun = time.monotonic()
    run.cancel()
    run.wait()
    assert time.monotonic() - begun < 10, "and not the minute that the calls take"
    assert run.status == "cancelled"
    assert list(run.results["_status"]) == ["ok", "cancelled", "cancelled"]
    assert (run.progress.done, run.progress.failed) == (1, 0)
    ledger = flow.workspace.ledger
    assert list(ledger.sql("SELECT status FROM runs WHERE run_id = ?", [run.id])["status"]) == ["cancelled"]
    assert sorted(run.calls["status"]) == ["cancelled", "cancelled", "ok"]


def test_a_paused_run_sends_nothing_until_it_goes_on(make_flow: MakeFlow) -> None:
    flow, provider = make_flow("reply = llm(f'{number}')")

    async def slowly(request: Request) -> Any:
        await asyncio.sleep(0.005)
        return "fine"

    provider._respond = slowly
    run = flow.start(pd.DataFrame({"number": range(100)}), concurrency=2)
    while run.progress.done < 3:
        time.sleep(0.005)
    run.pause()
    while run.status != "paused" or run.progress.in_flight:
        time.sleep(0.005)
    sent = len(provider.requests)
    time.sleep(0.1)
    assert len(provider.requests) == sent < 100
    run.resume()
    assert run.wait().progress.done == 100


def test_a_plan_counts_without_asking(make_flow: MakeFlow) -> None:
    flow, provider = make_flow(
        "queue = llm(body, model='fast')\n"
        "points = [llm(word) for word in body.split()]\n"
        "size = len(points)\n"
        "reply = llm(queue) if amount > 1 else None\n"
    )
    plan = flow.plan(TICKETS)
    assert [(line.step, line.model, line.calls_text) for line in plan.lines] == [
        ("queue", "fast", "3"),
        ("points", "medium", "9 (0 to 30)"),
        ("size", "", "0"),
        ("reply", "medium", "2 (0 to 3)"),
    ]
    assert provider.requests == []


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("reply = llm(body", FlowError, "Python"),
        ("", FlowError, "empty"),
        ("a = llm(b)\nb = llm(body)", StepOrderError, "line"),
        ("a = llm(body)\na = llm(body)", DuplicateStepError, "a"),
        ("body = llm('x')", FlowError, "body"),
    ],
)
def test_bad_cells_are_refused_with_a_sentence(make_flow: MakeFlow, text: str, error: Any, words: str) -> None:
    with pytest.raises((error, UsageError), match=words) as caught:
        make_flow(text)[0].map(TICKETS)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("frame", "options", "error", "words"),
    [
        (TICKETS.head(0), {}, UsageError, "no rows"),
        ("tickets", {}, UsageError, "DataFrame"),
        (pd.concat([TICKETS, TICKETS], axis=1), {}, UsageError, "two columns"),
        (TICKETS, {"budget": -1}, UsageError, "budget"),
        (TICKETS, {"budget": float("nan")}, UsageError, "budget"),
        (TICKETS, {"concurrency": -3}, UsageError, "in flight"),
        (TICKETS, {"concurrency": 0}, UsageError, "in flight"),
        (TICKETS, {"concurrency": 2.5}, UsageError, "in flight"),
        (TICKETS, {"budget": "2"}, UsageError, "budget"),
        (TICKETS, {"bugdet": 2}, UsageError, "no option 'bugdet'"),
        (TICKETS, {"on_error": "stpo"}, UsageError, "stpo"),
        (TICKETS, {"seed": -1}, UsageError, "seed"),
        (TICKETS, {"tags": ["team"]}, UsageError, "tags"),
        (TICKETS, {"model": 5}, UsageError, "model=5"),
        (TICKETS, {"strategy": 5}, UsageError, "strategy=5"),
        (TICKETS, {"sample": "3"}, UsageError, "sample"),
        (TICKETS, {"sample": 0}, UsageError, "sample"),
        (TICKETS, {"strategy": "fixd"}, UnknownStrategyError, "fixd"),
        (TICKETS, {"model": "strng"}, UnknownModelError, "strng"),
        (TICKETS, {"strategy": "cascade", "model": "fast"}, UsageError, "do not go together"),
        (TICKETS, {"model": "openai/gpt-4.1-mini"}, NotAuthorisedError, "OPENAI_API_KEY"),
    ],
)
def test_bad_input_is_refused_before_anything_is_asked(
    make_flow: MakeFlow, frame: Any, options: dict[str, Any], error: Any, words: str
) -> None:
    flow, provider = make_flow("reply = llm(body)")
    with pytest.raises(error, match=words) as caught:
        flow.map(frame, **options)
    assert caught.value.hint
    assert provider.requests == []


def test_a_row_without_a_value_or_with_bytes_says_so_and_the_others_go_on(make_flow: MakeFlow) -> None:
    flow, _ = make_flow("reply = llm(f'Ticket: {body}')")
    run = flow.map(pd.DataFrame({"body": ["fine", float("nan"), None, b"raw"]}))
    results = run.results
    assert list(results["_status"]) == ["ok", "failed", "ok", "failed"]
    assert "'body' has no value in this row" in results["_error"][1]
    assert "bytes" in results["_error"][3]


def test_a_column_whose_name_is_no_identifier_is_reached_by_item(make_flow: MakeFlow) -> None:
    flow, _ = make_flow("reply = llm(item['the body'])")
    assert flow.map(pd.DataFrame({"the body": ["hi"]})).results["reply"][0] == "HI"


def test_a_prompt_of_ten_megabytes_arrives_whole(make_flow: MakeFlow) -> None:
    flow, _ = make_flow("reply = llm(body)", lambda request: str(len(request.prompt)))
    run = flow.map(pd.DataFrame({"body": ["x" * 10_000_000]}), budget=100)
    assert run.results["reply"][0] == "10000000"
    assert len(run.calls) == 1


def test_usage_of_a_reply_is_priced_by_class(make_flow: MakeFlow) -> None:
    usage = Usage(input_tokens=1000, cached_tokens=400, output_tokens=50, reasoning_tokens=20)
    flow, _ = make_flow("reply = llm(body)", lambda request: RawReply(text="fine", usage=usage))
    run = flow.map(TICKETS.head(1))
    assert run.cost_usd == pytest.approx((1000 * 1.0 + 50 * 2.0) / 1e6)
    call = run.calls.iloc[0]
    assert (call.cached_tokens, call.reasoning_tokens) == (400, 20)


def test_memory_is_bounded_by_producers_not_by_items(make_flow: MakeFlow) -> None:
    most = 0
    others: set[asyncio.Task[Any]] = set()

    async def count_tasks(request: Request) -> Any:
        nonlocal most
        most = max(most, len(asyncio.all_tasks() - others))
        await asyncio.sleep(0)
        return "fine"

    flow, _ = make_flow("reply = llm(f'{number}')", count_tasks)
    others |= asyncio.all_tasks(flow.workspace.engine.loop)  # a workspace renews its claims for up to a minute
    flow.map(pd.DataFrame({"number": range(3000)}), concurrency=10)
    assert most < 40


def test_values_that_no_step_can_take_are_refused(make_flow: MakeFlow) -> None:
    flow, provider = make_flow("reply = llm(f'{who}')")
    with pytest.raises(UsageError, match="'budget'") as caught:
        flow.run(who="ada", budget=1)
    assert "start(" in caught.value.hint
    with pytest.raises(UsageError, match="is a step"):
        flow.run(who="ada", reply="mine")
    assert provider.requests == []
    priced, _ = make_flow("reply = llm(f'{budget}')")
    assert priced.run(budget=3).value("reply") == "3"


def test_a_flow_that_would_block_the_engine_asks_nothing(make_flow: MakeFlow) -> None:
    inner, provider = make_flow("reply = llm('inner')")

    async def nesting(request: Request, ask: Ask) -> Any:
        inner.run()

    flow, _ = make_flow("reply = llm(body)")
    errors = flow.map(TICKETS, strategy=nesting).errors["error"]
    assert set(errors) == {"A flow cannot block the engine's own thread."}
    assert provider.requests == []


def test_a_strategy_that_asks_no_model_or_an_unknown_one_is_told_so(make_flow: MakeFlow) -> None:
    async def unpinned(request: Request, ask: Ask) -> Any:
        return await ask(request.model or ("fst" if "refund" in request.prompt else None))  # type: ignore[arg-type]

    flow, _ = make_flow("reply = llm(body)")
    run = flow.map(TICKETS, strategy=unpinned)
    assert run.results["_error"][0] == "reply: There is no model 'fst'."
    assert run.results["_error"][1] == "reply: A model is named by text, not by None."
    assert "fast" in getattr(run.first_error, "hint", "")


def test_a_strategy_may_decide_by_the_columns_of_the_item(make_flow: MakeFlow) -> None:
    async def by_tier(request: Request, ask: Any) -> Any:
        return await ask("strong" if request.item["tier"] == "gold" else "fast")

    flow, provider = make_flow("reply = llm(body)", lambda request: request.prompt)
    run = flow.map(pd.DataFrame({"body": ["a", "b"], "tier": ["gold", "tin"]}), strategy=by_tier)
    assert run.calls.sort_values("model")["model"].tolist() == ["fake/large", "fake/small"]
    assert all("gold" not in str(request.messages) for request in provider.requests)
    assert flow.start(None, values={"body": "c"}).wait().value("reply") == "c", "without a table there are no columns"
