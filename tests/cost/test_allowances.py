"""Budgets and quotas of orchestrate.toml: for whom, how long, how much, and what happens at the end."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from orchestration_nb.config import Settings
from orchestration_nb.cost.budget import RunBudget, Standing
from orchestration_nb.errors import OverBudgetError, OverQuotaError, UsageError
from orchestration_nb.testing import EPOCH, ManualClock
from tests.cost.conftest import Begin

ONE_DOLLAR = {"usd": 1.0}


async def spend(run: RunBudget, usd: float, *, step: str = "reply", tokens: int = 0) -> None:
    (await run.reserve(usd, step=step, tokens=tokens)).settle(usd, tokens)


def by_name(standings: list[Standing]) -> dict[str, Standing]:
    return {standing.name: standing for standing in standings}


SCOPES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("flow", {"flow": "triage"}, {"flow": "summary"}),
    ("notebook", {"notebook": "a.ipynb"}, {"notebook": "b.ipynb"}),
    ("user", {"user": "ada"}, {"user": "bob"}),
    ("tag:team", {"tags": {"team": "support"}}, {"tags": {"team": "sales"}}),
]


class TestForWhom:
    @pytest.mark.parametrize(("per", "one", "other"), SCOPES)
    async def test_each_has_as_much(self, begin: Begin, per: str, one: dict[str, Any], other: dict[str, Any]) -> None:
        process = begin(budgets={"each": {**ONE_DOLLAR, "per": per}})
        await spend(process.run(9, **one), 0.8)
        with pytest.raises(OverBudgetError, match=r"budget each \(.*\) of \$1\.00"):
            await process.run(9, **one).reserve(0.8)
        await spend(process.run(9, **other), 0.8)

    @pytest.mark.parametrize(("per", "one", "other"), SCOPES)
    async def test_only_one_has_any(self, begin: Begin, per: str, one: dict[str, Any], other: dict[str, Any]) -> None:
        named = next(iter(one.values()))
        only = named["team"] if isinstance(named, dict) else named
        process = begin(budgets={"its": {**ONE_DOLLAR, "per": per, "only": only}})
        with pytest.raises(OverBudgetError):
            await process.run(9, **one).reserve(1.1)
        await spend(process.run(9, **other), 1.1)

    async def test_the_workspace_as_a_whole(self, begin: Begin) -> None:
        process = begin(budgets={"all": ONE_DOLLAR})
        await spend(process.run(9, user="ada"), 0.6)
        with pytest.raises(OverBudgetError, match=r"The budget all of \$1\.00 does not cover the next call") as caught:
            await process.run(9, user="bob", flow="summary").reserve(0.6)
        assert "[budgets.all]" in caught.value.hint
        assert caught.value.budget == "all"

    async def test_each_run(self, begin: Begin) -> None:
        process = begin(budgets={"run": {**ONE_DOLLAR, "per": "run"}})
        run = process.run(9)
        await spend(run, 0.9)
        with pytest.raises(OverBudgetError, match="budget run "):
            await run.reserve(0.2)
        await spend(process.run(9), 0.9)

    async def test_each_step_of_each_flow(self, begin: Begin) -> None:
        process = begin(budgets={"each-step": {**ONE_DOLLAR, "per": "step"}})
        await spend(process.run(9), 0.8, step="queue")
        with pytest.raises(OverBudgetError, match=r"each-step \(triage\.queue\)"):
            await process.run(9).reserve(0.8, step="queue")
        await spend(process.run(9), 0.8, step="reply")
        await spend(process.run(9, flow="summary"), 0.8, step="queue")

    @pytest.mark.parametrize("only", ["queue", "triage.queue"])
    async def test_only_one_step(self, begin: Begin, only: str) -> None:
        process = begin(budgets={"queue": {**ONE_DOLLAR, "per": "step", "only": only}})
        with pytest.raises(OverBudgetError):
            await process.run(9).reserve(1.1, step="queue")
        await spend(process.run(9), 1.1, step="reply")

    async def test_who_has_no_tag_or_notebook_is_not_concerned(self, begin: Begin) -> None:
        process = begin(budgets={"team": {"usd": 0, "per": "tag:team"}, "book": {"usd": 0, "per": "notebook"}})
        await spend(process.run(9), 1.0, step="")
        assert await process.budgets.standings() == []


class TestHowLong:
    async def test_a_day_begins_anew_at_midnight(self, begin: Begin) -> None:
        clock = ManualClock()
        process = begin(clock=clock, budgets={"day": {**ONE_DOLLAR, "period": "day"}})
        run = process.run(9)
        await clock.advance(23 * 3600 + 3599)
        await spend(run, 1.0)
        with pytest.raises(OverBudgetError, match=r"begins anew on 2 January 2026 at 00:00 UTC\."):
            await run.reserve(0.1)
        await clock.advance(1)
        await spend(run, 1.0)
        standing = by_name(await process.budgets.standings())["day"]
        assert (standing.begins_at, standing.ends_at) == (EPOCH + timedelta(days=1), EPOCH + timedelta(days=2))
        assert standing.spent == 1.0

    async def test_a_month_begins_anew_on_its_first(self, begin: Begin) -> None:
        clock = ManualClock()
        run = begin(clock=clock, budgets={"month": {**ONE_DOLLAR, "period": "month"}}).run(9)
        await clock.advance(30.9 * 86400)
        await spend(run, 1.0)
        with pytest.raises(OverBudgetError, match="begins anew on 1 February 2026"):
            await run.reserve(0.1)
        await clock.advance(0.2 * 86400)
        await spend(run, 1.0)
        with pytest.raises(OverBudgetError, match="begins anew on 1 March 2026"):
            await run.reserve(0.1)

    async def test_who_waits_over_midnight_is_served_from_the_new_day(self, begin: Begin) -> None:
        clock = ManualClock()
        run = begin(clock=clock, budgets={"day": {**ONE_DOLLAR, "period": "day"}}).run(9)
        await clock.advance(86399)
        hold = await run.reserve(0.9)
        waiting = asyncio.ensure_future(run.reserve(0.5))
        await clock.advance(2)
        hold.settle(0.9)
        assert (await asyncio.wait_for(waiting, 30)).usd == 0.5

    async def test_a_budget_whose_period_is_changed_begins_anew(self, begin: Begin) -> None:
        clock = ManualClock()  # the first of the month: day and month begin at once
        await spend(begin(clock=clock, budgets={"all": {**ONE_DOLLAR, "period": "day"}}).run(9), 1.0)
        await spend(begin(clock=clock, budgets={"all": {**ONE_DOLLAR, "period": "month"}}).run(9), 1.0)


class TestHowMuch:
    async def test_a_changed_limit_takes_effect(self, begin: Begin) -> None:
        await spend(begin(budgets={"all": ONE_DOLLAR}).run(9), 1.0)
        await spend(begin(budgets={"all": {"usd": 2.0}}).run(9), 1.0)
        with pytest.raises(OverBudgetError):
            await begin(budgets={"all": {"usd": 1.5}}).run(9).reserve(0.1)

    async def test_a_raised_limit_holds_for_its_period_in_all_processes(self, begin: Begin) -> None:
        clock = ManualClock()
        day = {"day": {**ONE_DOLLAR, "period": "day"}}
        one, two = begin(clock=clock, budgets=day), begin(clock=clock, budgets=day)
        await one.budgets.raise_limit("day", 2.0)
        await spend(two.run(9), 2.0)
        await clock.advance(86400)
        with pytest.raises(OverBudgetError):
            await two.run(9).reserve(2.0)

    async def test_a_raised_limit_gives_way_to_a_new_setting(self, begin: Begin) -> None:
        await begin(budgets={"all": ONE_DOLLAR}).budgets.raise_limit("all", 5.0)
        with pytest.raises(OverBudgetError):
            await begin(budgets={"all": {"usd": 2.0}}).run(9).reserve(3.0)

    async def test_raising_what_is_not_there_says_so(self, begin: Begin) -> None:
        with pytest.raises(UsageError, match="no budget 'months'"):
            await begin(budgets={"month": ONE_DOLLAR}).budgets.raise_limit("months", 5.0)

    async def test_one_of_many_is_raised_by_its_label(self, begin: Begin) -> None:
        process = begin(budgets={"each": {**ONE_DOLLAR, "per": "user"}})
        ada, bob = process.run(9, user="ada"), process.run(9, user="bob")
        await spend(ada, 1.0)
        await process.budgets.raise_limit("each (ada)", 2.0)
        await spend(ada, 1.0)
        with pytest.raises(OverBudgetError):
            await bob.reserve(1.1)


class TestAtTheEnd:
    async def test_one_that_pauses_says_so_and_goes_on_when_raised_by_its_name(self, begin: Begin) -> None:
        run = begin(budgets={"team": {**ONE_DOLLAR, "per": "tag:team", "reached": "pause"}}).run(9, tags={"team": "a"})
        with pytest.raises(OverBudgetError) as caught:
            await run.reserve(1.5)
        assert caught.value.pauses
        await run.raise_limit(caught.value.budget, 2.0)
        await spend(run, 1.5)

    async def test_one_that_rejects_counts_more_than_one_that_pauses(self, begin: Begin) -> None:
        budgets = {"soft": {**ONE_DOLLAR, "reached": "pause"}, "hard": ONE_DOLLAR}
        with pytest.raises(OverBudgetError) as caught:
            await begin(budgets=budgets).run(9, reached="pause").reserve(9.5)
        assert (caught.value.budget, caught.value.pauses) == ("hard", False)

    async def test_one_that_only_alerts_refuses_nothing(self, begin: Begin) -> None:
        process = begin(budgets={"all": {**ONE_DOLLAR, "reached": "alert"}})
        run = process.run(9)
        for _ in range(3):
            await spend(run, 0.7)
        await process.desk.flush()
        assert [alert.message.split(" %")[0] for alert in process.alerts if alert.budget == "all"] == [
            "50",
            "80",
            "100",
        ]

    async def test_nothing_is_held_where_one_of_several_refuses(self, begin: Begin) -> None:
        process = begin(budgets={"a": {"usd": 5.0}, "b": ONE_DOLLAR, "c": {"usd": 5.0}})
        run = process.run(9)
        with pytest.raises(OverBudgetError):
            await run.reserve(2.0)
        assert {standing.held for standing in await run.standings()} == {0.0}


class TestQuotas:
    async def test_of_requests_say_when_they_begin_anew(self, begin: Begin) -> None:
        clock = ManualClock()
        process = begin(clock=clock, quotas={"each-user": {"requests": 3, "per": "user", "period": "day"}})
        run = process.run(9, user="ada")
        for _ in range(3):
            await spend(run, 0.0)
        said = r"The quota each-user \(ada\) of 3 requests is used up: 3 were sent\. It begins anew on 2 January 2026"
        with pytest.raises(OverQuotaError, match=said) as caught:
            await run.reserve(0.0)
        assert caught.value.quota == "each-user (ada)"
        await spend(process.run(9, user="bob"), 0.0)
        await clock.advance(86400)
        await spend(run, 0.0)

    async def test_of_tokens_count_what_was_really_used(self, begin: Begin) -> None:
        run = begin(quotas={"month": {"tokens": 1000, "period": "month"}}).run(9)
        (await run.reserve(0.1, tokens=900)).settle(0.1, 100)
        (await run.reserve(0.1, tokens=900)).settle(0.1, 300)
        with pytest.raises(OverQuotaError, match=r"400 are used and the call could take up to 700\."):
            await run.reserve(0.1, tokens=700)

    async def test_are_waited_for_where_only_calls_under_way_stand_against(self, begin: Begin) -> None:
        run = begin(quotas={"day": {"tokens": 1000, "period": "day"}}).run(9)
        hold = await run.reserve(0.1, tokens=900)
        waiting = asyncio.ensure_future(run.reserve(0.1, tokens=500))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        hold.settle(0.1, 200)
        await asyncio.wait_for(waiting, 30)

    async def test_do_not_count_what_was_never_sent(self, begin: Begin) -> None:
        run = begin(quotas={"day": {"requests": 1, "tokens": 10}}).run(9)
        (await run.reserve(0.1, tokens=10)).release()
        await run.reserve(0.1, tokens=10)

    async def test_count_the_most_where_nobody_knows(self, begin: Begin) -> None:
        run = begin(quotas={"day": {"tokens": 10}}).run(9)
        hold = await run.reserve(0.1, tokens=7)
        hold.settle(hold.usd)
        with pytest.raises(OverQuotaError, match="7 are used"):
            await run.reserve(0.1, tokens=4)


class TestStandings:
    async def test_name_every_budget_with_its_amounts(self, begin: Begin) -> None:
        process = begin(
            budgets={"all": {"usd": 4.0}, "each": {**ONE_DOLLAR, "per": "user"}},
            quotas={"day": {"requests": 10, "tokens": 1000}},
        )
        run = process.run(2.0, user="ada")
        (await run.reserve(0.5, tokens=30)).settle(0.5, 20)
        await run.reserve(0.25, tokens=30)
        found = [(one.name, one.kind, one.limit, one.spent, one.held) for one in await run.standings()]
        workspace = [
            ("all", "usd", 4.0, 0.5, 0.25),
            ("day", "requests", 10.0, 1.0, 1.0),
            ("day", "tokens", 1000.0, 20.0, 30.0),
        ]
        assert sorted(found) == sorted(
            [*workspace, ("run", "usd", 2.0, 0.5, 0.25), ("each (ada)", "usd", 1.0, 0.5, 0.25)]
        )
        seen = [
            (one.name, one.kind, one.limit, one.spent, one.held)
            for one in await begin(**process.settings).budgets.standings()
        ]
        assert sorted(seen) == sorted([*workspace, ("each (ada)", "usd", 1.0, 0.5, 0.25)])
        assert next(one for one in await run.standings() if one.name == "all").share == 0.125

    async def test_show_what_was_never_spent_and_leave_away_what_the_settings_forgot(self, begin: Begin) -> None:
        await spend(begin(budgets={"old": {**ONE_DOLLAR, "per": "user"}}).run(9), 0.5)
        standings = await begin(budgets={"new": {"usd": 3.0, "period": "day"}}).budgets.standings()
        assert [(one.name, one.limit, one.spent) for one in standings] == [("new", 3.0, 0.0)]


def test_the_settings_in_the_documentation_are_ones() -> None:
    text = {"budgets": {"support-month": {"usd": 100.0, "per": "tag:team", "only": "support", "period": "month"}}}
    assert Settings.model_validate(text).budgets["support-month"].reached == "reject"
