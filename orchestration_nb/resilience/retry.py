"""Retry with exponential backoff and full jitter, by tenacity, entered after the first failure only.

Entering tenacity costs 50-80 us where nothing fails, against 1 us for the bare ``try`` below.
Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/

Each failure uses up one of the policy's attempts, except a 429: it says that the model is well and when to come back,
so that only the deadline ends the patience with it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from orchestration_nb.clock import Clock
from orchestration_nb.errors import CallError, RateLimitedError
from orchestration_nb.resilience.deadline import Deadline

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")
Attempt = Callable[[int, float], Awaitable[T]]
"""Makes one attempt; takes its number (from 1) and the seconds waited before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how patiently a failed attempt is tried again."""

    attempts: int = 5
    """Most attempts, the first one included and those that were answered 429 left out."""
    first_wait_s: float = 0.5
    """The first wait is drawn between 0 and this; each further one from twice as far."""
    most_wait_s: float = 30.0
    deadline_s: float = 300.0
    """No wait that would end later than this after the call's beginning is begun."""
    dice: random.Random = field(default_factory=random.Random, repr=False, compare=False)

    def wait_s(self, failures: int, error: BaseException | None, left_s: float = math.inf) -> float:
        """Seconds to wait after so many failures: never less than the provider asked for.

        Args:
            failures: Failed attempts so far.
            error: The latest failure.
            left_s: Seconds to the deadline; a longer wait is drawn within them.
        """
        ceiling = min(self.most_wait_s, self.first_wait_s * 2.0 ** min(failures - 1, 60))
        asked = error.retry_after_s if isinstance(error, CallError) else None
        if asked is None:
            # As little as a first wait is not cut any shorter: the last attempts would come ever faster.
            return self.dice.uniform(0, min(ceiling, max(self.first_wait_s, left_s)))
        # Those who were told the same time must not all come back at the same moment.
        return asked + self.dice.uniform(0, min(0.1 * ceiling, max(0.0, left_s - asked)))


async def retry_waits(attempt: Attempt[T], policy: RetryPolicy, clock: Clock, *, deadline: Deadline | None = None) -> T:
    """Makes attempts until one succeeds, a failure is not worth repeating, or patience ends.

    Args:
        attempt: Makes one.
        policy: How often, how long.
        clock: Tells the time and waits.
        deadline: Holds instead of the policy's.

    Raises:
        CallError: The last failure; where only the deadline forbids to wait any longer, it says so.
    """
    deadline = deadline or Deadline(clock, policy.deadline_s)
    try:
        return await attempt(1, 0.0)
    except CallError as error:
        if not error.retryable:
            raise
        return await _Retries(attempt, error, policy, clock, deadline).until_it_ends()


class _Retries(Generic[T]):
    """The attempts after the first one."""

    def __init__(
        self, attempt: Attempt[T], first: CallError, policy: RetryPolicy, clock: Clock, deadline: Deadline
    ) -> None:
        self._attempt = attempt
        self._first = first
        self._policy = policy
        self._clock = clock
        self._deadline = deadline
        self._number = 0
        self._used = 0
        """Attempts that count against the policy's number."""
        self._waited_s = 0.0

    async def until_it_ends(self) -> T:
        from tenacity import AsyncRetrying  # noqa: PLC0415 - only where something failed

        retrying = AsyncRetrying(
            retry=self._is_worth_repeating, wait=self._wait_s, stop=self._ends, sleep=self._sleep, reraise=True
        )
        return await retrying(self._next)

    async def _next(self) -> T:
        self._number += 1
        if self._number == 1:
            raise self._first
        return await self._attempt(self._number, self._waited_s)

    def _is_worth_repeating(self, state: RetryCallState) -> bool:
        error = _error_of(state)
        self._used += not isinstance(error, RateLimitedError)
        return error is not None and error.retryable

    def _wait_s(self, state: RetryCallState) -> float:
        return self._policy.wait_s(state.attempt_number, _error_of(state), self._deadline.left_s)

    def _ends(self, state: RetryCallState) -> bool:
        if self._used >= self._policy.attempts:
            return True
        left_s = self._deadline.left_s
        if left_s > 0 and state.upcoming_sleep <= left_s:
            return False
        error = _error_of(state)
        if error is not None:
            _say_why(error, left_s, self._deadline.most_s)
        return True

    async def _sleep(self, seconds: float) -> None:
        self._waited_s = seconds
        await self._clock.sleep(seconds)


def _error_of(state: RetryCallState) -> CallError | None:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, CallError) else None


def _say_why(error: CallError, left_s: float, most_s: float) -> None:
    """Adds to an error that it was not tried again although that might have helped."""
    asked_s = error.retry_after_s
    if asked_s is not None and asked_s > left_s:
        left = f"of the {_told(most_s)} s that may be waited {_told(left_s)} s are left"
        why = f"It asks to wait {_told(asked_s)} s, and {left}."
    else:
        why = f"The {_told(most_s)} s that may be waited are over."
    error.args = (f"{str(error).rstrip('. ')}. {why}",)
    error.hint = f"{error.hint} Allow more with timeout= or, in orchestrate.toml, with [retry] deadline_s.".strip()


def _told(seconds: float) -> str:
    return f"{seconds:,.0f}" if seconds >= 10 or seconds == int(seconds) else f"{seconds:.2g}"
