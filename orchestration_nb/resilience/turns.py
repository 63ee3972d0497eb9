"""The calls of one model, in the order in which they came: who waits, and who goes next."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from orchestration_nb.clock import Clock
from orchestration_nb.errors import CallError, RateLimit, RateLimitedError
from orchestration_nb.resilience.pacing import Outcome, Pace, Sent

_LOOK_AGAIN_S = 0.05
"""How soon a wait that another call's answer may shorten is looked at again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLimits:
    """How one model is limited just now, for ``%orchestrate status``."""

    model: str
    in_flight: int
    waiting: int
    """Calls that wait for their turn."""
    pace_per_s: float | None
    """Calls per second that the provider was found to take; ``None`` while it has refused none."""
    refusals: int
    """429s since the workspace was opened."""
    waits_s: float
    """Seconds until the next call may go."""
    why: str
    """What holds the calls up, in one sentence; empty where nothing does."""


class Turn:
    """One attempt's leave to go out; ended exactly once, by :meth:`ended` or :meth:`unused`."""

    __slots__ = ("_line", "_sent", "waited_s")

    def __init__(self, line: Line, sent: Sent, waited_s: float = 0.0) -> None:
        self._line: Line | None = line
        self._sent = sent
        self.waited_s = waited_s
        """Seconds waited for it: not the model's latency, and nobody's impatience."""

    def ended(
        self,
        error: BaseException | None = None,
        *,
        rate_limit: RateLimit | None = None,
        tokens: int = 0,  # noqa: ARG002
    ) -> None:
        """The attempt is over.

        Args:
            error: What it failed with, or ``None``: it was answered.
            rate_limit: What the answer's headers said; an error's own is found there.
            tokens: Tokens that it took, read and written; 0 where nobody knows.
        """
        line = self._take_line()
        if isinstance(error, CallError):
            rate_limit = rate_limit or error.rate_limit
        line.end(self._sent, error, rate_limit)

    def unused(self) -> None:
        """The attempt was not sent after all."""
        line = self._take_line()
        line.pace.unsent(self._sent)

    def _take_line(self) -> Line:
        line, self._line = self._line, None
        if line is None:
            raise AssertionError("a turn is ended once")
        return line


def _outcome(error: BaseException | None) -> Outcome:
    if error is None:
        return "accepted"
    if isinstance(error, RateLimitedError):
        return "refused"
    return "accepted" if isinstance(error, CallError) and error.http_status is not None else "unknown"


class Line:
    """The calls of one model and key that wait for their turn, first come, first served.

    Args:
        model: Full name of the model.
        clock: Tells the time and waits.
    """

    def __init__(self, model: str, clock: Clock) -> None:
        self.model = model
        self.pace = Pace()
        self._clock = clock
        self._waiting: deque[tuple[float, asyncio.Future[Turn]]] = deque()
        self._server: asyncio.Task[None] | None = None

    def turn_now(self) -> Turn | None:
        """A turn, where nobody waits and nothing limits; else ``None``."""
        now = self._clock.monotonic()
        if self._waiting or self.pace.wait_s(now) > 0:
            return None
        return Turn(self, self.pace.sent(now))

    async def wait(self) -> Turn:
        """Waits for a turn. A cancelled wait leaves nothing behind."""
        turn: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._clock.monotonic(), turn))
        if self._server is None:
            self._server = asyncio.create_task(self._serve())
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                turn.result().unused()
            raise

    async def _serve(self) -> None:
        """Gives turns until nobody waits."""
        try:
            while self._drop_cancelled():
                now = self._clock.monotonic()
                wait_s = self.pace.wait_s(now)
                if wait_s > 0:
                    self.pace.hold()
                    await self._clock.sleep(min(wait_s, _LOOK_AGAIN_S))
                    continue
                since, place = self._waiting.popleft()
                place.set_result(Turn(self, self.pace.sent(now), now - since))
        finally:
            self._server = None

    def _drop_cancelled(self) -> bool:
        while self._waiting and self._waiting[0][1].done():
            self._waiting.popleft()
        return bool(self._waiting)

    def end(self, sent: Sent, error: BaseException | None, rate_limit: RateLimit | None) -> None:
        """A call that had its turn is over."""
        retry_after_s = error.retry_after_s if isinstance(error, RateLimitedError) else None
        self.pace.ended(
            sent, _outcome(error), self._clock.monotonic(), retry_after_s=retry_after_s, rate_limit=rate_limit
        )

    def standing(self) -> ModelLimits:
        """How the model is limited just now."""
        now = self._clock.monotonic()
        waiting = sum(not place.done() for _, place in self._waiting)
        pace = None if self.pace.rate == float("inf") else self.pace.rate
        return ModelLimits(
            model=self.model,
            in_flight=self.pace.in_flight,
            waiting=waiting,
            pace_per_s=pace,
            refusals=self.pace.refusals,
            waits_s=self.pace.wait_s(now),
            why=self._why(waiting, now),
        )

    def _why(self, waiting: int, now: float) -> str:
        if not waiting:
            return ""
        wait_s = self.pace.gated_until_s - now
        calls = f"{waiting} {'call waits' if waiting == 1 else 'calls wait'}"
        if wait_s > 0.5:
            return f"{self.model} asked for no calls for another {wait_s:.0f} s: {calls}."
        return f"{self.model} takes about {self.pace.rate:.3g} requests per second: {calls}."
