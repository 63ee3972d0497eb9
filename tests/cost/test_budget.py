"""A run's budget is never passed, whatever comes together."""

from __future__ import annotations

import asyncio
import random

import pytest

from orchestration_nb.cost.budget import RunBudget, dollars
from orchestration_nb.errors import OverBudgetError, StateError, UsageError
from orchestration_nb.state.desk import LOOK_S
from orchestration_nb.testing import settle
from tests.cost.conftest import Begin, Process


async def standing(run: RunBudget) -> tuple[float, float]:
    """What is spent and held of the run's own budget."""
    own = (await run.standings())[0]
    return own.spent, own.held


async def test_what_cannot_fit_is_refused_with_the_way_out(process: Process) -> None:
    run = process.run(1.0)
    (await run.reserve(0.9)).settle(0.9)
    with pytest.raises(OverBudgetError, match=r"\$0\.9 is spent and the call could cost up to \$0\.2\.") as caught:
        await run.reserve(0.2)
    assert "--budget" in caught.value.hint
    assert caught.value.budget == "run"
    assert not caught.value.pauses


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


async def test_a_budget_is_spent_to_the_last_cent(process: Process) -> None:
    run = process.run(1.0)
    for _ in range(10):
        (await run.reserve(0.1)).settle(0.1)
    assert await standing(run) == (1.0, 0.0)
    with pytest.raises(OverBudgetError):
        await run.reserve(1e-11)


async def test_what_costs_nothing_is_never_refused(process: Process) -> None:
    run = process.run(0.0)
    (await run.reserve(0.0)).settle(0.0)
    with pytest.raises(OverBudgetError):
        await run.reserve(0.000001)


async def test_two_runs_share_no_budget(process: Process) -> None:
    one, two = process.run(1.0), process.run(1.0)
    (await one.reserve(1.0)).settle(1.0)
    assert (await two.reserve(1.0)).usd == 1.0


async def test_a_run_that_goes_on_with_another_shares_its_budget(begin: Begin) -> None:
    first = begin()
    (await first.run(1.0, root="first").reserve(0.7)).settle(0.7)
    await first.desk.flush()
    second = begin().run(1.0, root="first")
    with pytest.raises(OverBudgetError, match=r"\$0\.7 is spent"):
        await second.reserve(0.4)
    assert (await second.reserve(0.3)).usd == 0.3


async def test_a_call_that_only_open_holds_stand_against_waits_for_them(process: Process) -> None:
    run = process.run(1.0)
    hold = await run.reserve(0.8)
    waiting = asyncio.ensure_future(run.reserve(0.5))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    hold.settle(0.1)
    assert (await asyncio.wait_for(waiting, 30)).usd == 0.5


async def test_what_another_process_holds_is_waited_for(begin: Begin) -> None:
    hold = await begin().run(1.0, root="same").reserve(0.8)
    waiting = asyncio.ensure_future(begin().run(1.0, root="same").reserve(0.5))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    hold.settle(0.1)
    assert (await asyncio.wait_for(waiting, 30)).usd == 0.5


async def test_a_release_gives_everything_back(process: Process) -> None:
    run = process.run(1.0)
    (await run.reserve(1.0)).release()
    assert (await run.reserve(1.0)).usd == 1.0
    assert (await standing(run))[0] == 0.0


async def test_a_waiter_that_becomes_hopeless_is_refused_and_the_next_one_served(process: Process) -> None:
    run = process.run(1.0)
    hold = await run.reserve(0.9)
    dear, cheap = (asyncio.ensure_future(run.reserve(usd)) for usd in (0.6, 0.2))
    await asyncio.sleep(0.01)
    hold.settle(0.7)
    assert (await asyncio.wait_for(cheap, 30)).usd == 0.2
    assert isinstance(dear.exception(), OverBudgetError)


async def test_a_dear_call_is_not_starved_by_cheap_ones(process: Process) -> None:
    run, served = process.run(1.0), []

    async def call(usd: float) -> None:
        hold = await run.reserve(usd)
        served.append(usd)
        await asyncio.sleep(0.01)
        hold.settle(0.0)

    calls = [asyncio.ensure_future(call(0.3)) for _ in range(3)]
    await asyncio.sleep(0)
    calls += [asyncio.ensure_future(call(usd)) for usd in (0.9, *[0.1] * 40)]
    await asyncio.wait_for(asyncio.gather(*calls), 30)
    assert served.index(0.9) == 3


async def test_who_waits_for_one_run_does_not_hold_up_another(process: Process) -> None:
    full, free = process.run(1.0), process.run(1.0)
    await full.reserve(1.0)
    waiting = asyncio.ensure_future(full.reserve(0.5))
    await asyncio.sleep(0.05)
    assert (await asyncio.wait_for(free.reserve(0.5), 30)).usd == 0.5
    waiting.cancel()


