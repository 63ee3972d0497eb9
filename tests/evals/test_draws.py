"""Each outcome of a strategy's random choices, with its chance."""

from __future__ import annotations

import pytest

from orchestration_nb.calls import Ask, Origin, Reply, Request, Usage
from orchestration_nb.catalog import Model
from orchestration_nb.errors import UsageError
from orchestration_nb.evals.bank import RecordedBank
from orchestration_nb.evals.draws import possible_draws
from orchestration_nb.evals.virtual_time import Fetch
from orchestration_nb.ids import CallId, RequestId, RunId
from orchestration_nb.messages import user

REQUEST = Request(
    id=RequestId("1"), origin=Origin(run_id=RunId("r"), flow="f", step="s", item=0), messages=(user("how?"),)
)


def telling(*recorded: str) -> Fetch:
    """Answers as these models do; of others no reply is recorded."""

    def find(model: Model, _request: Request) -> Reply | None:
        if model.wire_name not in recorded:
            return None
        return Reply(
            call_id=CallId(""),
            model=model.name,
            text="",
            value="",
            usage=Usage(),
            cost_usd=0,
            billed_usd=0,
            latency_ms=1,
        )

    async def nobody(model: str, **_: object) -> Reply:
        raise AssertionError(model)

    return RecordedBank(lambda name: Model(provider="p", wire_name=name), find).teller(REQUEST, nobody)


async def nested(request: Request, ask: Ask) -> Reply:
    first = request.choose({"a": 1, "b": 3, "never": 0})
    if first == "a":
        return await ask("a")
    try:
        return await ask(request.choose({"b": 0.5, "c": 0.5}))
    except Exception:  # noqa: BLE001 - what a missing reply must pass through
        return await ask("a")


def test_each_way_is_followed_with_the_product_of_its_chances() -> None:
    draws = possible_draws(nested, REQUEST, telling("a", "b"))
    assert {draw.asked[0].removeprefix("p/"): draw.chance for draw in draws} == {"a": 0.25, "b": 0.375, "c": 0.375}
    assert all(len(draw.asked) == 1 for draw in draws), "a missing reply is no failure that a strategy mends"
    assert sum(draw.chance for draw in draws) == pytest.approx(1.0)
    assert REQUEST.decision.propensity is None


def test_a_strategy_that_asks_on_is_followed_as_far_as_replies_are_there() -> None:
    async def both(request: Request, ask: Ask) -> Reply:
        await ask("a")
        return await ask("b")

    assert [draw.asked for draw in possible_draws(both, REQUEST, telling("a", "b"))] == [("p/a", "p/b")]
    assert [len(draw.asked) for draw in possible_draws(both, REQUEST, telling("b"))] == [1]


def test_endless_choices_are_refused() -> None:
    async def throwing(request: Request, ask: Ask) -> Reply:
        while request.choose({"a": 0.5, "b": 0.5}) == "a":
            pass
        for _ in range(9):
            request.choose({"a": 0.5, "b": 0.5})
        return await ask("a")

    with pytest.raises(UsageError, match="more than 64 ways"):
        possible_draws(throwing, REQUEST, telling("a"))
