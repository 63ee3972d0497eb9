"""Budgets and quotas: money is reserved before a call, then settled or released, over all processes of a workspace.

What a call can cost at most is set aside in every account that it concerns: its run's, and those of ``[budgets.*]`` and
``[quotas.*]`` in ``orchestrate.toml``. A call that only open holds stand against waits for them; it is refused where
what is spent plus its own maximum passes a limit. What a process held that died is settled at its maximum.
"""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson

from orchestration_nb.clock import Clock
from orchestration_nb.config import BudgetSettings, QuotaSettings, Reached
from orchestration_nb.cost import sentences
from orchestration_nb.cost.allowances import (
    Allowance,
    Allowances,
    Spender,
    label_of,
    microseconds,
    run_allowance,
)
from orchestration_nb.cost.line import Line
from orchestration_nb.cost.standings import LostCall, Standing, lost_call, standing_of
from orchestration_nb.cost.sums import dollars, in_dollars, picodollars
from orchestration_nb.errors import CostError, UsageError
from orchestration_nb.events import BudgetAlert
from orchestration_nb.ids import RunId
from orchestration_nb.state import accounts
from orchestration_nb.state.accounts import Charge, Lost, Passed, Short, Spent
from orchestration_nb.state.desk import Desk, Gathering
from orchestration_nb.state.owners import Owners

__all__ = ["Budgets", "Hold", "LostCall", "RunBudget", "Spender", "Standing", "dollars"]

NO_FACTS: Final = b"{}"
_USD: Final = "usd|"
_REQUESTS: Final = "requests|"
_NEVER: Final = datetime(9999, 1, 1)  # noqa: DTZ001 - naive UTC, as the clock's


