"""Providers that limit in different ways, and callers in virtual time: minutes of traffic in milliseconds."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from orchestration_nb.errors import RateLimit
from orchestration_nb.resilience.pacing import Outcome, Pace, Sent

RetryAfter = Literal["none", "exact", "ceil"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a server says to one request."""

    passed: bool
    retry_after_s: float | None = None
    rate_limit: RateLimit | None = None


def refused(wait_s: float, say: RetryAfter) -> Verdict:
    return Verdict(False, {"none": None, "exact": wait_s, "ceil": float(math.ceil(wait_s))}[say])


class MovingWindow:
    """At most ``most`` in any ``seconds``."""

    def __init__(self, most: int, seconds: float, say: RetryAfter, *, headers: bool = False) -> None:
        self.most, self.seconds, self.say, self.headers = most, seconds, say, headers
        self.held: deque[float] = deque()

    @property
    def allowed(self) -> float:
        return self.most / self.seconds

    def ask(self, now: float) -> Verdict:
        while self.held and self.held[0] <= now - self.seconds:
            self.held.popleft()
        if len(self.held) >= self.most:
            return refused(self.held[0] + self.seconds - now, self.say)
        self.held.append(now)
        limit = RateLimit(
            limit_requests=self.most, remaining_requests=self.most - len(self.held), reset_requests_s=self.seconds
        )
        return Verdict(True, rate_limit=limit if self.headers else None)


class FixedWindow(MovingWindow):
    """At most ``most`` from one full second to the next."""

    def ask(self, now: float) -> Verdict:
        begun = now // self.seconds * self.seconds
        while self.held and self.held[0] < begun:
            self.held.popleft()
        if len(self.held) >= self.most:
            return refused(begun + self.seconds - now, self.say)
        self.held.append(now)
        return Verdict(True)


class Bucket(MovingWindow):
    """Refills evenly; holds ``size`` at most."""

    def __init__(self, most: int, seconds: float, say: RetryAfter, *, size: int) -> None:
        super().__init__(most, seconds, say)
        self.size, self.level, self.at_s = size, float(size), 0.0

    def ask(self, now: float) -> Verdict:
        self.level = min(self.size, self.level + (now - self.at_s) * self.allowed)
        self.at_s = now
        if self.level < 1:
            return refused((1 - self.level) / self.allowed, self.say)
        self.level -= 1
        return Verdict(True)


class Dice:
    """Refuses at random, however slowly it is asked."""

    allowed = math.inf

    def __init__(self, share: float, retry_after_s: float | None, seed: int) -> None:
        self.share, self.retry_after_s, self.dice = share, retry_after_s, random.Random(seed)

    def ask(self, now: float) -> Verdict:
        passed = self.dice.random() >= self.share
        return Verdict(passed, None if passed else self.retry_after_s)


class Unreliable:
    """Another server that besides refuses at random."""

    def __init__(self, server: MovingWindow, share: float, seed: int) -> None:
        self.server, self.dice = server, Dice(share, None, seed)

    def ask(self, now: float) -> Verdict:
        verdict = self.dice.ask(now)
        return self.server.ask(now) if verdict.passed else verdict


class Traffic:
    """So many callers that ask one server one call after another, by a pace."""

    def __init__(
        self,
        server: Any,
        callers: int = 32,
        latency_s: tuple[float, float] = (0.005, 0.2),
        uplink_s: tuple[float, float] = (0.001, 0.001),
        *,
        seed: int = 1,
    ) -> None:
        self.server, self.latency_s, self.uplink_s = server, latency_s, uplink_s
        self.pace = Pace()
        self.now = 0.0
        self.passed_s: list[float] = []
        self.refused_s: list[float] = []
        self.most_tries = 0
        self._dice = random.Random(seed)
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._waiting: deque[int] = deque([0] * callers)
        self._tick()

    def run(self, seconds: float, *, at: Callable[[float], None] | None = None) -> Traffic:
        """Goes on until so many seconds have passed; ``at`` is told the time before each event."""
        while self._events and self._events[0][0] <= seconds:
            self.now, _, do = heapq.heappop(self._events)
            if at is not None:
                at(self.now)
            do()
        self.now = seconds
        return self

    def rate(self, since_s: float, until_s: float | None = None) -> float:
        """Calls per second that passed in a stretch of time."""
        until_s = self.now if until_s is None else until_s
        return sum(since_s <= at_s < until_s for at_s in self.passed_s) / (until_s - since_s)

    def _later(self, wait_s: float, do: Callable[..., None], *values: Any) -> None:
        event: tuple[float, int, Callable[[], None]] = (self.now + wait_s, next(self._order), partial(do, *values))
        heapq.heappush(self._events, event)

    def _tick(self) -> None:
        while self._waiting:
            if self.pace.wait_s(self.now) > 0:
                self.pace.hold()
                break
            tries = self._waiting.popleft()
            self._later(self._dice.uniform(*self.uplink_s), self._arrive, self.pace.sent(self.now), tries)
        self._later(0.002, self._tick)

    def _arrive(self, sent: Sent, tries: int) -> None:
        verdict = self.server.ask(self.now)
        (self.passed_s if verdict.passed else self.refused_s).append(self.now)
        wait_s = self._dice.uniform(*self.latency_s) if verdict.passed else self.latency_s[0]
        self._later(wait_s, self._answer, sent, tries, verdict)

    def _answer(self, sent: Sent, tries: int, verdict: Verdict) -> None:
        outcome: Outcome = "accepted" if verdict.passed else "refused"
        asked_s = verdict.retry_after_s
        self.pace.ended(sent, outcome, self.now, retry_after_s=asked_s, rate_limit=verdict.rate_limit)
        if verdict.passed:
            self._waiting.append(0)
            return
        self.most_tries = max(self.most_tries, tries + 1)
        drawn_s = self._dice.uniform(0, min(30.0, 0.5 * 2**tries))
        self._later(drawn_s if asked_s is None else asked_s + drawn_s * 0.1, self._waiting.append, tries + 1)
