"""What a process held that died is settled at its maximum: once, by whoever comes along."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from orchestration_nb.cost.budget import RunBudget
from orchestration_nb.errors import OverBudgetError
from orchestration_nb.testing import ManualClock
from tests.cost.conftest import Begin, Process


async def amounts(process: Process, root: str) -> tuple[float, float]:
    """What is spent and held of a run's budget, to the cent."""
    own = (await process.run(1.0, root=root).standings())[0]
    return round(own.spent, 2), round(own.held, 2)


class TestADeadProcess:
    async def test_is_settled_before_the_first_reservation_of_another(self, begin: Begin) -> None:
        dead, run = begin(), "same"
        await dead.run(1.0, root=run).reserve(0.4, facts={"call_id": "c1", "run_id": "r1"})
        dead.die()
        process = begin()
        with pytest.raises(OverBudgetError, match=r"\$0\.4 is spent"):
            await process.run(1.0, root=run).reserve(0.7)
        assert [(lost.usd, dict(lost.facts)) for lost in process.lost] == [(0.4, {"call_id": "c1", "run_id": "r1"})]
        assert await amounts(process, run) == (0.4, 0.0)

    async def test_is_noticed_by_one_who_waits_for_it(self, begin: Begin) -> None:
        dead, process = begin(), begin()
        run = process.run(1.0, root="same")
        (await run.reserve(0.1)).release()
        await dead.run(1.0, root="same").reserve(0.9)
        waiting = asyncio.ensure_future(run.reserve(0.5))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        dead.die()
        with pytest.raises(OverBudgetError, match=r"\$0\.9 is spent"):
            await asyncio.wait_for(waiting, 30)
        assert len(process.lost) == 1

    async def test_is_settled_once_by_many(self, begin: Begin) -> None:
        dead = begin()
        held = dead.run(9.0, root="same")
        for _ in range(5):
            await held.reserve(0.1, facts=b'{"n": 1}')
        dead.die()
        others = [begin() for _ in range(3)]
        found: Sequence[Sequence[object]] = await asyncio.gather(*(other.budgets.recover() for other in others))
        assert sum(map(len, found)) == sum(len(other.lost) for other in others) == 5
        assert await amounts(others[0], "same") == (0.5, 0.0)

    async def test_is_not_one_that_lives(self, begin: Begin) -> None:
        living = begin()
        hold = await living.run(1.0, root="same").reserve(0.4)
        other = begin()
        assert await other.budgets.recover() == []
        hold.settle(0.1)
        await living.desk.flush()
        assert await amounts(other, "same") == (0.1, 0.0)

    async def test_counts_its_requests_and_tokens_as_well(self, begin: Begin) -> None:
        quotas = {"day": {"requests": 10, "tokens": 100}}
        dead = begin(quotas=quotas)
        await dead.run(1.0).reserve(0.4, tokens=60)
        dead.die()
        process = begin(quotas=quotas)
        await process.budgets.recover()
        assert {(one.kind, one.spent, one.held) for one in await process.budgets.standings()} == {
            ("requests", 1.0, 0.0),
            ("tokens", 60.0, 0.0),
        }

    async def test_that_settled_too_late_changes_nothing(self, begin: Begin) -> None:
        paused, other = begin(), begin()
        run = paused.run(1.0, root="same")
        hold = await run.reserve(0.4)
        paused.owners.close()  # as if its folder had been removed: it counts as dead, and is not
        await other.budgets.recover()
        hold.settle(0.1)
        await paused.desk.flush()
        assert await amounts(other, "same") == (0.4, 0.0)


class TestAParkedHold:
    async def test_outlives_its_process_and_is_adopted_by_its_key(self, begin: Begin) -> None:
        dead = begin()
        hold = await dead.run(1.0, root="same").reserve(0.6)
        hold.park("question")
        await dead.desk.flush()
        dead.die()
        process = begin()
        assert await process.budgets.recover() == []
        assert await amounts(process, "same") == (0.0, 0.6)
        adopted = await process.budgets.adopt("question")
        assert adopted is not None
        assert adopted.usd == 0.6
        adopted.settle(0.2)
        await process.desk.flush()
        assert await amounts(process, "same") == (0.2, 0.0)
        assert await process.budgets.adopt("question") is None

    async def test_can_be_ended_by_the_process_that_parked_it(self, begin: Begin) -> None:
        process = begin()
        hold = await process.run(1.0, root="same").reserve(0.6)
        hold.park("question")
        hold.settle(0.5)
        await process.desk.flush()
        assert await amounts(process, "same") == (0.5, 0.0)
        assert await process.budgets.adopt("question") is None

    async def test_that_two_adopted_is_ended_once(self, begin: Begin) -> None:
        first, second = begin(), begin()
        hold = await first.run(1.0, root="same").reserve(0.6)
        hold.park("question")
        await first.desk.flush()
        other = await second.budgets.adopt("question")
        assert other is not None
        other.settle(0.2)
        await second.desk.flush()
        hold.settle(0.3)
        await first.desk.flush()
        assert await amounts(first, "same") == (0.2, 0.0)

    async def test_that_nobody_comes_back_for_is_settled_after_a_month(self, begin: Begin) -> None:
        clock = ManualClock()
        first = begin(clock=clock)
        (await first.run(1.0, root="same").reserve(0.6)).park("question")
        await first.desk.flush()
        await clock.advance(timedelta(days=31).total_seconds())
        assert [lost.usd for lost in await begin(clock=clock).budgets.recover()] == [0.6]
        assert await first.budgets.adopt("question") is None


