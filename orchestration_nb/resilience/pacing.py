"""How fast one model may be asked, learnt from its answers: for a user who set no limit.

Nothing is limited until the provider says 429, or that nothing is left. From then on calls are sent at an even pace,
which follows what the provider accepts (:mod:`~orchestration_nb.resilience.search`); the number in flight follows from
it. A time that the provider asked to wait holds every call of the model back.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from itertools import takewhile
from typing import Final, Literal

from orchestration_nb.errors import RateLimit
from orchestration_nb.resilience.epochs import MOST_NOISE, Epoch
from orchestration_nb.resilience.search import BELOW, LEAST_RATE, RateSearch

Outcome = Literal["accepted", "refused", "unknown"]
"""What the provider's limit said to a call: it let it pass, answered 429, or nobody knows (the connection broke)."""

FIRST_PAUSE_S: Final = 0.05
"""Seconds without a call after a refusal that names no time; doubled while nothing is accepted."""
MOST_PAUSE_S: Final = 15.0
_EPOCH_S, _MOST_EPOCH_S = 1.0, 60.0
_EPOCH_CALLS, _CLEAN_CALLS = 20, 8
_REFUSED_WITHIN_S = 0.1
_LATELY = 4096
_BURST, _LATE_S = 2.0, 0.25
_SHORTEST_S = 0.01
_RECURRING = 3
_EIGHT, _FOUR, _DENSE = 0xFF, 0xF, 6
_REMEMBERED = 0xFFFF_FFFF


class Sent:
    """One call that went out."""

    __slots__ = ("at_s", "epoch", "number")

    def __init__(self, epoch: Epoch, number: int, at_s: float) -> None:
        self.epoch = epoch
        self.number = number
        self.at_s = at_s


