"""The line of calls that want money: first come, first served, for every budget that they concern.

A round looks at all who wait, in one transaction: who is covered gets a hold, who never will be is refused, and who is
only held up by calls under way goes on waiting, and with him all that came later and want of the same account. A dear
call is therefore not starved by cheap ones, and those who want of other accounts do not wait for it.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import operator
import random
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from orchestration_nb.clock import Clock
from orchestration_nb.cost.allowances import microseconds
from orchestration_nb.errors import StateError
from orchestration_nb.state import accounts
from orchestration_nb.state.accounts import Charge, Lost, Short
from orchestration_nb.state.desk import Desk
from orchestration_nb.state.owners import Owners

POLL_S: Final = 0.03
"""How often is looked whether another process has let go of something."""
RECOVER_S: Final = 0.25
"""How often is looked whether another process has died."""


@dataclass(slots=True, eq=False)
class Want:
    """One call that wants money."""

    charges: Sequence[Charge]
    keys: tuple[str, ...]
    """Those of the accounts."""
    facts: bytes
    answer: asyncio.Future[int | Short]
    """The id of its hold, or the account that refuses."""
    number: int = 0
    """Its place in the line."""


@dataclass(slots=True, eq=False)
class _Round:
    """What one round came to."""

    answers: list[tuple[Want, int | Short]] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)


_number = operator.attrgetter("number")


class Line:
    """Those of this process who want money; used on the engine's loop alone.

    Args:
        desk: Runs the transactions.
        owners: Knows which processes live.
        clock: Tells the time.
        on_lost: Told of each hold whose process died, once it is settled.
    """

    def __init__(self, desk: Desk, owners: Owners, clock: Clock, on_lost: Callable[[Lost], None]) -> None:
        self._desk = desk
        self._owners = owners
        self._clock = clock
        self._on_lost = on_lost
        self._groups: dict[tuple[str, ...], deque[Want]] = {}
        self._numbers = itertools.count()
        self._is_asked = False
        self._poll: asyncio.Task[None] | None = None
        self._recovered_s: float | None = None

    async def join(self, charges: Sequence[Charge], facts: bytes) -> int | Short:
        """Waits until the amounts are set aside, all of them, or until one of them never can be.

        Returns:
            The id of the hold, or what stands in its way.

        Raises:
            StateError: If the state cannot be written.
        """
        keys = tuple([charge.key for charge in charges])
        want = Want(charges, keys, facts, asyncio.get_running_loop().create_future(), next(self._numbers))
        self._groups.setdefault(keys, deque()).append(want)
        self._ask()
        try:
            return want.answer.result() if want.answer.done() else await want.answer
        except asyncio.CancelledError:
            self._leave(want)
            raise

    def look(self) -> None:
        """Something was let go of: who waits may be covered now."""
        if self._groups:
            self._ask()

    @property
    def is_free(self) -> bool:
        """Whether nobody waits, and the dead have been looked for: who is covered may take at once."""
        return not self._groups and self._recovered_s is not None

    def take_now(self, connection: sqlite3.Connection, charges: Sequence[Charge], facts: bytes) -> int | None:
        """The id of a hold, or ``None`` where not all accounts are there and cover it; a work for the desk."""
        now_us = microseconds(self._clock.now())
        holds = accounts.take_all(connection, [(charges, facts)], owner=self._owners.me, now_us=now_us)
        return holds[0] if holds else None

    async def recover(self) -> list[Lost]:
        """Settles the holds of dead processes now."""
        found = await self._desk.submit(self._recover)
        self._tell_lost(found)
        return found

    def _leave(self, want: Want) -> None:
        """A call was cancelled: what it may just have got is given back, and whom it held up may go on."""
        if want.answer.cancelled():
            self._remove(want)
            self.look()
        elif want.answer.exception() is None and isinstance(hold := want.answer.result(), int):
            self.give_back(hold, want.charges)

    def give_back(self, hold: int, charges: Sequence[Charge]) -> None:
        """Ends a hold that nothing was spent of."""
        nothing = [(charge.amount, 0, charge.key) for charge in charges]
        self._desk.post(lambda connection: accounts.end(connection, hold, nothing))
        self.look()

    def _ask(self) -> None:
        if not self._is_asked:
            self._is_asked = True
            self._desk.enter(self._round, self._told)

    def _round(self, connection: sqlite3.Connection) -> _Round:
        outcome, now_us = _Round(), microseconds(self._clock.now())
        if self._recovered_s is None:
            accounts.forget(connection, now_us=now_us)
            outcome.lost += self._recover(connection)
        elif self._take_all(connection, outcome, now_us):
            return outcome
        held_up: set[str] = set()
        waiting = (iter(group) for group in self._groups.values())
        heads = [(head.number, head, others) for others in waiting for head in (next(others),)]
        heapq.heapify(heads)
        while heads:
            _, want, others = heads[0]
            following = None
            if held_up.isdisjoint(want.keys):
                answer = self._take(connection, want, outcome, now_us)
                if isinstance(answer, int) or answer.is_final:
                    outcome.answers.append((want, answer))
                    following = next(others, None)
                else:
                    held_up.add(answer.charge.key)
            if following is None:
                heapq.heappop(heads)
            else:
                heapq.heapreplace(heads, (following.number, following, others))
        return outcome

    def _take_all(self, connection: sqlite3.Connection, outcome: _Round, now_us: int) -> bool:
        """Whether all who wait were covered together, the usual case; else nothing was taken."""
        wants = sorted(itertools.chain.from_iterable(self._groups.values()), key=_number)
        wanted = [(want.charges, want.facts) for want in wants]
        holds = accounts.take_all(connection, wanted, owner=self._owners.me, now_us=now_us)
        if holds is None:
            return False
        outcome.answers += zip(wants, holds, strict=True)
        return True

    def _take(self, connection: sqlite3.Connection, want: Want, outcome: _Round, now_us: int) -> int | Short:
        def take() -> int | Short:
            return accounts.take(connection, want.charges, owner=self._owners.me, facts=want.facts, now_us=now_us)

        answer = take()
        if isinstance(answer, Short) and self._may_recover():
            lost = self._recover(connection)
            if lost:
                outcome.lost += lost
                answer = take()
        return answer

    def _may_recover(self) -> bool:
        return self._recovered_s is None or self._clock.monotonic() - self._recovered_s >= RECOVER_S

    def _recover(self, connection: sqlite3.Connection) -> list[Lost]:
        self._recovered_s = self._clock.monotonic()
        return accounts.recover(connection, self._owners.dead, now_us=microseconds(self._clock.now()))

    def _told(self, outcome: _Round | None, error: BaseException | None) -> None:
        """The round was committed, or failed as a whole."""
        self._is_asked = False
        if outcome is None:
            self._refuse_all(error)
            return
        for want, answer in outcome.answers:
            self._remove(want)
            if not want.answer.done():
                want.answer.set_result(answer)
            elif isinstance(answer, int):  # cancelled in this very turn
                self.give_back(answer, want.charges)
        self._tell_lost(outcome.lost)
        if self._groups and self._poll is None:
            self._poll = asyncio.get_running_loop().create_task(self._look_later())

    def _remove(self, want: Want) -> None:
        group = self._groups.get(want.keys)
        if group is None:
            return
        if group[0] is want:
            group.popleft()
        elif want in group:  # cancelled
            group.remove(want)
        if not group:
            del self._groups[want.keys]

    def _tell_lost(self, lost: list[Lost]) -> None:
        for one in lost:
            self._on_lost(one)

    def _refuse_all(self, error: BaseException | None) -> None:
        groups, self._groups = self._groups, {}
        for want in itertools.chain.from_iterable(groups.values()):
            if not want.answer.done():
                hint = error.hint if isinstance(error, StateError) else ""
                # Each has an exception of its own: one that is raised often grows a long traceback.
                want.answer.set_exception(StateError(str(error), hint=hint))

    async def _look_later(self) -> None:
        try:
            await self._clock.sleep(POLL_S * random.uniform(0.7, 1.3))  # noqa: S311 - processes take turns, no more
        finally:
            self._poll = None
        self.look()
