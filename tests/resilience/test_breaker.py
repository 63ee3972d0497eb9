"""When a model is left alone, probed and used again."""

from __future__ import annotations

import asyncio
import random
import timeit
from typing import Any

import pytest

from orchestration_nb.errors import (
    AllModelsUnavailableError,
    BadRequestError,
    CallTimeoutError,
    ConnectionLostError,
    ContentRefusedError,
    ContextTooLongError,
    MalformedReplyError,
    ModelUnavailableError,
    NotAuthorisedError,
    OverloadedError,
    RateLimitedError,
    SchemaNotMetError,
    ServerFailedError,
    TruncatedReplyError,
)
from orchestration_nb.events import CircuitChanged
from orchestration_nb.resilience import BreakerPolicy, Breakers, Permit
from orchestration_nb.testing import ManualClock, settle

A, B = "openai/a", "anthropic/b"
POLICY = BreakerPolicy(failure_rate=0.5, window_s=30, min_calls=20, probe_after_s=10)


class Shop:
    """Breakers on a clock that is moved by hand, and what they told."""

    def __init__(self, policy: BreakerPolicy = POLICY) -> None:
        self.clock = ManualClock()
        self.told: list[CircuitChanged] = []
        self.breakers = Breakers(policy, self.clock, self.told.append)

    def ends(self, model: str, error: BaseException | None) -> None:
        permit = self.breakers.permit_now(model)
        assert permit is not None
        if error is None:
            permit.succeeded()
        else:
            permit.failed(error)

    def opened(self, *models: str) -> Shop:
        for model in models:
            for _ in range(20):
                self.ends(model, OverloadedError("busy"))
            assert self.state(model) == "open"
        return self

    def state(self, model: str = A) -> str:
        return self.breakers.states()[model].state


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.mark.parametrize(
    "error",
    [
        OverloadedError("busy"),
        ServerFailedError("500"),
        CallTimeoutError("slow", phase="connect"),
        CallTimeoutError("slow", phase="between tokens"),
        ConnectionLostError("reset"),
        MalformedReplyError("?"),
        TruncatedReplyError("half"),
    ],
)
def test_what_speaks_against_a_model_opens_its_circuit_at_the_minimum_volume(shop: Shop, error: Any) -> None:
    for _ in range(19):
        shop.ends(A, error)
    assert shop.state() == "closed"
    shop.ends(A, error)
    assert shop.state() == "open"
    assert shop.breakers.permit_now(A) is None
    assert "20 of its last 20 attempts failed" in shop.told[0].reason
    assert type(error).__name__ in shop.told[0].reason


@pytest.mark.parametrize(
    "error",
    [
        RateLimitedError("slow down", http_status=429),
        SchemaNotMetError("no JSON", reply="x"),
        BadRequestError("what?", http_status=400),
        NotAuthorisedError("no", http_status=401),
        ContextTooLongError("long", http_status=400),
        ContentRefusedError("no", http_status=200),
        ValueError("a bug"),
        asyncio.CancelledError(),
    ],
)
def test_what_says_nothing_about_its_health_never_opens_it(shop: Shop, error: Any) -> None:
    for _ in range(500):
        shop.ends(A, error)
    assert shop.state() == "closed"


def test_a_certificate_that_cannot_be_trusted_is_no_outage(shop: Shop) -> None:
    error = ConnectionLostError("no certificate")
    error.retryable = False  # as the wire raises it
    for _ in range(100):
        shop.ends(A, error)
    assert shop.state() == "closed"


@pytest.mark.parametrize("share", [0.2, 0.3])
def test_a_fifth_or_a_third_of_failures_does_not_open_it(shop: Shop, share: float, dice: random.Random) -> None:
    for _ in range(3000):
        shop.ends(A, ConnectionLostError("reset") if dice.random() < share else None)
    assert [event.state for event in shop.told] == []


def test_an_outage_after_many_good_calls_is_seen_after_some_dozens(shop: Shop) -> None:
    for _ in range(5000):
        shop.ends(A, None)
    failures = 0
    while shop.state() == "closed":
        shop.ends(A, OverloadedError("busy"))
        failures += 1
    assert failures <= 30


async def test_failures_that_come_back_before_the_answers_are_not_taken_for_all_there_is(shop: Shop) -> None:
    """200 sent at once: 40 are reset at once, 160 are answered a second later."""
    permits = [shop.breakers.permit_now(A) for _ in range(200)]
    for permit in permits[::5]:
        permit.failed(ConnectionLostError("reset"))  # type: ignore[union-attr]
    assert shop.state() == "closed"
    await shop.clock.advance(1)
    for number, permit in enumerate(permits):
        if number % 5:
            permit.succeeded()  # type: ignore[union-attr]
    assert shop.told == []


