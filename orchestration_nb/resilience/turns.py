"""The calls of one model, in the order in which they came: who waits, and who goes next."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections import deque
from dataclasses import dataclass

from orchestration_nb.clock import Clock
from orchestration_nb.errors import CallError, RateLimit, RateLimitedError, StateError
from orchestration_nb.resilience.estimates import TokenEstimate
from orchestration_nb.resilience.pacing import Outcome, Pace, Sent
from orchestration_nb.resilience.shared import SENT_WITHIN_S, SharedLimits, said
from orchestration_nb.state.windows import HANDOVER_S, Bounds, Grant, Places, Window

_LOOK_AGAIN_S, _SELDOM_S = 0.05, 1.0
"""How soon, and how late at most, a wait that an answer may shorten is looked at again."""
_AT_ONCE = 64
"""Most calls that are granted in one transaction."""


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
    why: str
    """What holds the calls up, in one sentence; empty where nothing does."""


@dataclass(frozen=True, slots=True)
class _Waiter:
    since_s: float
    tokens: int
    until_s: float
    turn: asyncio.Future[Turn]


class Turn:
    """One attempt's leave to go out; ended exactly once, by :meth:`ended` or :meth:`unused`."""

    __slots__ = ("_grant", "_line", "_sent", "_tokens", "waited_s")

    def __init__(
        self, line: Line, sent: Sent, *, grant: Grant | None = None, tokens: int = 0, waited_s: float = 0.0
    ) -> None:
        self._line: Line | None = line
        self._sent = sent
        self._grant = grant
        self._tokens = tokens
        self.waited_s = waited_s
        """Seconds waited for it: not the model's latency."""

    def ended(
        self, error: BaseException | None = None, *, rate_limit: RateLimit | None = None, tokens: int = 0
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
        line.end(self._sent, error, rate_limit, tokens)
        if self._grant is not None:
            line.settle(self._grant, error, asked=self._tokens, took=tokens)

    @property
    def is_over(self) -> bool:
        """Whether the attempt has ended, or was not made."""
        return self._line is None

    def went_out(self) -> None:
        """The attempt has been sent by now, unless it is over already."""
        if self._line is not None and self._grant is not None:
            self._line.went_out(self._grant)

    def unused(self) -> None:
        """The attempt was not sent after all."""
        line = self._take_line()
        line.take_back(self._sent, self._grant)

    def _take_line(self) -> Line:
        line, self._line = self._line, None
        if line is None:
            raise AssertionError("a turn is ended once")
        return line


class TurnAhead:
    """A turn that is taken in somebody else's transaction, where there is room at once."""

    __slots__ = ("_grant", "_line", "_taken", "_tokens")

    def __init__(self, line: Line, tokens: int) -> None:
        self._line = line
        self._tokens = tokens
        self._taken: Grant | None = None
        self._grant: Grant | None = None

    def take(self, connection: sqlite3.Connection) -> None:
        """Takes it, within the transaction."""
        self._taken = self._line.take_in(connection, self._tokens)

    def committed(self) -> None:
        """The transaction has ended well."""
        self._grant = self._taken

    def turn(self) -> Turn | None:
        """The turn, to be had once; ended by whoever has it."""
        grant, self._grant = self._grant, None
        return None if grant is None else self._line.turn_of(grant, self._tokens)


def _outcome(error: BaseException | None) -> Outcome:
    if error is None:
        return "accepted"
    if isinstance(error, RateLimitedError):
        return "refused"
    return "accepted" if isinstance(error, CallError) and error.http_status is not None else "unknown"


class Line:
    """The calls of one model that wait for their turn, first come, first served.

    Args:
        model: Full name of the model.
        clock: Tells the time and waits.
        shared: Grants what the user limited.
        bounds: What the user limited.
    """

    def __init__(self, model: str, clock: Clock, shared: SharedLimits, bounds: Bounds) -> None:
        self.model = model
        self.pace = Pace()
        self._clock = clock
        self._shared = shared
        self._bounds = bounds
        self._is_bound = bool(bounds)
        self._estimate = TokenEstimate()
        self._waiting: deque[_Waiter] = deque()
        self._sending: deque[tuple[float, Turn]] = deque()
        self._server: asyncio.Task[None] | None = None
        self._held_by: Window | Places | None = None
        self._alarm: asyncio.Future[None] | None = None

    def turn_now(self) -> Turn | None:
        """A turn, where nobody waits and nothing limits; else ``None``."""
        if self._waiting or self._is_bound:
            return None
        now = self._clock.monotonic()
        return None if self.pace.wait_s(now) > 0 else Turn(self, self.pace.sent(now))

    def ahead(self, tokens: int) -> TurnAhead | None:
        """A turn to be taken in somebody else's transaction; ``None`` where it takes none, or has to be waited for."""
        if self._waiting or not self._is_bound or self.pace.wait_s(self._clock.monotonic()) > 0:
            return None
        return TurnAhead(self, tokens)

    def take_in(self, connection: sqlite3.Connection, tokens: int) -> Grant | None:
        """A grant where there is room: a work for the desk."""
        answer = self._shared.take_in(connection, self._bounds, [self._estimate.of(tokens)])
        return answer.grants[0] if answer.grants else None

    def turn_of(self, grant: Grant, tokens: int) -> Turn | None:
        """The turn of a call that was granted and did not wait; ``None`` where the provider has asked for a pause."""
        now = self._clock.monotonic()
        if self.pace.wait_s(now) > 0:
            self._shared.undo(self._bounds, grant)
            return None
        return self._begin(grant, tokens, now, 0.0)

    async def wait(self, tokens: int, until_s: float) -> Turn:
        """Waits for a turn. A wait that is cancelled leaves nothing behind.

        Raises:
            RateLimitedError: If the provider asked for a pause that lasts longer than the call may wait.
            StateError: If the state that all processes share cannot be written.
        """
        turn: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiter(self._clock.monotonic(), tokens, until_s, turn))
        if self._server is None:
            self._server = asyncio.create_task(self._serve())
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                turn.result().unused()
            raise

    async def _serve(self) -> None:
        """Gives turns until nobody waits."""
        try:
            while self._drop_cancelled():
                wait_s = await self._serve_next()
                if wait_s > 0:
                    await self._nap(wait_s)
        except StateError as error:
            for waiter in self._waiting:
                if not waiter.turn.done():
                    waiter.turn.set_exception(error)
            self._waiting.clear()
        finally:
            self._server = None

    async def _serve_next(self) -> float:
        """Gives the turns that may be given now.

        Returns:
            Seconds after which to look again.
        """
        wait_s = self.pace.wait_s(self._clock.monotonic())
        if wait_s > 0:
            self._held_by = None
            self._refuse_impatient()
            self.pace.hold()
            return min(wait_s, _LOOK_AGAIN_S)
        if not self._is_bound:
            self._give(None)
            return 0.0
        count = min(len(self._waiting), _AT_ONCE if self.pace.rate == math.inf else 1)
        tokens = [self._estimate.of(self._waiting[place].tokens) for place in range(count)]
        answer = await self._shared.take(self._bounds, tokens)
        self._held_by = answer.held_by
        for grant in answer.grants:
            # Meanwhile the one who waited may have given up, or the provider have asked for a pause.
            if self._drop_cancelled() and self.pace.wait_s(self._clock.monotonic()) <= 0:
                self._give(grant)
            else:
                self._shared.undo(self._bounds, grant)
        if answer.held_by is None:
            return 0.0
        # Calls that end, or have gone out, make room sooner than what stands in the tables says.
        seldom = isinstance(answer.held_by, Window) and answer.wait_s > HANDOVER_S + 2
        return min(answer.wait_s, _SELDOM_S if seldom else _LOOK_AGAIN_S)

    def _give(self, grant: Grant | None) -> None:
        now, waiter = self._clock.monotonic(), self._waiting.popleft()
        waiter.turn.set_result(self._begin(grant, waiter.tokens, now, now - waiter.since_s))

    def _begin(self, grant: Grant | None, tokens: int, now: float, waited_s: float) -> Turn:
        turn = Turn(self, self.pace.sent(now), grant=grant, tokens=tokens, waited_s=waited_s)
        if grant is not None:
            # Some time after the task that waited has had its go: a loop that is held up comes to both late.
            due_s = asyncio.get_running_loop().time() + SENT_WITHIN_S
            self._sending.append((due_s, turn))
            if len(self._sending) == 1:
                asyncio.get_running_loop().call_at(due_s, self._tell_sent)
        return turn

    def _tell_sent(self) -> None:
        """Of those that had their turn some time ago; one timer serves all."""
        loop, sending = asyncio.get_running_loop(), self._sending
        while sending and (sending[0][1].is_over or sending[0][0] <= loop.time()):
            sending.popleft()[1].went_out()
        if sending:
            loop.call_at(sending[0][0], self._tell_sent)

    def _refuse_impatient(self) -> None:
        """Those who cannot wait as long as the provider asked for are told now, and not when their time is over."""
        pause_ends_s = self.pace.paused_until_s
        for waiter in self._waiting:
            if waiter.until_s < pause_ends_s and not waiter.turn.done():
                left_s = pause_ends_s - self._clock.monotonic()
                waiter.turn.set_exception(
                    RateLimitedError(f"{self.model} asked for no more calls for a while.", retry_after_s=left_s)
                )

    def _drop_cancelled(self) -> bool:
        while self._waiting and self._waiting[0].turn.done():
            self._waiting.popleft()
        return bool(self._waiting)

    async def _nap(self, seconds: float) -> None:
        """Waits until a call ends that may make room, but no longer than so many seconds."""
        alarm = self._alarm = asyncio.get_running_loop().create_future()
        sleeper = asyncio.ensure_future(self._clock.sleep(seconds))
        # Its own alarm: a sleeper that is cancelled must not end the nap after this one.
        sleeper.add_done_callback(lambda _: _ring(alarm))
        try:
            await alarm
        finally:
            self._alarm = None
            sleeper.cancel()

    def _wake(self) -> None:
        if self._alarm is not None:
            _ring(self._alarm)

    def end(self, sent: Sent, error: BaseException | None, rate_limit: RateLimit | None, tokens: int) -> None:
        """A call that had its turn is over."""
        retry_after_s = error.retry_after_s if isinstance(error, RateLimitedError) else None
        self.pace.ended(
            sent,
            _outcome(error),
            self._clock.monotonic(),
            retry_after_s=retry_after_s,
            rate_limit=rate_limit,
            tokens=tokens,
        )

    def went_out(self, grant: Grant) -> None:
        """A call that was granted has been sent by now."""
        self._shared.went_out(self._bounds, grant)

    def settle(self, grant: Grant, error: BaseException | None, *, asked: int, took: int) -> None:
        """Corrects what was granted for a call to what it took."""
        if error is None and took:
            self._estimate.learn(asked, took)
        elif isinstance(error, CallError) and error.billing == "no":
            took = 0
        else:
            took = took or grant.tokens
        self._shared.end(self._bounds, grant, took)
        if isinstance(self._held_by, Places):
            self._wake()

    def take_back(self, sent: Sent, grant: Grant | None) -> None:
        """A call that had its turn was not sent."""
        self.pace.unsent(sent)
        if grant is not None:
            self._shared.undo(self._bounds, grant)
        self._wake()

    def standing(self) -> ModelLimits:
        """How the model is limited just now; may be called from any thread."""
        waiting = sum(not waiter.turn.done() for waiter in tuple(self._waiting))
        return ModelLimits(
            model=self.model,
            in_flight=self.pace.in_flight,
            waiting=waiting,
            pace_per_s=None if self.pace.rate == math.inf else self.pace.rate,
            refusals=self.pace.refusals,
            why=self._why(waiting) if waiting else "",
        )

    def _why(self, waiting: int) -> str:
        calls = f"{waiting:,} {'call waits' if waiting == 1 else 'calls wait'}"
        gated_s = self.pace.paused_until_s - self._clock.monotonic()
        held_by = self._held_by  # read once: the engine's thread changes it meanwhile
        if held_by is not None:
            return f"{said(held_by)}: {calls}."
        if gated_s >= 0.5 or self.pace.rate == math.inf:
            return f"{self.model} asks for no more calls for {max(gated_s, 0.0):.1f} s: {calls}."
        return f"{self.model} takes about {self.pace.rate:.3g} requests per second: {calls}."


def _ring(alarm: asyncio.Future[None]) -> None:
    if not alarm.done():
        alarm.set_result(None)
