"""The way of one request: what is paid, what is kept, what is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from orchestration_nb.calls import Ask, OutputSchema, RawReply, Request, Usage
from orchestration_nb.engine.request import answer
from orchestration_nb.errors import (
    CallTimeoutError,
    ConnectionLostError,
    ContentRefusedError,
    JournalWriteError,
    MalformedReplyError,
    NotAuthorisedError,
    OverBudgetError,
    OverloadedError,
    PriceUnknownError,
    RateLimitedError,
    SchemaNotMetError,
    StepError,
)
from orchestration_nb.resilience import RetryPolicy
from orchestration_nb.resilience.turns import Turn
from orchestration_nb.routing import fallback
from orchestration_nb.testing import FakeProvider, settle
from tests.engine.conftest import MemoryJournal, World, a_request

MakeWorld = Callable[..., World]

PAID = (10 * 1.0 + 5 * 2.0) / 1e6  # the fake provider's ten tokens in and five out


@dataclass
class Tally:
    cost_usd: float = 0.0
    billed_usd: float = 0.0


def raising(*errors: Exception, then: Any = "fine") -> Any:
    left = list(errors)

    def respond(request: Request) -> Any:
        if left:
            raise left.pop(0)
        return then

    return respond


def integer(text: str) -> Any:
    try:
        return int(orjson.loads(text)["value"])
    except (orjson.JSONDecodeError, KeyError, ValueError) as error:
        raise SchemaNotMetError("value must be a whole number", reply=text) from error


SCHEMA = OutputSchema(name="number", json_schema={"type": "object"}, parse=integer)


async def test_a_request_is_answered_priced_and_recorded_once(make_world: MakeWorld) -> None:
    world, tally = make_world(FakeProvider(lambda request: "hi")), Tally()
    run = world.context()
    reply = await answer(a_request(model="fast"), run, tally)
    assert (reply.text, reply.value, reply.model, reply.simulated) == ("hi", "hi", "fake/small", True)
    assert reply.cost_usd == reply.billed_usd == tally.cost_usd == run.budget.spent_usd == pytest.approx(PAID)
    (call,), (request,) = world.journal.of("call"), world.journal.of("request")
    assert (call.status, call.prompt, call.reply, call.input_tokens) == ("ok", "hello", "hi", 10)
    assert (request.status, request.model, request.strategy, request.calls) == ("ok", "fake/small", "fixed", 1)
    assert call.request_id == request.request_id


async def test_the_same_question_is_paid_once_and_again_when_fresh(make_world: MakeWorld) -> None:
    provider = FakeProvider(lambda request: "hi")
    world = make_world(provider)
    run = world.context()
    await answer(a_request(), run, Tally())
    second = await answer(a_request(), run, Tally())
    assert (second.cache, second.billed_usd, second.text) == ("exact", 0.0, "hi")
    assert second.cost_usd == pytest.approx(PAID)
    await answer(a_request(), world.context(fresh=True), Tally())
    await answer(a_request(cache=False), run, Tally())
    assert len(provider.requests) == 3


async def test_the_cache_outlives_the_process(make_world: MakeWorld) -> None:
    first = make_world(FakeProvider(lambda request: "hi"))
    await answer(a_request(), first.context(), Tally())
    await first.services.cache.flush()
    provider = FakeProvider(lambda request: "never asked")
    second = make_world(provider, store=first.store)
    assert (await answer(a_request(), second.context(), Tally())).text == "hi"
    assert provider.requests == []


@pytest.mark.parametrize(
    "other",
    [
        {"system": "Be brief."},
        {"temperature": 0.5},
        {"max_tokens": 7},
        {"model": "strong"},
        {"sample": 0, "output": SCHEMA},
    ],
)
async def test_a_question_that_differs_in_anything_is_another_one(make_world: MakeWorld, other: dict[str, Any]) -> None:
    provider = FakeProvider(lambda request: '{"value": 1}')
    run = make_world(provider).context()
    await answer(a_request(), run, Tally())
    await answer(a_request(**other), run, Tally())
    assert len(provider.requests) == 2


async def test_of_many_who_ask_the_same_at_once_one_pays(make_world: MakeWorld) -> None:
    async def slowly(request: Request) -> Any:
        await asyncio.sleep(0.01)
        return "hi"

    provider = FakeProvider(slowly)
    run = make_world(provider).context()
    replies = await asyncio.gather(*(answer(a_request(), run, Tally()) for _ in range(50)))
    assert len(provider.requests) == 1
    assert sum(reply.billed_usd for reply in replies) == pytest.approx(PAID)
    assert [reply.cache for reply in replies].count("exact") == 49


async def test_when_the_one_who_pays_is_cancelled_the_next_one_pays(make_world: MakeWorld) -> None:
    gate = asyncio.Event()

    async def slowly(request: Request) -> Any:
        await gate.wait()
        return "hi"

    provider = FakeProvider(slowly)
    run = make_world(provider).context()
    first, second = (asyncio.ensure_future(answer(a_request(), run, Tally())) for _ in range(2))
    await settle()
    first.cancel()
    gate.set()
    assert (await second).text == "hi"
    assert len(provider.requests) == 2
    assert first.cancelled()


async def test_a_failure_that_may_pass_is_tried_again_and_each_attempt_kept(make_world: MakeWorld) -> None:
    world = make_world(FakeProvider(raising(RateLimitedError("slow down", http_status=429), OverloadedError("busy"))))
    run = world.context()
    assert (await answer(a_request(), run, Tally())).text == "fine"
    (call,) = world.journal.of("call")
    assert [(attempt.number, attempt.error_type) for attempt in call.attempts] == [
        (1, "RateLimitedError"),
        (2, "OverloadedError"),
        (3, None),
    ]
    assert call.attempts[0].http_status == 429
    assert run.budget.spent_usd == pytest.approx(PAID)
    assert run.progress.retries == 2


async def test_what_may_have_been_billed_counts_as_billed_at_its_most(make_world: MakeWorld) -> None:
    lost = ConnectionLostError("reset", billing="unknown")
    world, tally = make_world(FakeProvider(raising(lost))), Tally()
    run = world.context()
    await answer(a_request(), run, tally)
    (call,) = world.journal.of("call")
    assert call.bill_unknown
    assert call.billed_usd > call.cost_usd == pytest.approx(PAID)
    assert run.budget.spent_usd == pytest.approx(call.billed_usd) == pytest.approx(tally.billed_usd)


async def test_a_reply_that_cannot_be_used_is_paid_as_what_it_took(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    took = Usage(input_tokens=10, output_tokens=5)
    useless = MalformedReplyError("no words", billing="yes", usage=took)
    world, tally = make_world(FakeProvider(raising(useless))), Tally()
    run, ended = world.context(), Turn.ended
    told: list[int] = []

    def noted(turn: Turn, *error: Any, tokens: int = 0, **more: Any) -> None:
        told.append(tokens)
        ended(turn, *error, tokens=tokens, **more)

    monkeypatch.setattr(Turn, "ended", noted)
    await answer(a_request(), run, tally)
    (call,) = world.journal.of("call")
    assert [attempt.error_type for attempt in call.attempts] == ["MalformedReplyError", None]
    assert (call.status, call.bill_unknown, call.input_tokens, call.output_tokens) == ("ok", False, 20, 10)
    assert call.billed_usd == call.cost_usd == pytest.approx(2 * PAID)
    assert run.budget.spent_usd == tally.billed_usd == run.progress.billed_usd == pytest.approx(2 * PAID)
    assert run.budget.held_usd == 0
    assert told == [15, 15], "limits count what it took, too"


async def test_a_refusal_is_a_failed_call_that_is_paid_as_what_it_took(make_world: MakeWorld) -> None:
    took = Usage(input_tokens=10, output_tokens=5)
    refusal = ContentRefusedError("I won't.", billing="yes", usage=took)
    world, tally = make_world(FakeProvider(raising(refusal))), Tally()
    run = world.context()
    with pytest.raises(ContentRefusedError):
        await answer(a_request(), run, tally)
    (call,) = world.journal.of("call")
    assert (call.status, call.error_type, call.bill_unknown) == ("failed", "ContentRefusedError", False)
    assert (call.input_tokens, call.output_tokens, call.input_usd_per_mtok) == (10, 5, 1.0)
    assert call.billed_usd == call.cost_usd == run.budget.spent_usd == tally.cost_usd == pytest.approx(PAID)


async def test_a_call_that_never_succeeds_is_recorded_as_failed(make_world: MakeWorld) -> None:
    world = make_world(FakeProvider(raising(*[CallTimeoutError("too slow", phase="first token")] * 9)))
    with pytest.raises(CallTimeoutError):
        await answer(a_request(), world.context(), Tally())
    (call,), (request,) = world.journal.of("call"), world.journal.of("request")
    assert (call.status, call.error_type) == ("failed", "CallTimeoutError (first token)")
    assert len(call.attempts) == 5
    assert (request.status, request.model) == ("failed", None)


async def test_a_reply_that_does_not_fit_is_asked_again_with_what_is_wrong_and_both_are_paid(
    make_world: MakeWorld,
) -> None:
    replies = iter(["seven", '{"value": 7}'])
    provider = FakeProvider(lambda request: next(replies))
    world, tally = make_world(provider), Tally()
    reply = await answer(a_request(output=SCHEMA), world.context(), tally)
    assert reply.value == 7
    assert tally.cost_usd == pytest.approx(2 * PAID)
    again = provider.requests[1].messages
    assert [message.role for message in again] == ["user", "assistant", "user"]
    assert "seven" in again[1].text
    assert "whole number" in again[2].text


async def test_a_model_that_never_fits_is_asked_three_times(make_world: MakeWorld) -> None:
    provider = FakeProvider(lambda request: "seven")
    with pytest.raises(SchemaNotMetError):
        await answer(a_request(output=SCHEMA), make_world(provider).context(), Tally())
    assert len(provider.requests) == 3


async def test_a_reply_cut_at_max_tokens_is_not_asked_for_again(make_world: MakeWorld) -> None:
    provider = FakeProvider(
        lambda request: RawReply(text='{"val', usage=Usage(output_tokens=3), finish_reason="length")
    )
    with pytest.raises(SchemaNotMetError, match="cut at max_tokens=1024"):
        await answer(a_request(output=SCHEMA), make_world(provider).context(), Tally())
    assert len(provider.requests) == 1


async def test_a_refused_key_is_not_tried_again_in_the_same_run(make_world: MakeWorld) -> None:
    provider = FakeProvider(raising(*[NotAuthorisedError("bad key")] * 9))
    run = make_world(provider).context()
    for prompt in ("a", "b", "c"):
        with pytest.raises(NotAuthorisedError):
            await answer(a_request(prompt), run, Tally())
    assert len(provider.requests) == 1


async def test_a_call_that_could_pass_the_budget_is_not_sent(make_world: MakeWorld) -> None:
    provider = FakeProvider(lambda request: "hi")
    world = make_world(provider)
    run = world.context(budget=0.0001)
    with pytest.raises(OverBudgetError):
        await answer(a_request(), run, Tally())
    assert provider.requests == []
    (asked,) = world.journal.of("request")
    assert asked.error_type == "OverBudgetError"
    assert (asked.calls, run.progress.calls, world.journal.of("call")) == (0, 0, []), "what was not sent is no call"


async def test_who_stood_in_for_whom_is_recorded_and_an_ask_that_sent_nothing_is_no_call(make_world: MakeWorld) -> None:
    def respond(request: Request) -> str:
        if request.prompt == "hard" and len(provider.requests) <= 1:
            raise NotAuthorisedError("no such key")
        return "fine"

    provider = FakeProvider(respond)
    world = make_world(provider)
    run = world.context(strategy=fallback("fast", "strong"))
    for prompt in ("hard", "harder"):  # the second finds that the run asks the first model no more
        assert (await answer(a_request(prompt), run, Tally())).instead_of == "fast"
    first, second = world.journal.of("request")
    assert (first.instead_of, first.model, first.calls) == ("fake/small", "fake/large", 2)
    assert (second.instead_of, second.model, second.calls) == ("fake/small", "fake/large", 1)
    assert [call.model for call in world.journal.of("call")] == ["fake/small", "fake/large", "fake/large"]
    assert run.progress.calls == len(provider.requests) == 3


async def test_an_alias_of_the_model_itself_stands_in_for_nobody(make_world: MakeWorld) -> None:
    provider = FakeProvider(raising(OverloadedError("busy"), OverloadedError("busy"), then="fine"))
    world = make_world(provider, retry=RetryPolicy(attempts=1))
    await answer(a_request(), world.context(strategy=fallback("fast", "medium", "fake/small")), Tally())
    assert world.journal.of("request")[0].instead_of is None


async def test_a_model_without_a_price_is_refused(make_world: MakeWorld) -> None:
    world = make_world(FakeProvider(lambda request: "hi"))
    world.services.catalog.open_providers = frozenset({"fake"})
    with pytest.raises(PriceUnknownError, match="fake/new") as caught:
        await answer(a_request(model="fake/new"), world.context(), Tally())
    assert "orchestrate.toml" in caught.value.hint


async def test_a_cancelled_call_is_recorded_and_its_money_settled(make_world: MakeWorld) -> None:
    async def hang(request: Request) -> Any:
        await asyncio.Event().wait()

    world = make_world(FakeProvider(hang))
    run = world.context()
    task = asyncio.ensure_future(answer(a_request(), run, Tally()))
    await settle()
    assert run.progress.in_flight == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (call,) = world.journal.of("call")
    assert (call.status, call.bill_unknown, run.progress.in_flight) == ("cancelled", True, 0)
    assert run.budget.held_usd == 0
    assert run.budget.spent_usd == call.billed_usd > 0


async def test_a_call_cancelled_before_its_turn_costs_nothing(make_world: MakeWorld) -> None:
    async def hang(request: Request) -> Any:
        await asyncio.Event().wait()

    run = make_world(FakeProvider(hang)).context(concurrency=1)
    first, second = (asyncio.ensure_future(answer(a_request(prompt), run, Tally())) for prompt in "ab")
    await settle()
    held = run.budget.held_usd
    second.cancel()
    await settle()
    assert run.budget.spent_usd == 0
    assert run.budget.held_usd == pytest.approx(held / 2)
    first.cancel()
    await settle()


async def test_no_more_calls_are_in_flight_than_allowed(make_world: MakeWorld) -> None:
    seen = []

    async def slowly(request: Request) -> Any:
        seen.append(run.progress.in_flight)
        await asyncio.sleep(0)
        return "hi"

    run = make_world(FakeProvider(slowly)).context(concurrency=3)
    await asyncio.gather(*(answer(a_request(str(number)), run, Tally()) for number in range(40)))
    assert max(seen) == 3


async def test_a_reply_that_cannot_be_journalled_is_not_handed_on(make_world: MakeWorld) -> None:
    world = make_world(FakeProvider(lambda request: "hi"), journal=MemoryJournal(full_after=0))
    with pytest.raises(JournalWriteError):
        await answer(a_request(), world.context(), Tally())
    assert world.store.entries == {}


async def test_what_a_strategy_leaves_behind_is_cancelled(make_world: MakeWorld) -> None:
    async def slow_if_large(request: Request) -> Any:
        if request.origin and "fake/large" in log:
            await asyncio.Event().wait()
        return "hi"

    log = []

    async def hasty(request: Request, ask: Ask) -> Any:
        log.append("fake/large")
        left_behind = asyncio.ensure_future(ask("strong"))
        await settle()
        log.clear()
        reply = await ask("fast")
        assert not left_behind.done()
        return reply

    world = make_world(FakeProvider(slow_if_large))
    run = world.context(strategy=hasty)
    assert (await answer(a_request(), run, Tally())).model == "fake/small"
    assert sorted(call.status for call in world.journal.of("call")) == ["cancelled", "ok"]
    assert world.journal.of("request")[0].calls == 2


async def test_the_number_of_the_sample_reaches_the_provider(make_world: MakeWorld) -> None:
    async def thrice(request: Request, ask: Ask) -> Any:
        replies = [await ask("fast", sample=number) for number in (0, 1, 2, 1)]
        assert [reply.text for reply in replies] == ["answer 0", "answer 1", "answer 2", "answer 1"]
        return replies[0]

    provider = FakeProvider(lambda request: f"answer {request.sample}")
    await answer(a_request(), make_world(provider).context(strategy=thrice), Tally())
    assert [request.sample for request in provider.requests] == [0, 1, 2]


async def test_a_recorded_cost_counts_instead_of_tokens_and_price(make_world: MakeWorld) -> None:
    recorded = RawReply(text="hi", usage=Usage(input_tokens=10, output_tokens=5), cost_usd=0.75)
    world, tally = make_world(FakeProvider(lambda request: recorded)), Tally()
    run = world.context()
    reply = await answer(a_request(), run, tally)
    assert reply.cost_usd == reply.billed_usd == tally.cost_usd == run.budget.spent_usd == 0.75
    again = await answer(a_request(), run, tally)
    assert (again.cache, again.cost_usd, again.billed_usd, run.budget.spent_usd) == ("exact", 0.75, 0.0, 0.75)
    for call in world.journal.of("call"):
        assert (call.cost_usd, call.input_tokens) == (0.75, 10)
        assert call.input_usd_per_mtok is call.output_usd_per_mtok is None  # it was not reckoned with that price
    await world.services.cache.flush()
    kept = make_world(FakeProvider(lambda request: "never asked"), store=world.store)
    assert (await answer(a_request(), kept.context(), Tally())).cost_usd == 0.75


async def test_a_recorded_cost_that_the_price_makes_keeps_its_price(make_world: MakeWorld) -> None:
    recorded = RawReply(text="hi", usage=Usage(input_tokens=10, output_tokens=5), cost_usd=PAID)
    world = make_world(FakeProvider(lambda request: recorded))
    await answer(a_request(), world.context(), Tally())
    (call,) = world.journal.of("call")
    assert (call.cost_usd, call.input_usd_per_mtok, call.output_usd_per_mtok) == (PAID, 1.0, 2.0)


async def test_recorded_costs_of_replies_that_do_not_fit_add_up(make_world: MakeWorld) -> None:
    texts = ["no", '{"value": 3}']
    provider = FakeProvider(lambda request: RawReply(text=texts.pop(0), usage=Usage(input_tokens=1), cost_usd=0.25))
    world = make_world(provider)
    run = world.context()
    reply = await answer(a_request(output=SCHEMA), run, Tally())
    assert (reply.value, reply.cost_usd, run.budget.spent_usd) == (3, 0.5, 0.5)


async def test_a_strategy_that_returns_no_reply_is_told_so(make_world: MakeWorld) -> None:
    async def forgetful(request: Request, ask: Ask) -> Any:
        await ask("fast")

    with pytest.raises(StepError, match="'forgetful' returned NoneType"):
        await answer(a_request(), make_world(FakeProvider(lambda request: "hi")).context(strategy=forgetful), Tally())


async def test_listeners_hear_of_everything_after_it_is_journalled(make_world: MakeWorld) -> None:
    world = make_world(FakeProvider(lambda request: "hi"))
    heard = []
    run = world.context(listeners=[lambda event: heard.append((event.event, len(world.journal.events)))])
    await answer(a_request(), run, Tally())
    assert heard == [("call", 1), ("request", 2)]