class Budgets:
    """The budgets and quotas of a workspace; used on the engine's loop alone.

    Args:
        desk: Runs transactions on the state of the workspace.
        owners: Knows which processes live.
        clock: Tells the time.
        budgets: The setting ``[budgets.*]``.
        quotas: The setting ``[quotas.*]``.
        on_alert: Told when a budget passes 50, 80 and 100 per cent, and when it refuses: once each for an account and
            its period, over all processes.
        on_lost: Told of each attempt whose process died, once over all processes.
    """

    def __init__(
        self,
        desk: Desk,
        owners: Owners,
        clock: Clock,
        budgets: Mapping[str, BudgetSettings],
        quotas: Mapping[str, QuotaSettings],
        *,
        on_alert: Callable[[BudgetAlert], None],
        on_lost: Callable[[LostCall], None],
    ) -> None:
        self.allowances = Allowances(budgets, quotas)
        self._desk = desk
        self._clock = clock
        self._on_alert = on_alert
        self._on_lost = on_lost
        self._line = Line(desk, owners, clock, self._lost)
        self._ends = Gathering(desk, _end_all, self._ended)
        self._runs: weakref.WeakSet[RunBudget] = weakref.WeakSet()

    def open_run(self, spender: Spender, *, limit_usd: float, reached: Reached = "reject") -> RunBudget:
        """The budget of a run, and of all that goes on with it.

        Args:
            spender: Whose money it spends.
            limit_usd: The run's own budget in US dollars; what it was raised to since stands, unless this is another.
            reached: What happens when that is reached.
        """
        run = RunBudget(self, spender, run_allowance(spender, limit_usd, reached))
        self._runs.add(run)
        return run

    async def recover(self) -> list[LostCall]:
        """Settles at their maximum the holds of processes that died; ``on_lost`` has heard of each.

        This happens of itself before the first reservation, and whenever a call waits or is refused.

        Raises:
            StateError: If the state cannot be written.
        """
        return [lost_call(lost) for lost in await self._line.recover()]

    async def adopt(self, key: str) -> Hold | None:
        """The hold that was parked under ``key``, by whichever process; ``None`` where there is none.

        Raises:
            StateError: If the state cannot be written.
        """
        found = await self._desk.submit(lambda connection: accounts.parked(connection, key))
        if found is None:
            return None
        hold, parts = found
        return Hold(self, hold, parts, in_dollars(_most_usd(parts)), None)

    async def parked_usd(self, keys: Sequence[str]) -> float:
        """US dollars that are parked under these keys in all.

        Raises:
            StateError: If the state cannot be read.
        """
        found = await self._desk.submit(lambda connection: [accounts.parked(connection, key) for key in keys])
        return in_dollars(sum(_most_usd(held[1]) for held in found if held is not None))

    async def standings(self) -> list[Standing]:
        """How the budgets and quotas of the settings stand, for each whom they hold for, in their present periods.

        Raises:
            StateError: If the state cannot be read.
        """
        now = self._clock.now()
        known = {allowance.account.key: allowance for allowance in self.allowances.named(now)}
        periods = self.allowances.periods(now)
        for account in await self._desk.submit(lambda connection: accounts.of_periods(connection, periods)):
            allowance = self.allowances.like(account, now)
            if allowance is not None:
                known.setdefault(account.key, allowance)
        return await self._standings(known.values())

    async def raise_limit(self, budget: str, to_usd: float) -> None:
        """Lets a budget of the settings spend up to ``to_usd`` in its present period, for all processes.

        It holds until the period ends or the settings give the budget another limit.

        Args:
            budget: As a sentence names it: ``day``, ``each-user (ada)``.
            to_usd: The new limit, what is spent included.

        Raises:
            UsageError: If there is no such budget, or more is spent of it already.
            StateError: If the state cannot be written.
        """
        now, periods = self._clock.now(), self.allowances.periods(self._clock.now())
        found = await self._desk.submit(lambda connection: accounts.of_periods(connection, periods))
        there = [*self.allowances.named(now), *filter(None, (self.allowances.like(one, now) for one in found))]
        await self._raise(there, budget, to_usd)

    async def _raise(self, there: Iterable[Allowance], budget: str, to_usd: float) -> None:
        allowance = next((one for one in there if one.label == budget and one.account.kind == "usd"), None)
        if allowance is None:
            raise UsageError(f"There is no budget {budget!r}.", hint="`orchestrate.toml` names them under [budgets.*].")
        charge, now_us = allowance.charge(0), microseconds(self._clock.now())
        to = picodollars(to_usd)
        spent = await self._desk.submit(lambda connection: accounts.raise_most(connection, charge, to, now_us=now_us))
        if spent is not None:
            hint = "Give the new amount as a whole, what is spent included."
            raise UsageError(f"{dollars(in_dollars(spent))} of the budget is spent already.", hint=hint)
        self._line.look()

    async def _standings(self, allowances: Iterable[Allowance]) -> list[Standing]:
        asked = list(allowances)
        found = await self._desk.submit(
            lambda connection: [accounts.balance(connection, one.account, one.most) for one in asked]
        )
        return [standing_of(allowance, balance) for allowance, balance in zip(asked, found, strict=True)]

    def _lost(self, lost: Lost) -> None:
        call = lost_call(lost)
        self._passed(lost.passed, call.facts.get("run_id"))
        self._on_lost(call)

    def _passed(self, passed: Iterable[Passed], run_id: RunId | None) -> None:
        for one in passed:
            alerts = sentences.marks_passed(one, label_of(one.account), run_id=run_id, now=self._clock.now())
            for alert in alerts:
                self._on_alert(alert)

    def _refused(self, short: Short, allowance: Allowance, run_id: RunId) -> CostError:
        if short.is_news and allowance.account.kind == "usd":
            self._on_alert(sentences.reached(short, allowance, run_id=run_id, now=self._clock.now()))
        return sentences.refusal(short, allowance)

    async def _hold(self, charges: Sequence[Charge], facts: bytes) -> int | Short:
        return await self._line.join(charges, facts)

    def _end(self, end: _End) -> None:
        self._ends.add(end)
        self._line.look()

    def _ended(self, ended: list[_End], passed: list[Passed]) -> None:
        for one in passed:  # the last that spent of it
            run_id = next((end.run_id for end in reversed(ended) if any(key == one.key for *_, key in end.spent)), None)
            self._passed([one], run_id)

    def _park(self, hold: int, key: str) -> None:
        self._desk.post(lambda connection: accounts.park(connection, hold, key))


