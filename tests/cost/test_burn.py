"""How fast budgets burn: told once, in time, and not from the first few calls."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from orchestration_nb.cost.budget import Standing
from orchestration_nb.cost.burn import LEAST_CALLS, BurnWatch, burn_of, burns
from orchestration_nb.errors import StateError
from orchestration_nb.events import BudgetAlert
from orchestration_nb.testing import EPOCH, ManualClock
from tests.ledger import happened

NOVEMBER, DECEMBER = datetime(2026, 11, 1), datetime(2026, 12, 1)  # noqa: DTZ001 - naive UTC, as the ledger has it


def account(**fields: Any) -> Standing:
    month: dict[str, Any] = {
        "name": "support-month (support)",
        "kind": "usd",
        "limit": 100.0,
        "spent": 0.0,
        "held": 0.0,
        "begins_at": NOVEMBER,
        "ends_at": DECEMBER,
        "reached": "reject",
    }
    return Standing(**(month | fields))


def on_day(day: float) -> datetime:
    return NOVEMBER + timedelta(days=day)


class TestForecast:
    def test_a_period_goes_on_as_it_went(self) -> None:
        burn = burn_of(account(spent=60.0), on_day(15))
        assert burn.forecast_usd == pytest.approx(120.0)
        assert burn.passes
        assert burn.dry_at == on_day(25)

    def test_a_budget_that_lasts_is_none_to_tell_of(self) -> None:
        burn = burn_of(account(spent=50.0), on_day(15))
        assert burn.forecast_usd == pytest.approx(100.0)
        assert not burn.passes
        assert burn.dry_at is None

    def test_the_first_hours_of_a_month_say_nothing(self) -> None:
        burn = burn_of(account(spent=5.0), on_day(0.1))
        assert burn.forecast_usd is None
        assert not burn.passes

    def test_without_an_end_there_is_no_forecast(self) -> None:
        assert burn_of(account(spent=99.0, begins_at=None, ends_at=None), on_day(3)).forecast_usd is None

    def test_what_is_used_up_already_is_told_by_its_share(self) -> None:
        assert not burn_of(account(spent=100.0), on_day(15)).passes
        assert burn_of(account(spent=0.0, limit=0.0), on_day(15)).share == 1.0

    def test_quotas_are_no_money_and_the_fullest_comes_first(self) -> None:
        found = burns([account(spent=1), account(name="day", spent=9), account(kind="requests", spent=50)], on_day(9))
        assert [burn.budget for burn in found] == ["day", "support-month (support)"]


class Watched:
    """A watch over accounts that the test sets, and what it told."""

    def __init__(self, *accounts: Standing) -> None:
        self.clock = ManualClock()
        self.accounts: Sequence[Standing] = accounts
        self.alerts: list[BudgetAlert] = []
        self.looks = 0
        self.claimed: set[tuple[str, str]] = set()
        self.watch = self.anew()

    def anew(self) -> BurnWatch:
        """The watch of another process."""
        return BurnWatch(clock=self.clock, on_alert=self.alerts.append, standings=self._standings, claim=self._claim)

    async def _standings(self) -> Sequence[Standing]:
        self.looks += 1
        return self.accounts

    async def _claim(self, budget: str, period: str) -> bool:
        first = (budget, period) not in self.claimed
        self.claimed.add((budget, period))
        return first

    async def pay(self, calls: int, *, usd: float = 0.25, each_s: float = 0.0) -> None:
        for _ in range(calls):
            self.watch(happened.call("r", billed_usd=usd))
            await self.watch.settle()
            await self.clock.advance(each_s)


def burning(**fields: Any) -> Standing:
    """Half of January is over (when the clock of these tests begins), and more than half is spent."""
    half = timedelta(days=15)
    return account(**({"spent": 70.0} | fields), begins_at=EPOCH - half, ends_at=EPOCH + half)


class TestPeriods:
    async def test_a_budget_that_burns_is_told_once(self) -> None:
        watched = Watched(burning())
        await watched.pay(40, each_s=1.5)
        (alert,) = watched.alerts
        assert (alert.kind, alert.budget, alert.run_id) == ("burn", "support-month (support)", "r")
        assert (alert.spent_usd, alert.limit_usd, alert.share) == (70.0, 100.0, 0.7)
        assert alert.message == (
            "At this pace the budget support-month (support) of $100.00 is used up on 07 January at 10:17 UTC, "
            "and its period ends on 16 January at 00:00: $70.00 is spent."
        )

    async def test_the_first_calls_raise_nothing(self) -> None:
        watched = Watched(burning())
        await watched.pay(LEAST_CALLS - 1, each_s=5)
        assert not watched.looks
        await watched.pay(1)
        assert len(watched.alerts) == 1

    async def test_calls_that_cost_nothing_do_not_count(self) -> None:
        watched = Watched(burning())
        await watched.pay(100, usd=0.0, each_s=5)
        assert not watched.looks

    async def test_budgets_are_looked_at_once_a_second_at_most(self) -> None:
        watched = Watched()
        await watched.pay(1_000 + LEAST_CALLS, each_s=0.01)
        assert 9 <= watched.looks <= 11

    async def test_two_processes_tell_once(self) -> None:
        watched = Watched(burning())
        await watched.pay(LEAST_CALLS)
        watched.watch = watched.anew()
        await watched.pay(LEAST_CALLS)
        assert len(watched.alerts) == 1

    async def test_the_next_period_is_told_anew(self) -> None:
        watched = Watched(burning())
        await watched.pay(LEAST_CALLS, each_s=1)
        await watched.clock.advance(30 * 86_400)
        watched.accounts = [
            account(spent=70.0, begins_at=EPOCH + timedelta(days=15), ends_at=EPOCH + timedelta(days=45))
        ]
        await watched.pay(1)
        assert len(watched.alerts) == 2

    async def test_a_state_that_cannot_be_read_stops_no_run(self, caplog: pytest.LogCaptureFixture) -> None:
        watched = Watched()

        async def unreadable() -> Sequence[Standing]:
            raise StateError("The state cannot be read.")

        watched.watch.standings = unreadable
        await watched.pay(LEAST_CALLS, each_s=2)
        assert "The state cannot be read." in caplog.text
        watched.watch.standings = watched._standings
        watched.accounts = [burning()]
        await watched.pay(1)
        assert len(watched.alerts) == 1


class TestRuns:
    def run(self, costs: Sequence[float], *, items: int | None = 200, budget_usd: float = 2.0) -> list[BudgetAlert]:
        watched = Watched()
        watched.watch(happened.run_started("r", items=items, budget_usd=budget_usd))
        for number, usd in enumerate(costs):
            watched.watch(happened.item("r", number, billed_usd=usd))
        watched.watch(happened.run_finished("r"))
        return watched.alerts

    def test_a_budget_too_small_for_all_items_is_told_early(self) -> None:
        (alert,) = self.run([0.02] * 60)
        assert (alert.kind, alert.budget, alert.run_id) == ("burn", "run", "r")
        assert alert.share == pytest.approx(0.1)
        assert alert.message == (
            "At this pace the run's budget of $2.00 lasts for about 100 of 200 items; "
            "all of them would come to about $4.00."
        )

    def test_one_dear_item_among_the_first_says_nothing(self) -> None:
        assert not self.run([0.5, *[0.001] * 199])

    def test_nor_do_the_first_few(self) -> None:
        assert not self.run([0.1] * (LEAST_CALLS - 1), budget_usd=1.5)

    def test_a_budget_that_is_enough_is_never_told_of(self, dice: random.Random) -> None:
        """Costs that vary as replies do, and a budget a quarter above what they come to."""
        told = 0
        for _ in range(100):
            costs = [dice.lognormvariate(-4, 0.6) for _ in range(200)]
            told += len(self.run(costs, budget_usd=1.25 * sum(costs)))
        assert told <= 10

    def test_where_nobody_knows_how_many_there_are(self) -> None:
        assert not self.run([1.0] * 50, items=None)

    def test_what_all_items_share_is_spent_but_no_item(self) -> None:
        watched = Watched()
        watched.watch(happened.run_started("r", items=20, budget_usd=2.0))
        watched.watch(happened.item("r", -1, billed_usd=1.9))
        for number in range(20):
            watched.watch(happened.item("r", number, billed_usd=0.001))
        assert not watched.alerts