async def test_timeouts_that_run_out_together_are_not_taken_for_all_there_is(shop: Shop) -> None:
    """32 at a time, a fifth of which fall silent: soon all that is under way is silent, and ends at the same moment."""
    for _ in range(20):
        silent: list[Permit] = []
        number = 0
        while len(silent) < 32:
            permit = shop.breakers.permit_now(A)
            assert permit is not None
            number += 1
            if number % 5:
                permit.succeeded()
            else:
                silent.append(permit)
        await shop.clock.advance(60)
        for permit in silent:
            permit.failed(CallTimeoutError("silent", phase="total"))
    assert shop.told == []


async def test_a_model_that_falls_silent_is_noticed_when_the_first_timeouts_run_out(shop: Shop) -> None:
    for _ in range(500):
        shop.ends(A, None)
    permits = [shop.breakers.permit_now(A) for _ in range(32)]
    await shop.clock.advance(60)
    for permit in permits:
        permit.failed(CallTimeoutError("silent", phase="total"))  # type: ignore[union-attr]
    assert shop.state() == "open"


def test_many_in_flight_do_not_hide_an_outage(shop: Shop) -> None:
    """1,000 in flight all the time, and every one fails."""
    permits = [shop.breakers.permit_now(A) for _ in range(1000)]
    ended = 0
    while shop.state() == "closed":
        permits.append(shop.breakers.permit_now(A))
        permits[ended].failed(ServerFailedError("500"))  # type: ignore[union-attr]
        ended += 1
        assert ended < 100


async def test_failures_that_are_long_past_do_not_count(shop: Shop) -> None:
    for _ in range(19):
        shop.ends(A, OverloadedError("busy"))
    await shop.clock.advance(31)
    for _ in range(19):
        shop.ends(A, OverloadedError("busy"))
    assert shop.state() == "closed"
    shop.ends(A, OverloadedError("busy"))
    assert shop.state() == "open"


async def test_open_then_one_probe_then_closed_and_each_change_is_told(shop: Shop) -> None:
    shop.opened(A)
    await shop.clock.advance(9.9)
    assert shop.breakers.permit_now(A) is None
    await shop.clock.advance(0.1)
    probe = shop.breakers.permit_now(A)
    assert probe is not None
    assert all(shop.breakers.permit_now(A) is None for _ in range(1000))
    probe.succeeded()
    assert shop.breakers.permit_now(A) is not None
    assert [event.state for event in shop.told] == ["open", "half_open", "closed"]
    assert shop.told[0].failure_rate == 1.0
    assert shop.told[0].attempts == 20
    assert (shop.told[1].changed_at - shop.told[0].changed_at).total_seconds() == 10
    assert shop.breakers.states()[A].attempts == 0, "what was before the outage is forgotten"


async def test_a_probe_that_fails_opens_it_again_for_the_same_time(shop: Shop) -> None:
    shop.opened(A)
    for _ in range(3):
        await shop.clock.advance(10)
        shop.ends(A, ServerFailedError("500"))
        assert shop.state() == "open"
        assert shop.breakers.states()[A].probe_in_s == pytest.approx(10)
    assert "probed it failed (ServerFailedError)" in shop.breakers.states()[A].reason


@pytest.mark.parametrize(
    "error", [RateLimitedError("slow down", http_status=429), SchemaNotMetError("no JSON", reply="x")]
)
async def test_a_probe_that_is_answered_anyhow_closes_it(shop: Shop, error: Any) -> None:
    shop.opened(A)
    await shop.clock.advance(10)
    shop.ends(A, error)
    assert shop.state() == "closed"


@pytest.mark.parametrize("how", ["abandoned", "cancelled", "not sent"])
async def test_a_probe_that_was_given_up_frees_its_place(shop: Shop, how: str) -> None:
    shop.opened(A)
    await shop.clock.advance(10)
    probe = shop.breakers.permit_now(A)
    assert probe is not None
    waiting = asyncio.ensure_future(shop.breakers.permit(A))
    await settle()
    if how == "abandoned":
        probe.abandoned()
    else:
        probe.failed(asyncio.CancelledError() if how == "cancelled" else BadRequestError("a header"))
    next_probe = await waiting
    assert shop.breakers.permit_now(A) is None
    next_probe.succeeded()
    assert shop.state() == "closed"


async def test_what_began_before_the_circuit_opened_says_nothing_about_the_time_after_it(shop: Shop) -> None:
    early = [shop.breakers.permit_now(A) for _ in range(100)]
    for permit in early[:60]:
        permit.failed(OverloadedError("busy"))  # type: ignore[union-attr]
    assert shop.state() == "open"
    early[60].succeeded()  # type: ignore[union-attr]
    assert shop.state() == "open"
    await shop.clock.advance(10)
    shop.ends(A, None)
    for permit in early[61:]:
        permit.failed(CallTimeoutError("slow", phase="total"))  # type: ignore[union-attr]
    assert shop.state() == "closed"