class TestCancelled:
    async def test_a_waiter_does_not_hold_up_the_line(self, process: Process) -> None:
        run = process.run(1.0)
        await run.reserve(0.8)
        first, second = (asyncio.ensure_future(run.reserve(usd)) for usd in (0.9, 0.1))
        await asyncio.sleep(0.05)
        assert not second.done()
        first.cancel()
        assert (await asyncio.wait_for(second, 30)).usd == 0.1

    @pytest.mark.parametrize("turns", range(6))
    async def test_a_call_leaves_nothing_behind_at_whatever_moment(self, process: Process, turns: int) -> None:
        run = process.run(1.0)
        call = asyncio.ensure_future(run.reserve(1.0))
        await settle(turns)
        call.cancel()
        [ended] = await asyncio.gather(call, return_exceptions=True)
        if not isinstance(ended, BaseException):
            ended.release()
        assert (await asyncio.wait_for(run.reserve(1.0), 30)).usd == 1.0
        assert await standing(run) == (0.0, 1.0)


async def test_a_hold_is_ended_once(process: Process) -> None:
    hold = await process.run(1.0).reserve(0.5)
    hold.settle(0.2)
    with pytest.raises(AssertionError):
        hold.release()


class TestReached:
    async def test_pause_says_that_the_run_waits(self, process: Process) -> None:
        with pytest.raises(OverBudgetError) as caught:
            await process.run(1.0, reached="pause").reserve(2.0)
        assert caught.value.pauses

    async def test_alert_lets_everything_pass(self, process: Process) -> None:
        run = process.run(1.0, reached="alert")
        for _ in range(3):
            (await run.reserve(0.9)).settle(0.9)
        assert (await standing(run))[0] == pytest.approx(2.7)


class TestARaisedLimit:
    async def test_lets_the_waiting_go_on(self, process: Process) -> None:
        run = process.run(1.0)
        hold = await run.reserve(0.9)
        waiting = asyncio.ensure_future(run.reserve(0.9))
        await asyncio.sleep(0.01)
        await run.raise_limit("run", 2.0)
        assert (await asyncio.wait_for(waiting, 30)).usd == 0.9
        assert hold.is_open
        assert run.limit_usd == 2.0

    async def test_holds_in_the_next_process(self, begin: Begin) -> None:
        first = begin().run(1.0, root="same")
        (await first.reserve(0.9)).settle(0.9)
        await first.raise_limit("run", 2.0)
        assert (await begin().run(1.0, root="same").reserve(1.1)).usd == 1.1

    async def test_gives_way_to_a_new_limit(self, begin: Begin) -> None:
        await begin().run(1.0, root="same").raise_limit("run", 2.0)
        with pytest.raises(OverBudgetError):
            await begin().run(1.5, root="same").reserve(1.6)

    async def test_must_pass_what_is_spent(self, process: Process) -> None:
        run = process.run(1.0)
        (await run.reserve(0.9)).settle(0.9)
        with pytest.raises(UsageError, match=r"\$0\.9 of the budget is spent already"):
            await run.raise_limit("run", 0.5)

    async def test_is_that_of_a_budget_which_concerns_the_run(self, process: Process) -> None:
        with pytest.raises(UsageError, match="no budget 'rum'"):
            await process.run(1.0).raise_limit("rum", 5.0)


class TestTheFile:
    async def test_that_cannot_be_written_stops_everything_before_it_is_spent(self, process: Process) -> None:
        run = process.run(1.0)
        process.desk._file.open().execute("pragma query_only = on")
        calls = [asyncio.ensure_future(run.reserve(0.01)) for _ in range(3)]
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(error, StateError) for error in ended)
        process.desk._file.open().execute("pragma query_only = off")
        assert (await run.reserve(1.0)).usd == 1.0

    async def test_that_was_removed_forgets_nothing_that_the_run_spent(self, process: Process) -> None:
        run = process.run(1.0)
        (await run.reserve(0.7)).settle(0.7)
        await process.desk.flush()
        for path in process.folder.glob(".orchestrate/state.sqlite*"):
            path.unlink()
        await asyncio.sleep(LOOK_S * 1.2)
        with pytest.raises(OverBudgetError, match=r"\$0\.7 is spent"):
            await run.reserve(0.4)


async def test_a_thousand_calls_at_once_never_spend_more_than_the_limit(process: Process, dice: random.Random) -> None:
    run, most_seen = process.run(1.0), 0.0
    ended = {"paid": 0, "refused": 0, "cancelled": 0}

    async def call() -> None:
        nonlocal most_seen
        most = dice.uniform(0.0005, 0.01)
        try:
            hold = await run.reserve(most)
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
        most_seen = max(most_seen, run.spent_usd + run.held_usd)
        if dice.random() < 0.1:
            hold.release()
        else:
            hold.settle(dice.uniform(0, most))
            ended["paid"] += 1

    tasks = [asyncio.ensure_future(call()) for _ in range(1000)]
    for task in dice.sample(tasks, 50):
        asyncio.get_running_loop().call_soon(task.cancel)
    await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
    assert most_seen <= 1.0
    spent, held = await standing(run)
    assert spent <= 1.0
    assert spent == pytest.approx(run.spent_usd)
    assert held == run.held_usd == 0.0
    assert ended["paid"] > 100
    assert ended["refused"] > 100
