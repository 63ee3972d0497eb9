"""How one model's circuit stands, and what changes it.

A **failure rate** over a window opens it, and not failures in a row: those open every model of which a fifth of the
answers fail. Three things keep chance and order from looking like an outage:

- fewer than ``min_calls`` attempts open nothing;
- the rate has to be passed by one standard error, so that 10 failures of 20 are not yet "half of them";
- the window holds attempts in the order in which they *began*, and those still under way count as not failed. By the
  order in which they end, refused connections (which come back at once) and silent ones (whose timeouts run out
  together) both look like nothing but failures.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from orchestration_nb.clock import Clock
from orchestration_nb.errors import CallError, ModelUnavailableError, SchemaNotMetError
from orchestration_nb.events import CircuitChanged, CircuitState

RECENT: Final = 50
"""Of a busy model only so many attempts count (or ``min_calls``, if that is more), so that an outage after a good
half-minute is seen as soon as one after a quiet one."""

Outcome = Literal["good", "bad", "answered", "unknown"]
"""A reply; a failure that speaks against the model; a refusal, so that somebody is there; nothing was learnt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When a model that fails is left alone for a while."""

    failure_rate: float = 0.5
    """Share of failed attempts in the window that opens the circuit."""
    window_s: float = 30.0
    min_calls: int = 20
    """Fewer attempts in the window open nothing."""
    probe_after_s: float = 10.0
    """How long it stays open before one call probes the model."""


class Permit:
    """Leave to make one attempt; is ended exactly once, and ends of it after the first are ignored."""

    __slots__ = ("_circuit", "generation", "outcome", "started_s")

    def __init__(self, circuit: Circuit, generation: int, started_s: float) -> None:
        self._circuit: Circuit | None = circuit
        self.generation = generation
        self.started_s = started_s
        self.outcome: Outcome | None = None
        """``None`` while the attempt is under way."""

    @property
    def valid(self) -> bool:
        """Whether the circuit has not changed since, and the permit has not ended."""
        return self._circuit is not None and self._circuit.generation == self.generation

    def succeeded(self) -> None:
        """A usable reply came."""
        self._end("good", None)

    def failed(self, error: BaseException) -> None:
        """The attempt ended with this error; the kind of error says whether it speaks against the model."""
        self._end(outcome_of(error), error)

    def abandoned(self) -> None:
        """The attempt was given up before anything came of it; a probe's place becomes free."""
        self._end("unknown", None)

    def _end(self, outcome: Outcome, error: BaseException | None) -> None:
        circuit, self._circuit = self._circuit, None
        if circuit is not None:
            self.outcome = outcome
            circuit.ended(self, outcome, error)


def outcome_of(error: BaseException) -> Outcome:
    """What an error says about the model that was asked."""
    if not isinstance(error, CallError):
        return "unknown"
    if error.opens_circuit and error.retryable:
        return "bad"
    return "answered" if error.http_status is not None or isinstance(error, SchemaNotMetError) else "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What the latest attempts came to."""

    bad: int
    good: int
    pending: int
    """Begun before the last of those that have ended, and still under way."""

    @property
    def ended(self) -> int:
        """Attempts that ended, those that say nothing about the model left out."""
        return self.bad + self.good

    @property
    def failure_rate(self) -> float:
        """Share of them that failed."""
        return self.bad / self.ended if self.ended else 0.0


