"""Whatever happens in whatever order, spent and held together never pass a budget, and nothing stays held."""

from __future__ import annotations

import asyncio
import functools
import random
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from orchestration_nb.cost.budget import RunBudget
from orchestration_nb.errors import OverBudgetError
from orchestration_nb.state import accounts
from orchestration_nb.state.accounts import Account, Charge, Short
from orchestration_nb.state.store import StateFile
from tests.cost.conftest import Begin, Process
from tests.state.files import written

PROCESSES = st.sampled_from(["one", "two", "three"])
LIMITS = st.integers(min_value=0, max_value=1000)
SHARES = st.integers(min_value=0, max_value=100)
RUN, DAY = Account("usd", "run", "own", "r"), Account("usd", "day", begins_us=1)


class Money(RuleBasedStateMachine):
    """Three processes, the budget of a run and that of a day, and all that can happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.file = StateFile(Path(self.folder.name), busy_s=0)
        self.most = {RUN.key: 0, DAY.key: 0}
        self.raised: dict[str, int] = {}
        self.spent = {RUN.key: 0, DAY.key: 0}
        self.open: dict[int, tuple[str, list[tuple[str, int]], bool]] = {}
        self.dead: set[str] = set()

    def limit(self, key: str) -> int:
        return self.raised.get(key, self.most[key])

    def held(self, key: str) -> int:
        return sum(amount for _, parts, _ in self.open.values() for part, amount in parts if part == key)

    def charges(self, amount: int, *, both: bool) -> list[Charge]:
        concerned = (RUN, DAY) if both else (DAY,)
        return [Charge(one.key, one, amount, self.most[one.key], binds=True) for one in concerned]

    def spend(self, parts: Iterable[tuple[str, int]]) -> None:
        for key, amount in parts:
            self.spent[key] += amount

    @initialize(run=LIMITS, day=LIMITS)
    def begin(self, run: int, day: int) -> None:
        self.most = {RUN.key: run, DAY.key: day}

    @rule(owner=PROCESSES, amount=LIMITS, both=st.booleans())
    def reserve(self, owner: str, amount: int, both: bool) -> None:
        charges = self.charges(amount, both=both)
        answer = written(
            self.file, lambda connection: accounts.take(connection, charges, owner=owner, facts=b"{}", now_us=1)
        )
        fits = {one.key: self.spent[one.key] + self.held(one.key) + amount <= self.limit(one.key) for one in charges}
        hopeless = any(self.spent[one.key] + amount > self.limit(one.key) for one in charges)
        if isinstance(answer, Short):
            assert amount > 0
            assert not all(fits.values())
            assert answer.is_final == hopeless
        else:
            assert amount == 0 or all(fits.values())
            self.open[answer] = (owner, [(one.key, amount) for one in charges], False)
            self.dead.discard(owner)

    @rule(which=st.integers(min_value=0), share=SHARES, again=st.booleans())
    def settle(self, which: int, share: int, again: bool) -> None:
        if not self.open:
            return
        hold = sorted(self.open)[which % len(self.open)]
        parts = [(amount, amount * share // 100, key) for key, amount in self.open.pop(hold)[1]]
        for _ in range(1 + again):  # whoever comes second changes nothing
            written(self.file, lambda connection: accounts.end(connection, hold, parts))
        self.spend((key, spent) for _, spent, key in parts)

    @rule(which=st.integers(min_value=0))
    def park(self, which: int) -> None:
        if self.open:
            hold = sorted(self.open)[which % len(self.open)]
            written(self.file, lambda connection: accounts.park(connection, hold, f"key {hold}"))
            self.open[hold] = (*self.open[hold][:2], True)
            assert written(self.file, lambda connection: accounts.parked(connection, f"key {hold}")) == (
                hold,
                self.open[hold][1],
            )

    @rule(owner=PROCESSES)
    def crash(self, owner: str) -> None:
        self.dead.add(owner)

    @rule()
    def recover(self) -> None:
        dead = set(self.dead)
        lost = written(self.file, lambda connection: accounts.recover(connection, dead.intersection, now_us=1))
        gone = [hold for hold, (owner, _, parked) in self.open.items() if owner in dead and not parked]
        assert len(lost) == len(gone)
        for hold in gone:
            self.spend(self.open.pop(hold)[1])

    @rule(account=st.sampled_from([RUN, DAY]), by=st.integers(min_value=1, max_value=500))
    def raise_limit(self, account: Account, by: int) -> None:
        key, to = account.key, self.limit(account.key) + by
        charge = Charge(key, account, 0, self.most[key], binds=True)
        assert written(self.file, lambda connection: accounts.raise_most(connection, charge, to, now_us=1)) is None
        self.raised[key] = to

    @invariant()
    def it_adds_up(self) -> None:
        rows = written(
            self.file,
            lambda connection: connection.execute("select key, spent, held from accounts").fetchall(),
        )
        for key, spent, held in rows:
            assert (spent, held) == (self.spent[key], self.held(key))
            assert spent + held <= self.limit(key)

    def teardown(self) -> None:
        """Everybody ends well or dies: nothing stays held."""
        for hold, (_, parts, parked) in self.open.items():
            if parked:
                nothing = [(amount, 0, key) for key, amount in parts]
                written(self.file, functools.partial(accounts.end, hold=hold, spent=nothing))
        written(self.file, lambda connection: accounts.recover(connection, set, now_us=1))
        left = written(
            self.file,
            lambda connection: connection.execute(
                "select (select count(*) from holds), (select coalesce(sum(abs(held)), 0) from accounts)"
            ).fetchone(),
        )
        self.file.close()
        self.folder.cleanup()
        assert left == (0, 0)


Money.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestMoney = Money.TestCase


class Crowd:
    """Processes that each make forty calls at once, time and again, and now and then die."""

    def __init__(self, begin: Begin, dice: random.Random) -> None:
        self.begin = begin
        self.dice = dice
        self.processes = [self.one() for _ in range(3)]
        self.deaths = 0

    def one(self) -> Process:
        said: dict[str, Any] = {"budgets": {"all": {"usd": 1.0}}}
        return self.begin(**said)

    async def work(self, place: int) -> None:
        """Until the budget refuses."""
        while True:
            run = self.processes[place].run(9.0)
            calls = [asyncio.ensure_future(self.call(run)) for _ in range(40)]
            if self.dice.random() < 0.3:
                await asyncio.sleep(self.dice.uniform(0, 0.02))
                self.die(place)
                for one in calls:
                    one.cancel()
            ended = await asyncio.gather(*calls, return_exceptions=True)
            if any(isinstance(error, OverBudgetError) for error in ended):
                return

    async def call(self, run: RunBudget) -> None:
        most = self.dice.uniform(0.0001, 0.004)
        hold = await run.reserve(most)
        await asyncio.sleep(self.dice.uniform(0, 0.01))
        if self.dice.random() < 0.15:
            hold.release()
        else:
            hold.settle(self.dice.uniform(0.3, 1) * most)

    def die(self, place: int) -> None:
        self.deaths += 1
        self.processes[place].die()
        self.processes[place] = self.one()


async def test_calls_in_processes_that_die_at_random_never_pass_a_budget(begin: Begin, dice: random.Random) -> None:
    crowd = Crowd(begin, dice)
    await asyncio.wait_for(asyncio.gather(*(crowd.work(place) for place in range(3))), 60)
    for process in crowd.processes:
        await process.desk.flush()
    for place in range(3):
        crowd.die(place)
    watcher = crowd.one()
    await watcher.budgets.recover()
    [standing] = await watcher.budgets.standings()
    assert standing.held == 0.0
    assert 0.9 <= standing.spent <= 1.0
    assert crowd.deaths > 3