class TestTheFile:
    async def test_forgets_the_accounts_of_old_runs(self, begin: Begin) -> None:
        clock = ManualClock()
        first = begin(clock=clock, budgets={"all": {"usd": 50.0}})

        def names() -> list[str]:
            rows = first.desk._file.open().execute("select name || ':' || whose from accounts order by 1")
            return [name for (name,) in rows]

        await first.run(1.0, root="held").reserve(0.1)
        (await first.run(1.0, root="done").reserve(0.1)).settle(0.1)
        await first.desk.flush()
        await clock.advance(timedelta(days=31).total_seconds())
        await begin(clock=clock).run(1.0, root="new").reserve(0.1)
        assert names() == ["all:", "run:held", "run:new"]


async def settled(run: RunBudget, usd: float) -> None:
    (await run.reserve(usd)).settle(usd)


class TestAlerts:
    async def test_come_once_at_each_mark_over_all_processes(self, begin: Begin) -> None:
        budgets = {"day": {"usd": 1.0, "period": "day"}}
        processes = [begin(budgets=budgets) for _ in range(3)]
        runs = [process.run(9.0) for process in processes]
        for turn in range(100):
            await settled(runs[turn % 3], 0.01)
        for process in processes:
            await process.desk.flush()
        alerts = sorted((one for process in processes for one in process.alerts), key=lambda one: one.share)
        assert [(one.budget, round(one.share, 9)) for one in alerts] == [("day", 0.5), ("day", 0.8), ("day", 1.0)]
        assert alerts[1].message == "80 % of the budget day is spent: $0.8 of $1.00."
        assert {one.run_id for one in alerts} <= {run.spender.run_id for run in runs}

    async def test_come_all_three_where_one_call_passes_them(self, begin: Begin) -> None:
        process = begin(budgets={"day": {"usd": 1.0}})
        await settled(process.run(9.0), 1.0)
        await process.desk.flush()
        assert [alert.message[:4].strip(" %") for alert in process.alerts] == ["50", "80", "100"]

    async def test_come_anew_in_a_new_period_and_for_a_raised_limit(self, begin: Begin) -> None:
        clock = ManualClock()
        process = begin(clock=clock, budgets={"day": {"usd": 1.0, "period": "day"}})
        run = process.run(99.0)

        async def marks(usd: float) -> list[str]:
            await settled(run, usd)
            await process.desk.flush()
            said = [alert.message.split(" %")[0] for alert in process.alerts]
            process.alerts.clear()
            return said

        assert await marks(0.6) == ["50"]
        await run.raise_limit("day", 2.0)
        assert await marks(0.2) == []
        assert await marks(0.3) == ["50"]
        await clock.advance(86400)
        assert await marks(0.6) == ["50"]

    async def test_say_once_that_a_budget_refuses(self, begin: Begin) -> None:
        one, two = begin(budgets={"day": {"usd": 1.0}}), begin(budgets={"day": {"usd": 1.0}})
        for process in (one, two, one):
            with pytest.raises(OverBudgetError):
                await process.run(9.0).reserve(2.0)
        alerts = [*one.alerts, *two.alerts]
        assert [alert.kind for alert in alerts] == ["reached"]
        assert alerts[0].message == "The budget day is reached, and calls are refused: $0.00 of $1.00 is spent."

    async def test_name_the_run_whose_process_died(self, begin: Begin) -> None:
        dead, process = begin(), begin()
        await dead.run(1.0, root="same").reserve(0.6, facts={"run_id": "r1"})
        dead.die()
        await process.budgets.recover()
        assert [(alert.budget, alert.run_id) for alert in process.alerts] == [("run", "r1")]
