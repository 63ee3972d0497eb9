"""Strategies on a clock of their own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import random
import threading
import time
from collections.abc import Callable, Collection

import pytest

from orchestration_nb.calls import Ask, Origin, Reply, Request, Usage
from orchestration_nb.errors import ModelUnavailableError
from orchestration_nb.evals.virtual_time import Alone, Banked, alone
from orchestration_nb.ids import CallId, RequestId, RunId
from orchestration_nb.messages import Message, Text

LATENCY_MS = {"fast": 100.0, "medium": 250.0, "strong": 1000.0}
USD = {"fast": 1.0, "medium": 3.0, "strong": 30.0}


def request() -> Request:
    return Request(
        id=RequestId("q"),
        origin=Origin(run_id=RunId("r"), flow="f", step="s", item=0),
        messages=(Message(role="user", parts=(Text("hello"),)),),
    )


def reply(model: str) -> Reply:
    return Reply(
        call_id=CallId("c"),
        model=f"sim/{model}",
        text=model,
        value=model,
        usage=Usage(),
        cost_usd=USD[model],
        billed_usd=0,
        latency_ms=LATENCY_MS[model],
    )


def banked(model: str) -> Banked:
    if model == "broken":
        return Banked(reply=None, error=ModelUnavailableError("It is away."), latency_ms=500, most_usd=0)
    return Banked(reply=reply(model), error=None, latency_ms=LATENCY_MS[model], most_usd=2 * USD[model])


def at_once(model: str, *, sample: int, wait: bool, instead: Collection[str]) -> concurrent.futures.Future[Banked]:
    future: concurrent.futures.Future[Banked] = concurrent.futures.Future()
    future.set_result(banked(model))
    return future


def late(model: str, *, sample: int, wait: bool, instead: Collection[str]) -> concurrent.futures.Future[Banked]:
    """Brings the answers in any order of real time."""
    future: concurrent.futures.Future[Banked] = concurrent.futures.Future()
    threading.Timer(random.random() / 50, lambda: future.set_result(banked(model))).start()
    return future


FETCHES = pytest.mark.parametrize("fetch", [at_once, late])


async def one(request: Request, ask: Ask) -> Reply:
    return await ask("strong")


async def both(request: Request, ask: Ask) -> Reply:
    return (await asyncio.gather(ask("fast"), ask("medium")))[0]


async def chain(request: Request, ask: Ask) -> Reply:
    await ask("fast")
    return await ask("strong")


async def hedged(request: Request, ask: Ask) -> Reply:
    first = asyncio.ensure_future(ask("strong"))
    done, _ = await asyncio.wait({first}, timeout=0.3)
    if done:
        return first.result()
    second = asyncio.ensure_future(ask("medium"))
    done, left = await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    return done.pop().result()


async def impatient(request: Request, ask: Ask) -> Reply:
    try:
        async with asyncio.timeout(0.2):
            return await ask("strong")
    except TimeoutError:
        return await ask("fast")


async def resting(request: Request, ask: Ask) -> Reply:
    await asyncio.sleep(3600)
    return await ask("fast")


async def leaving(request: Request, ask: Ask) -> Reply:
    asyncio.ensure_future(ask("strong"))  # noqa: RUF006 - that is what is tried
    return await ask("fast")


@FETCHES
@pytest.mark.parametrize(
    ("strategy", "model", "latency_ms", "cost_usd", "asked"),
    [
        (one, "strong", 1000, 30, [("strong", False)]),
        (both, "fast", 250, 4, [("fast", False), ("medium", False)]),
        (chain, "strong", 1100, 31, [("fast", False), ("strong", False)]),
        (hedged, "medium", 550, 63, [("strong", True), ("medium", False)]),
        (impatient, "fast", 300, 61, [("strong", True), ("fast", False)]),
        (resting, "fast", 3_600_100, 1, [("fast", False)]),
        (leaving, "fast", 100, 61, [("fast", False), ("strong", True)]),
    ],
)
def test_costs_and_takes_what_it_would_have_alone(
    fetch: Callable[..., concurrent.futures.Future[Banked]],
    strategy: Callable[[Request, Ask], object],
    model: str,
    latency_ms: float,
    cost_usd: float,
    asked: list[tuple[str, bool]],
) -> None:
    began_s = time.monotonic()
    came = alone(strategy, request(), fetch)
    assert time.monotonic() - began_s < 60
    assert came.reply is not None
    assert came.reply.text == model
    assert came.latency_ms == pytest.approx(latency_ms)
    assert came.cost_usd == pytest.approx(cost_usd)
    assert [(each.model.removeprefix("sim/"), each.cancelled) for each in came.asked] == asked


@FETCHES
def test_a_failure_takes_its_time_and_can_be_caught(fetch: Callable[..., concurrent.futures.Future[Banked]]) -> None:
    async def stubborn(request: Request, ask: Ask) -> Reply:
        try:
            return await ask("broken")
        except ModelUnavailableError:
            return await ask("fast")

    async def plain(request: Request, ask: Ask) -> Reply:
        return await ask("broken")

    assert alone(stubborn, request(), fetch).latency_ms == pytest.approx(600)
    came = alone(plain, request(), fetch)
    assert isinstance(came.error, ModelUnavailableError)
    assert came.reply is None
    assert came.latency_ms == pytest.approx(500)


def test_work_in_a_thread_takes_no_time() -> None:
    async def thinking(request: Request, ask: Ask) -> Reply:
        await asyncio.to_thread(time.sleep, 0.05)
        return await ask("fast")

    assert alone(thinking, request(), at_once).latency_ms == pytest.approx(100)


def test_what_never_comes_is_said() -> None:
    async def lost(request: Request, ask: Ask) -> Reply:
        await asyncio.get_running_loop().create_future()
        return await ask("fast")

    async def nothing(request: Request, ask: Ask) -> None:
        await ask("fast")

    assert "waits for something that never comes" in str(alone(lost, request(), at_once).error)
    assert "returned NoneType, not a reply" in str(alone(nothing, request(), at_once).error)


def test_an_answer_that_is_called_off_ends_the_strategy() -> None:
    def called_off(model: str, *, sample: int, wait: bool, instead: object) -> concurrent.futures.Future[Banked]:
        future: concurrent.futures.Future[Banked] = concurrent.futures.Future()
        threading.Timer(0.01, future.cancel).start()
        return future

    came = alone(one, request(), called_off)
    assert isinstance(came.error, asyncio.CancelledError)
    assert came.cost_usd == 0


def test_a_thousand_on_many_threads_do_not_disturb_each_other() -> None:
    strategies = {one: 30, both: 4, chain: 31, hedged: 63}
    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        came = {
            strategy: [threads.submit(alone, strategy, request(), at_once) for _ in range(250)]
            for strategy in strategies
        }
    for strategy, cost_usd in strategies.items():
        alones: list[Alone] = [future.result() for future in came[strategy]]
        assert {each.cost_usd for each in alones} == {cost_usd}


def test_what_the_strategy_raises_is_handed_on() -> None:
    async def careless(request: Request, ask: Ask) -> Reply:
        raise ValueError("mine")

    came = alone(careless, request(), at_once)
    assert isinstance(came.error, ValueError)
    assert str(came.error) == "mine"