class _End(NamedTuple):
    """That a hold is over."""

    hold: int
    spent: Sequence[Spent]
    run_id: RunId | None


def _end_all(connection: sqlite3.Connection, ended: list[_End]) -> list[Passed]:
    return accounts.end_all(connection, [(end.hold, end.spent) for end in ended])


class _Scope(NamedTuple):
    """What the calls of a step are charged to."""

    until: datetime
    """When a period of one of them ends."""
    allowances: list[Allowance]


class RunBudget:
    """What one run may spend; made by :meth:`Budgets.open_run`, used on the engine's loop alone."""

    def __init__(self, budgets: Budgets, spender: Spender, own: Allowance) -> None:
        self.spender = spender
        self._budgets = budgets
        self.limit_usd = in_dollars(own.most)
        """Its own limit, as it was opened with or raised to here."""
        self._own = own
        self._spent = 0
        self._held = 0
        self._scopes: dict[str, _Scope] = {}

    @property
    def spent_usd(self) -> float:
        """What this process has spent of it."""
        return in_dollars(self._spent)

    @property
    def held_usd(self) -> float:
        """What this process has set aside of it for calls under way."""
        return in_dollars(self._held)

    async def reserve(
        self, usd: float, *, tokens: int = 0, step: str = "", facts: Mapping[str, Any] | bytes = NO_FACTS
    ) -> Hold:
        """Sets the most that an attempt can cost aside; waits where only calls under way stand against it.

        Args:
            usd: The most that it can cost.
            tokens: The most tokens that it can take, in and out.
            step: Name of the step, or an empty string outside of a flow.
            facts: What is recorded should this process die before the hold is ended, ready for JSON.

        Raises:
            OverBudgetError: If what is spent of a budget plus ``usd`` passes its limit: waiting could not help.
            OverQuotaError: If the same holds for a quota of requests or tokens.
            StateError: If the state cannot be written: nothing may be spent then.
        """
        told = facts if isinstance(facts, bytes) else orjson.dumps(facts)
        while True:
            scope, pico = self._scope(step), picodollars(usd)
            charges = self._charges(scope, pico, tokens)
            answer = await self._budgets._hold(charges, told)  # noqa: SLF001 - here and below: the three are one mechanism
            if isinstance(answer, int):
                return self._set_aside(answer, charges, usd)
            if self._budgets._clock.now() < scope.until:  # noqa: SLF001
                break  # else a period began anew while the call waited
        allowance = next(one for one in scope.allowances if one.account == answer.charge.account)
        raise self._budgets._refused(answer, allowance, self.spender.run_id)  # noqa: SLF001

    def ahead(self, usd: float, *, tokens: int, step: str, facts: bytes) -> MoneyAhead | None:
        """As :meth:`reserve`, for a transaction that the caller has begun; ``None`` where others wait for money."""
        if not self._budgets._line.is_free:  # noqa: SLF001
            return None
        charges = self._charges(self._scope(step), picodollars(usd), tokens)
        return MoneyAhead(self._budgets, self, charges, usd, facts)

    async def raise_limit(self, budget: str, to_usd: float) -> None:
        """Lets a budget that concerns this run spend up to ``to_usd``: its own, or one of the settings' in its period.

        Args:
            budget: As the refusal names it: ``run``, ``support-month (support)``.
            to_usd: The new limit in US dollars, what is spent included.

        Raises:
            UsageError: If no such budget concerns the run, or more is spent of it already.
            StateError: If the state cannot be written.
        """
        await self._budgets._raise(self._concerning(), budget, to_usd)  # noqa: SLF001
        if budget == self._own.label:
            self.limit_usd = to_usd

    async def standings(self) -> list[Standing]:
        """How every budget and quota stands that has concerned the run so far, its own first.

        Raises:
            StateError: If the state cannot be read.
        """
        return await self._budgets._standings(self._concerning())  # noqa: SLF001

    def _concerning(self) -> list[Allowance]:
        steps = {"", *self._scopes}
        return list({one.account: one for step in steps for one in self._scope(step).allowances}.values())

    def _scope(self, step: str) -> _Scope:
        now, scope = self._budgets._clock.now(), self._scopes.get(step)  # noqa: SLF001
        if scope is None or now >= scope.until:
            found = [self._own, *self._budgets.allowances.concerning(self.spender, step, now)]
            until = min((one.ends_at for one in found if one.ends_at is not None), default=_NEVER)
            scope = self._scopes[step] = _Scope(until, found)
        return scope

    def _charges(self, scope: _Scope, usd: int, tokens: int) -> list[Charge]:
        amounts = {"usd": usd, "tokens": tokens, "requests": 1}
        own, *others = scope.allowances
        return [own.charge(usd, self._spent), *(one.charge(amounts[one.account.kind]) for one in others)]

    def _set_aside(self, hold: int, charges: Sequence[Charge], usd: float) -> Hold:
        self._held += picodollars(usd)
        return Hold(self._budgets, hold, [(one.key, one.amount) for one in charges], usd, self)

    def _count(self, held: int, spent: int) -> None:
        self._held -= held
        self._spent += spent