class Pace:
    """When the next call of one model may go.

    It knows no clock: every method is told the time, in seconds that never go back.
    """

    def __init__(self) -> None:
        self.rate = math.inf
        """Calls per second; infinite while nothing is known against it."""
        self.in_flight = 0
        self.refusals = 0
        """429s so far."""
        self.paused_until_s = -math.inf
        """Until when no call goes."""
        self._search = RateSearch()
        self._epoch = Epoch(0.0, math.inf)
        self._closed: Epoch | None = None
        self._due_s = 0.0
        self._credit, self._credit_s, self._waits = 0.0, 0.0, False
        self._number = 0
        self._first_after_pause = 0
        self._pause_began_s, self._own_pause_s = -math.inf, FIRST_PAUSE_S
        self._barren, self._recurred = 0, 0
        self._limited_s, self._refusal_takes_s = -math.inf, 0.0
        self._refused = 0
        """Which of the last calls were refused, a bit each, the last one lowest."""
        self._lately: deque[float] = deque(maxlen=_LATELY)
        self._lately_refused: deque[float] = deque(maxlen=_LATELY)
        self._tokens = 0.0

    def wait_s(self, now: float) -> float:
        """Seconds until the next call may go; 0: now."""
        if now < self.paused_until_s:
            return self.paused_until_s - now
        if self.rate == math.inf:
            return 0.0
        if self._closed is not None and now >= self._due_s:
            self._judge(self._closed, now)
        if self._barren > 1 and self.in_flight:
            return _EPOCH_S  # one call at a time, until one is accepted
        self._earn(now)
        return 0.0 if self._credit >= 1 or self.rate == math.inf else (1 - self._credit) / self.rate

    def hold(self) -> None:
        """A call waits for the pace."""
        self._epoch.held = self._waits = True

    def sent(self, now: float) -> Sent:
        """A call goes out; gives what :meth:`ended` wants back."""
        self.in_flight += 1
        self._number += 1
        self._refused = self._refused << 1 & _REMEMBERED
        self._lately.append(now)
        if not self._first_after_pause:
            self._first_after_pause = self._number
        if self.rate != math.inf:
            self._earn(now)
            self._credit, self._waits = self._credit - 1, False
            self._judge_when_due(now)
        elif now - self._epoch.began_s >= _EPOCH_S:
            self._epoch = Epoch(now, math.inf)
        epoch = self._epoch
        epoch.sent += 1
        return Sent(epoch, self._number, now)

    def unsent(self, call: Sent) -> None:
        """A call that :meth:`sent` counted did not go out after all."""
        self.in_flight -= 1
        call.epoch.sent -= 1
        self._credit += 1
        with contextlib.suppress(ValueError):
            self._lately.remove(call.at_s)

    def ended(
        self,
        call: Sent,
        outcome: Outcome,
        now: float,
        *,
        retry_after_s: float | None = None,
        rate_limit: RateLimit | None = None,
        tokens: int = 0,
    ) -> None:
        """A call has its answer.

        Args:
            call: What :meth:`sent` gave.
            outcome: What the provider's limit said.
            now: The time.
            retry_after_s: Seconds that the provider asked to wait.
            rate_limit: What its headers said.
            tokens: Tokens that the call took, or 0 where nobody knows.
        """
        self.in_flight -= 1
        if outcome == "accepted":
            self._barren, self._own_pause_s = 0, FIRST_PAUSE_S
            if rate_limit is not None:
                self._tokens += 0.1 * (tokens - self._tokens) if self._tokens else tokens
                self._heed(rate_limit, call, now)
        elif outcome == "refused":
            call.epoch.refused += 1
            self._refuse(call, now, retry_after_s)
        else:
            call.epoch.unknown += 1
        if self.rate != math.inf:
            self._judge_when_due(now)

    def _refuse(self, call: Sent, now: float, retry_after_s: float | None) -> None:
        self.refusals += 1
        self._limited_s = now
        self._refused |= 1 << self._number - call.number & _REMEMBERED
        # Quickly down and slowly up: a rush at the beginning makes the first ones late.
        took_s, slowly_s = now - call.at_s, 0.9 * self._refusal_takes_s
        self._refusal_takes_s = min(took_s, slowly_s + 0.1 * took_s) if self._refusal_takes_s else took_s
        self._lately_refused.append(call.at_s)
        if call.epoch.refused <= _CLEAN_CALLS:
            call.epoch.peak = max(call.epoch.peak, self._accepted_before(call.at_s))
        if call.at_s >= self._pause_began_s:  # those in flight together are refused together: they say it once
            self._barren = self._barren + 1 if call.number == self._first_after_pause else 1
            self._recurred += 1
            if retry_after_s is None and (self.rate == math.inf or self._refused & _FOUR == _FOUR):
                self._pause(now, min(self._own_pause_s, MOST_PAUSE_S))
                self._own_pause_s *= 2 if self._barren > 1 else 1
        if retry_after_s is not None and not (self._search.noise and self._refused & _FOUR != _FOUR):
            self._pause(now, retry_after_s)  # of refusals that come at random each concerns its own call
        if self.rate == math.inf and self._is_dense():
            self._begin(max(call.epoch.peak * BELOW, 1.0), now)
        elif self.rate == math.inf and self._recurred >= _RECURRING:
            # Refused now and then: what was accepted lately need not be all that is.
            lasted_s = min(_EPOCH_S, max(now - self._lately[0], _SHORTEST_S))
            self._begin(max(self._accepted_before(now) / lasted_s * BELOW, 1.0), now)

    def _is_dense(self) -> bool:
        """Whether most of some calls sent one after another were refused; at random that is rare."""
        window = self._refused
        while window:
            if (window & _EIGHT).bit_count() >= _DENSE:
                return True
            window >>= 1
        return False

    def _pause(self, now: float, seconds: float) -> None:
        self._pause_began_s, self._first_after_pause = now, 0
        if now + seconds <= self.paused_until_s:
            return
        self.paused_until_s = now + seconds
        if seconds > _REFUSED_WITHIN_S and self._search.low > self.rate / 2:
            self.rate = min(self.rate, self._search.low)  # until the epoch is judged: a second pause would cost as much

    def _accepted_before(self, moment_s: float) -> float:
        """Calls per second that were accepted, or are not refused yet, of those sent in the second before."""
        began_s = moment_s - _EPOCH_S
        sent, refused = (
            sum(at_s <= moment_s for at_s in takewhile(lambda at_s: at_s > began_s, reversed(times)))
            for times in (self._lately, self._lately_refused)
        )
        return (sent - refused) / _EPOCH_S

    def _heed(self, limit: RateLimit, call: Sent, now: float) -> None:
        """Slows down before the refusal, where the headers say that little is left."""
        requests = limit.limit_requests, limit.remaining_requests, limit.reset_requests_s
        tokens = limit.limit_tokens, limit.remaining_tokens, limit.reset_tokens_s
        for (most, left, reset_s), each in ((requests, 1.0), (tokens, self._tokens)):
            if left is None or not each:
                continue
            if self.rate != math.inf:
                if left < each:
                    self._epoch.brink, self._limited_s = True, now
            elif most is not None and reset_s and left < each * (self._number - call.number + 1):
                rate = most / reset_s / each  # all of it comes back within the reset, or sooner
                if rate < self._accepted_before(now):
                    self._begin(rate * BELOW, now)

    def _begin(self, rate: float, now: float) -> None:
        self._credit, self._credit_s, self._recurred, self._limited_s = 0.0, now, 0, now
        self._search = RateSearch(rate)
        self._set(rate, now, cautious=False)

    def _earn(self, now: float) -> None:
        since = max(self._credit_s, self.paused_until_s)
        if now > since:
            # What a wait took too long is made up for; what nobody wanted is not.
            most = max(_BURST, self._credit, self.rate * _LATE_S if self._waits else 0.0)
            self._credit = min(self._credit + (now - since) * self.rate, most)
            self._credit_s = now

    def _judge_when_due(self, now: float) -> None:
        """Ends the epoch when it says enough, and judges it when its refusals must have come."""
        patience = max(_REFUSED_WITHIN_S, 3 * self._refusal_takes_s)
        if self._closed is None:
            epoch = self._epoch
            lasted = now - epoch.began_s
            needed = _EPOCH_CALLS if epoch.refused else _CLEAN_CALLS
            full = lasted >= max(_EPOCH_S, 2 * patience) and (epoch.sent >= needed or lasted >= _MOST_EPOCH_S)
            flooded = epoch.refused >= _DENSE and epoch.share > MOST_NOISE and lasted >= patience
            stopped = self.paused_until_s - now >= patience and epoch.refused and epoch.sent >= _EPOCH_CALLS
            if not (full or flooded or stopped):
                return
            epoch.closed_s = self.paused_until_s if stopped else now
            self._due_s = epoch.closed_s if stopped else now + patience
            self._closed, self._epoch = epoch, Epoch(epoch.closed_s, self.rate, epoch.cautious)
        if now >= self._due_s:
            self._judge(self._closed, now)

    def _judge(self, epoch: Epoch, now: float) -> None:
        if self._epoch.refused:  # while the last answers were waited for
            epoch.add(self._epoch)
            epoch.closed_s = max(now, self.paused_until_s)
        rate, cautious = self._search.after(epoch, now, quiet_s=now - self._limited_s)
        self._set(rate, now, cautious=cautious)

    def _set(self, rate: float, now: float, *, cautious: bool) -> None:
        self.rate = max(rate, LEAST_RATE)
        self._epoch, self._closed = Epoch(max(now, self.paused_until_s), self.rate, cautious), None
