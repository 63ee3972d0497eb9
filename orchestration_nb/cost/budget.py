"""A run's budget: reserved before a call, then settled or released."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from orchestration_nb.config import Reached
from orchestration_nb.errors import OverBudgetError, UsageError


def dollars(usd: float) -> str:
    """A sum of money in a sentence: cents for large sums, two digits that count for small ones."""
    return f"${usd:,.2f}" if usd >= 1 or usd == 0 else f"${usd:.2g}" if usd >= 0.0001 else f"${usd:.6f}"


@dataclass(slots=True)
class Hold:
    """Money set aside for one attempt; ended exactly once, by ``settle`` or ``release``."""

    budget: Budget
    usd: float
    is_open: bool = True

    def settle(self, usd: float) -> None:
        """The attempt cost ``usd``."""
        self.budget._end(self, usd)  # noqa: SLF001 - the two are one mechanism

    def release(self) -> None:
        """The attempt was surely not billed."""
        self.budget._end(self, 0.0)  # noqa: SLF001


class Budget:
    """At most ``limit_usd`` is ever spent and held together.

    Used from the engine's loop alone, so nothing here locks. What is waiting is served in the order it came, so that a
    dear call is not starved by cheap ones.

    Args:
        limit_usd: US dollars.
    """

    def __init__(self, limit_usd: float, *, reached: Reached = "reject") -> None:
        self.limit_usd = limit_usd
        self._reached = reached
        self.spent_usd = 0.0
        self.held_usd = 0.0
        self._open = 0
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()

    async def raise_limit(self, budget: str, to_usd: float) -> None:  # noqa: ARG002 - there is one budget
        """Holds at most ``to_usd`` from now on.

        Raises:
            UsageError: If more is spent already.
        """
        if not to_usd > self.spent_usd:
            hint = "Give the new amount as a whole, what is spent included."
            raise UsageError(f"{dollars(self.spent_usd)} of the budget is spent already.", hint=hint)
        self.limit_usd = to_usd
        self._wake()

    async def reserve(self, usd: float) -> Hold:
        """Sets the most that an attempt can cost aside; waits where only open holds stand against it.

        Raises:
            OverBudgetError: If what is spent plus ``usd`` passes the limit: waiting could not help.
        """
        self._refuse_hopeless(usd)
        if not self._waiting and self._fits(usd):
            return self._hold(usd)
        while True:
            await self._wait(usd)
            try:
                self._refuse_hopeless(usd)
                if self._fits(usd):
                    return self._hold(usd)
            finally:
                self._wake()

    def _hold(self, usd: float) -> Hold:
        self.held_usd += usd
        self._open += 1
        return Hold(self, usd)

    async def _wait(self, usd: float) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (usd, turn)
        self._waiting.append(entry)
        try:
            await turn
        except BaseException:
            self._waiting.remove(entry)
            self._wake()
            raise
        self._waiting.remove(entry)

    def _fits(self, usd: float) -> bool:
        return self._reached == "alert" or self.spent_usd + self.held_usd + usd <= self.limit_usd * (1 + 1e-12)

    def _refuse_hopeless(self, usd: float) -> None:
        if self._reached != "alert" and self.spent_usd + usd > self.limit_usd * (1 + 1e-12):
            raise OverBudgetError(
                f"The budget of {dollars(self.limit_usd)} does not cover the next call: {dollars(self.spent_usd)} is "
                f"spent and the call could cost up to {dollars(usd)}.",
                hint="Raise it with --budget USD (or budget= in Python), or lower max_tokens. "
                "What is finished is kept and is not paid again.",
                pauses=self._reached == "pause",
            )

    def _end(self, hold: Hold, usd: float) -> None:
        if not hold.is_open:
            raise AssertionError("a hold is ended once")
        hold.is_open = False
        self._open -= 1
        # Back to exactly nothing when nothing is held: sums of floats drift.
        self.held_usd = max(0.0, self.held_usd - hold.usd) if self._open else 0.0
        self.spent_usd += usd
        self._wake()

    def _wake(self) -> None:
        if self._waiting:
            usd, turn = self._waiting[0]
            hopeless = self.spent_usd + usd > self.limit_usd * (1 + 1e-12)
            if not turn.done() and (hopeless or self._fits(usd)):
                turn.set_result(None)