class MoneyAhead:
    """Money for one attempt, set aside in somebody else's transaction where it is to be had at once."""

    __slots__ = ("_budgets", "_charges", "_facts", "_hold", "_run", "_taken", "_usd")

    def __init__(self, budgets: Budgets, run: RunBudget, charges: Sequence[Charge], usd: float, facts: bytes) -> None:
        self._budgets = budgets
        self._run = run
        self._charges = charges
        self._usd = usd
        self._facts = facts
        self._taken: int | None = None
        self._hold: Hold | None = None

    def take(self, connection: sqlite3.Connection) -> bool:
        """Sets it aside, within the transaction; ``False``: it is not to be had."""
        self._taken = self._budgets._line.take_now(connection, self._charges, self._facts)  # noqa: SLF001
        return self._taken is not None

    def committed(self) -> None:
        """The transaction has ended well."""
        if self._taken is not None:
            self._hold = self._run._set_aside(self._taken, self._charges, self._usd)  # noqa: SLF001

    def hold(self) -> Hold | None:
        """What was set aside, to be had once; ended by whoever has it."""
        hold, self._hold = self._hold, None
        return hold


class Hold:
    """Money set aside for one attempt; ended exactly once, by :meth:`settle` or :meth:`release`."""

    __slots__ = ("_budgets", "_id", "_parts", "_run", "is_open", "usd")

    def __init__(
        self, budgets: Budgets, hold: int, parts: Sequence[tuple[str, int]], usd: float, run: RunBudget | None
    ) -> None:
        self.usd = usd
        """The most that the attempt can cost."""
        self.is_open = True
        self._budgets = budgets
        self._id = hold
        self._parts = parts
        self._run = run

    def settle(self, usd: float, tokens: int | None = None) -> None:
        """The attempt cost ``usd`` and took so many tokens, in and out (``None``: the most); durable within 20 ms."""
        self._end(picodollars(usd), tokens, 1)

    def release(self) -> None:
        """The attempt was surely not billed."""
        self._end(0, 0, 0)

    def park(self, key: str) -> None:
        """Lets the hold outlive this process: :meth:`Budgets.adopt` finds it by ``key`` in another one."""
        self._budgets._park(self._id, key)  # noqa: SLF001

    def _end(self, usd: int, tokens: int | None, requests: int) -> None:
        if not self.is_open:
            raise AssertionError("a hold is ended once")
        self.is_open = False
        spent = [
            (held, usd if key.startswith(_USD) else requests if key.startswith(_REQUESTS) else _or(tokens, held), key)
            for key, held in self._parts
        ]
        run_id = None
        if self._run is not None:
            run_id = self._run.spender.run_id
            self._run._count(picodollars(self.usd), usd)  # noqa: SLF001
        self._budgets._end(_End(self._id, spent, run_id))  # noqa: SLF001


def _most_usd(parts: Iterable[tuple[str, int]]) -> int:
    """What a hold sets aside for its call, in picodollars: the same in each of the accounts of money."""
    return max((amount for key, amount in parts if key.startswith(_USD)), default=0)


def _or(tokens: int | None, held: int) -> int:
    return held if tokens is None else tokens
