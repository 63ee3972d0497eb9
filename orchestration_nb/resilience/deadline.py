"""How long may be waited: for another attempt, and for a model that is left alone."""

from __future__ import annotations

import asyncio

from orchestration_nb.clock import Clock


class Deadline:
    """A time that no wait passes.

    Args:
        clock: Tells the time.
        most_s: Seconds from now.
        limit: Also ends what is under way when the time comes, where that is asked for; must be entered by whoever made
            it. While it rests, as during an attempt that has its own clock, it ends nothing.
    """

    __slots__ = ("_clock", "_limit", "at_s", "most_s")

    def __init__(self, clock: Clock, most_s: float, limit: asyncio.Timeout | None = None) -> None:
        self._clock = clock
        self._limit = limit
        self.most_s = most_s
        """How much time there was."""
        self.at_s = clock.monotonic() + most_s
        """Monotonic time of its end."""

    @property
    def left_s(self) -> float:
        """Seconds until then, never below 0."""
        return max(0.0, self.at_s - self._clock.monotonic())

    def renew(self) -> None:
        """Begins anew: a reply has come, or a pause that somebody made is over."""
        self.at_s = self._clock.monotonic() + self.most_s
        self.go_on()

    def rest(self) -> None:
        """Ends nothing for a while; the time goes on."""
        if self._limit is not None:
            self._limit.reschedule(None)

    def go_on(self) -> None:
        """Ends what is under way in time again."""
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time() + self.left_s)