def test_a_permit_ends_once(shop: Shop) -> None:
    permit = shop.breakers.permit_now(A)
    assert permit is not None
    for _ in range(50):
        permit.failed(OverloadedError("busy"))
    permit.abandoned()
    assert shop.breakers.states()[A].attempts == 1


def test_each_model_has_a_circuit_of_its_own(shop: Shop) -> None:
    shop.opened(A)
    shop.ends(B, None)
    assert shop.breakers.permit_now(B) is not None
    assert {model: status.state for model, status in shop.breakers.states().items()} == {A: "open", B: "closed"}


async def test_who_does_not_wait_is_told_at_once_and_when_to_come_back(shop: Shop) -> None:
    shop.opened(A)
    await shop.clock.advance(4)
    with pytest.raises(ModelUnavailableError, match="20 of its last 20 attempts failed") as caught:
        await shop.breakers.permit(A, wait=False)
    assert caught.value.retry_after_s == pytest.approx(6)
    assert "6 s" in caught.value.hint
    assert caught.value.billing == "no"


async def test_a_thousand_who_wait_send_one_probe_and_go_on_when_it_is_answered(shop: Shop) -> None:
    shop.opened(A)
    waiting = [asyncio.ensure_future(shop.breakers.permit(A, deadline_s=300)) for _ in range(1000)]
    await settle()
    await shop.clock.advance(9.9)
    assert not any(each.done() for each in waiting)
    await shop.clock.advance(0.1)
    assert sum(each.done() for each in waiting) == 1
    probe = next(each for each in waiting if each.done())
    probe.result().failed(ServerFailedError("still down"))
    await shop.clock.advance(9.9)
    assert sum(each.done() for each in waiting) == 1
    await shop.clock.advance(0.1)
    assert sum(each.done() for each in waiting) == 2
    next(each for each in waiting if each.done() and each is not probe).result().succeeded()
    await settle()
    assert all(each.done() for each in waiting)


async def test_the_next_waits_in_turn_when_the_probe_is_cancelled(shop: Shop) -> None:
    shop.opened(A)
    await shop.clock.advance(10)
    for _ in range(5):
        waiting = asyncio.ensure_future(shop.breakers.permit(A))
        await settle()
        waiting.result().abandoned()
    assert shop.state() == "half_open"


async def test_nobody_waits_where_the_probe_is_due_after_the_deadline(shop: Shop) -> None:
    shop.opened(A)
    with pytest.raises(AllModelsUnavailableError, match="No more time is left"):
        await shop.breakers.permit(A, deadline_s=shop.clock.monotonic() + 9)
    assert shop.clock.slept_s == []


async def test_a_probe_that_takes_longer_than_the_deadline_is_not_waited_for(shop: Shop) -> None:
    shop.opened(A)
    await shop.clock.advance(10)
    assert shop.breakers.permit_now(A) is not None
    waiting = asyncio.ensure_future(shop.breakers.permit(A, deadline_s=shop.clock.monotonic() + 5))
    await settle()
    await shop.clock.advance(4.9)
    assert not waiting.done()
    await shop.clock.advance(0.2)
    with pytest.raises(AllModelsUnavailableError):
        await waiting


async def test_of_several_the_one_that_is_back_first_is_used(shop: Shop) -> None:
    shop.opened(A)
    await shop.clock.advance(3)
    shop.opened(B)  # due 3 s after A
    waiting = asyncio.ensure_future(shop.breakers.permit(A, instead=(B,)))
    await settle()
    await shop.clock.advance(7)
    waiting.result().failed(ServerFailedError("still down"))
    waiting = asyncio.ensure_future(shop.breakers.permit(A, instead=(B,)))
    await settle()
    await shop.clock.advance(3)
    with pytest.raises(ModelUnavailableError):
        await waiting
    assert shop.breakers.permit_now(B) is not None


async def test_all_of_several_are_named_when_no_time_is_left(shop: Shop) -> None:
    shop.opened(A, B)
    with pytest.raises(AllModelsUnavailableError, match="None of openai/a, anthropic/b"):
        await shop.breakers.permit(A, instead=(B,), deadline_s=shop.clock.monotonic() + 5)


async def test_who_gives_up_waiting_leaves_nothing_behind(shop: Shop) -> None:
    shop.opened(A)
    waiting = [asyncio.ensure_future(shop.breakers.permit(A)) for _ in range(50)]
    await settle()
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await settle()
    assert len(asyncio.all_tasks()) == 1
    await shop.clock.advance(10)
    assert shop.breakers.permit_now(A) is not None


def test_a_permit_of_a_healthy_model_costs_about_a_microsecond(shop: Shop) -> None:
    breakers, number = shop.breakers, 20_000

    def once() -> None:
        breakers.permit_now(A).succeeded()  # type: ignore[union-attr]

    spent_s = min(timeit.repeat(once, number=number, repeat=5))
    assert spent_s / number < 8e-6, "several times what it takes, so that a busy machine passes"