class Circuit:
    """The circuit of one model; used on one loop."""

    __slots__ = (
        "_clock", "_in_flight", "_policy", "_probe", "_started", "_tell", "due_s", "generation", "model", "reason",
        "state", "waiting",
    )  # fmt: skip

    def __init__(self, model: str, policy: BreakerPolicy, clock: Clock, tell: Callable[[CircuitChanged], None]) -> None:
        self.model = model
        self.state: CircuitState = "closed"
        self.generation = 0
        """Counts the changes: what began before one says nothing about the time after it."""
        self.due_s = math.inf
        """While it is open: when the model may be probed."""
        self.reason = ""
        self.waiting: set[asyncio.Future[None]] = set()
        """Resolved, all of them, at the next change and when a probe's place becomes free."""
        self._policy = policy
        self._clock = clock
        self._tell = tell
        self._started: deque[Permit] = deque()
        self._in_flight = 0
        self._probe: Permit | None = None

    @property
    def is_free(self) -> bool:
        """Whether :meth:`take` would give a permit."""
        if self.state == "open":
            return self._clock.monotonic() >= self.due_s
        return self.state == "closed" or self._probe is None

    def take(self) -> Permit | None:
        """Leave for one attempt, or ``None`` while the model is left alone or probed."""
        if self.state != "closed":
            return self._take_probe() if self.is_free else None
        permit = Permit(self, self.generation, self._clock.monotonic())
        started = self._started
        started.append(permit)
        self._in_flight += 1
        # Whatever is younger than the last that ended is under way, so these are always enough to look at.
        while len(started) > max(RECENT, self._policy.min_calls) + 2 * self._in_flight:
            started.popleft()
        return permit

    def unavailable(self) -> ModelUnavailableError:
        """The error that says that the model is not asked now, and when it will be."""
        wait_s = max(0.0, self.due_s - self._clock.monotonic()) if self.state == "open" else 0.0
        when = f"It is probed again in {wait_s:.0f} s." if self.state == "open" else "One call is probing it now."
        return ModelUnavailableError(
            f"{self.model} is not asked for now: {self.reason}.",
            hint=f"{when} `%orchestrate status` shows it; a fallback model can answer meanwhile.",
            retry_after_s=wait_s,
        )

    def window(self) -> Window:
        """The latest attempts, by the order in which they began; may be called from any thread."""
        counts: dict[Outcome | None, int] = {"good": 0, "bad": 0, None: 0}
        latest_s, seen, most = -math.inf, 0, max(RECENT, self._policy.min_calls)
        for permit in reversed(tuple(self._started)):
            outcome = permit.outcome
            if seen == 0 and outcome not in {"good", "bad"}:
                continue
            latest_s = latest_s if seen else permit.started_s
            if seen == most or permit.started_s < latest_s - self._policy.window_s:
                break
            if outcome in counts:
                counts[outcome] += 1
                seen += 1
        return Window(bad=counts["bad"], good=counts["good"], pending=counts[None])

    def ended(self, permit: Permit, outcome: Outcome, error: BaseException | None) -> None:
        """Takes the end of an attempt."""
        if permit is self._probe:
            self._probed(outcome, error)
            return
        self._in_flight -= 1
        if outcome == "bad" and self.state == "closed" and permit.generation == self.generation:
            window = self.window()
            if self._is_ill(window):
                share = f"{window.bad} of its last {window.ended} attempts failed"
                self._open(f"{share}, the latest with {type(error).__name__}")

    def _is_ill(self, window: Window) -> bool:
        if window.ended < self._policy.min_calls:
            return False
        rate, counted = self._policy.failure_rate, window.ended + window.pending
        most = rate * counted + math.sqrt(rate * (1 - rate) * counted)
        return window.bad >= min(most, counted)

    def _take_probe(self) -> Permit:
        opened = self.state == "open"
        if opened:
            self.state, self.generation = "half_open", self.generation + 1
        self._probe = permit = Permit(self, self.generation, self._clock.monotonic())
        if opened:
            self._changed("one call probes whether it is back")
        return permit

    def _probed(self, outcome: Outcome, error: BaseException | None) -> None:
        self._probe = None
        if outcome == "unknown":
            self._wake()
        elif outcome == "bad":
            self._open(f"the call that probed it failed ({type(error).__name__})")
        else:
            self._close()

    def _open(self, reason: str) -> None:
        self.state, self.generation, self.reason = "open", self.generation + 1, reason
        self.due_s = self._clock.monotonic() + self._policy.probe_after_s
        self._changed(reason)

    def _close(self) -> None:
        self.state, self.generation, self.reason, self.due_s = "closed", self.generation + 1, "", math.inf
        self._changed("the call that probed it was answered")
        self._started.clear()

    def _changed(self, reason: str) -> None:
        self._wake()
        window = self.window()
        self._tell(
            CircuitChanged(
                model=self.model,
                state=self.state,
                failure_rate=window.failure_rate,
                attempts=window.ended,
                reason=reason,
                changed_at=self._clock.now(),
            )
        )

    def _wake(self) -> None:
        for future in self.waiting:
            resolve(future)
        self.waiting.clear()


def resolve(future: asyncio.Future[None]) -> None:
    """Wakes whoever awaits it, once."""
    if not future.done():
        future.set_result(None)
