"""A budget is never passed, whatever comes together."""

from __future__ import annotations

import asyncio
import random

import pytest

from orchestration_nb.cost.budget import Budget, dollars
from orchestration_nb.errors import OverBudgetError
from orchestration_nb.testing import settle


async def test_what_cannot_fit_is_refused_with_the_way_out() -> None:
    budget = Budget(1.0)
    (await budget.reserve(0.9)).settle(0.9)
    with pytest.raises(OverBudgetError, match=r"\$0\.9 is spent and the call could cost up to \$0\.2\.") as caught:
        await budget.reserve(0.2)
    assert "--budget" in caught.value.hint


@pytest.mark.parametrize(
    ("usd", "said"),
    [
        (1234.5, "$1,234.50"),
        (2.0, "$2.00"),
        (0.0, "$0.00"),
        (0.25, "$0.25"),
        (0.00456, "$0.0046"),
        (0.0000071, "$0.000007"),
    ],
)
def test_a_sum_in_a_sentence_is_never_rounded_to_nothing(usd: float, said: str) -> None:
    assert dollars(usd) == said


async def test_a_call_that_only_open_holds_stand_against_waits_for_them() -> None:
    budget = Budget(1.0)
    hold = await budget.reserve(0.8)
    waiting = asyncio.ensure_future(budget.reserve(0.5))
    await settle()
    assert not waiting.done()
    hold.settle(0.1)
    assert (await waiting).usd == 0.5


async def test_a_release_gives_everything_back() -> None:
    budget = Budget(1.0)
    (await budget.reserve(1.0)).release()
    assert (await budget.reserve(1.0)).usd == 1.0
    assert budget.spent_usd == 0.0


async def test_a_waiter_that_becomes_hopeless_is_refused_and_the_next_one_served() -> None:
    budget = Budget(1.0)
    hold = await budget.reserve(0.9)
    dear, cheap = (asyncio.ensure_future(budget.reserve(usd)) for usd in (0.6, 0.2))
    await settle()
    hold.settle(0.7)
    await settle()
    assert isinstance(dear.exception(), OverBudgetError)
    assert cheap.result().usd == 0.2


async def test_a_cancelled_waiter_does_not_hold_up_the_queue() -> None:
    budget = Budget(1.0)
    hold = await budget.reserve(0.9)
    first, second = (asyncio.ensure_future(budget.reserve(usd)) for usd in (0.9, 0.1))
    await settle()
    first.cancel()
    hold.settle(0.9)
    assert (await asyncio.wait_for(second, 1)).usd == 0.1


async def test_a_waiter_cancelled_in_the_moment_it_is_woken_wakes_the_next() -> None:
    budget = Budget(1.0)
    hold = await budget.reserve(1.0)
    first, second = (asyncio.ensure_future(budget.reserve(1.0)) for _ in range(2))
    await settle()
    hold.release()
    first.cancel()
    assert (await asyncio.wait_for(second, 1)).usd == 1.0


async def test_a_hold_is_ended_once() -> None:
    hold = await Budget(1.0).reserve(0.5)
    hold.settle(0.2)
    with pytest.raises(AssertionError):
        hold.release()


async def test_a_thousand_calls_at_once_never_spend_more_than_the_limit() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    budget, most_seen = Budget(1.0), 0.0
    ended = {"paid": 0, "refused": 0, "cancelled": 0}

    async def call() -> None:
        nonlocal most_seen
        most = dice.uniform(0.0005, 0.01)
        try:
            hold = await budget.reserve(most)
        except OverBudgetError:
            ended["refused"] += 1
            return
        try:
            for _ in range(dice.randrange(5)):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            hold.settle(most)
            ended["cancelled"] += 1
            raise
        most_seen = max(most_seen, budget.spent_usd + budget.held_usd)
        if dice.random() < 0.1:
            hold.release()
        else:
            hold.settle(dice.uniform(0, most))
            ended["paid"] += 1

    tasks = [asyncio.ensure_future(call()) for _ in range(1000)]
    for task in dice.sample(tasks, 50):
        asyncio.get_running_loop().call_soon(task.cancel)
    await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
    assert most_seen <= 1.0 + 1e-9
    assert budget.spent_usd <= 1.0 + 1e-9
    assert budget.held_usd == 0.0
    assert ended["paid"] > 100
    assert ended["refused"] > 100
