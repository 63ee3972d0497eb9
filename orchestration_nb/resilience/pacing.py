"""How fast one model may be asked, learnt from its answers: for a user who set no limit.

Nothing is limited until the provider says 429. From then on calls are sent at an even pace, which follows what the
provider accepts, epoch by epoch: additive increase while nothing is refused, multiplicative decrease to what was
accepted when something is, and after that a while in which nothing is tried. The number of calls in flight follows
from the pace.

Refusals that come whatever the pace is (a provider that refuses at random) would throttle such a rule to nothing. They
are told apart by what a lower pace changes: under a real limit the refusals end and as much is accepted as before; with
the others as large a share is refused, and less is accepted. That share is then taken for what it is, noise.

The increase and decrease follow D. Chiu and R. Jain, "Analysis of the increase and decrease algorithms for congestion
avoidance in computer networks" (1989); that what is accepted, and not what is refused, says how fast to go follows
N. Cardwell and others, "BBR: congestion-based congestion control" (2016).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from orchestration_nb.errors import RateLimit

Outcome = Literal["accepted", "refused", "unknown"]
"""What the provider's limit said to a call: it let it pass, answered 429, or nobody knows (the connection broke)."""

BELOW = 0.97
"""Share of what was accepted at most that is asked for afterwards."""
FIRST_STEP, MOST_STEP = 0.03, 1.0
"""By which share the pace is raised after an epoch without a refusal; each such epoch doubles it."""
FIRST_HOLD_S, MOST_HOLD_S = 5.0, 60.0
"""Seconds without an increase after a decrease; each decrease doubles them."""
FIRST_GATE_S, MOST_GATE_S = 0.05, 15.0
"""Seconds without a call after a refusal that says no time; doubled while nothing is accepted."""
MOST_NOISE = 0.4
"""A larger share of refusals is a limit, whatever a lower pace changes."""
FORGET_S = 300.0
"""Seconds without a refusal after which nothing is limited any more."""
_EPOCH_S, _EPOCH_CALLS, _CLEAN_CALLS, _MOST_EPOCH_S = 1.0, 20, 8, 60.0
_REFUSED_WITHIN_S = 0.1
_SHORTEST_S = 0.001
_SIGMAS = 2.5
_RECURRING = 3
_MOST_SEEN = 300
_TOUCH = 0.2
_WINDOW, _WINDOW_SHORT, _DENSE = 0xFF, 0xF, 6
_REMEMBERED = 0xFFFF_FFFF
_LEAST_RATE = 1 / 60


@dataclass(slots=True, eq=False)
class Epoch:
    """The calls that were sent in one stretch of time at one pace, and what became of them."""

    began_s: float
    rate: float
    cautious: bool = False
    """Whether its pace is one that was lowered or held."""
    sent: int = 0
    refused: int = 0
    unknown: int = 0
    gated_s: float = 0.0
    """Seconds of it in which the provider had asked for none."""
    pauses: int = 0
    held: bool = False
    """Whether calls waited for the pace."""
    closed_s: float = math.inf
    again: Epoch | None = None
    """The next one, where a lower pace was refused about as much: one that is lower by far is being tried."""

    @property
    def answered(self) -> int:
        """Calls that were refused or accepted; what has no answer yet was, for refusals come sooner than replies."""
        return self.sent - self.unknown

    @property
    def share(self) -> float:
        """Share of refusals."""
        return self.refused / max(1, self.answered)

    @property
    def passed_rate(self) -> float:
        """Calls accepted per second."""
        return (self.answered - self.refused) / max(self.closed_s - self.began_s, _SHORTEST_S)

    @property
    def open_rate(self) -> float:
        """Calls accepted per second outside the pauses: more than the provider takes, where a pause is its answer."""
        return (self.answered - self.refused) / max(self.closed_s - self.began_s - self.gated_s, _SHORTEST_S)

    @property
    def likely_rate(self) -> float:
        """What the provider takes in a second, if its window is a second or less.

        After a pause as long as its window all of the window is free, and is filled again however fast.
        """
        lasted_s = self.closed_s - self.began_s
        filled_s = max(lasted_s - self.gated_s, min(lasted_s, self.pauses * _EPOCH_S), _SHORTEST_S)
        return (self.answered - self.refused) / filled_s

    def is_like(self, slower: Epoch) -> bool:
        """Whether about as large a share was refused at a lower pace."""
        return (
            self.share <= MOST_NOISE
            and slower.rate < 0.9 * self.rate
            and slower.refused >= 2
            and slower.share > self.share / 2
        )


@dataclass(slots=True)
class Noise:
    """The share of refusals that does not depend on the pace."""

    share: float = 0.0
    seen: int = 0
    """Calls that it was learnt from."""

    def most_of(self, calls: int) -> float:
        """The most refusals of so many calls that it explains."""
        spread = calls * (1 + calls / max(1, self.seen))
        return self.share * calls + _SIGMAS * math.sqrt(self.share * (1 - self.share) * spread)

    def learn(self, epoch: Epoch) -> None:
        """An epoch at a pace that is below any limit."""
        if self.share:
            self.share += (epoch.share - self.share) * epoch.answered / max(1, self.seen + epoch.answered)
            self.seen = min(self.seen + epoch.answered, _MOST_SEEN)
            if self.share < 0.005:
                self.share = 0.0


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
        self._number = 0
        self._refused = 0
        """Which of the last calls were refused, a bit each, the last one lowest."""
        self._epoch = Epoch(0.0, math.inf)
        self._before = self._epoch
        self._closed: Epoch | None = None
        self._gate_s, self._gated_s = -math.inf, -math.inf
        self._own_gate_s = FIRST_GATE_S
        self._barren = 0
        self._credit, self._credit_s = 1.0, 0.0
        self._step = FIRST_STEP
        self._hold_s, self._held_until_s = FIRST_HOLD_S, -math.inf
        self._noise = Noise()
        self._suspect: Epoch | None = None
        self._refused_s = -math.inf
        self._refusal_s = 0.0
        self._episodes = 0
        self._low, self._high = 0.0, math.inf
        self._first_after_gate = 0

    def wait_s(self, now: float) -> float:
        """Seconds until the next call may go; 0: now."""
        if now < self._gate_s:
            return self._gate_s - now
        if self.rate == math.inf:
            return 0.0
        if self._barren > 1 and self.in_flight:
            return _EPOCH_S  # one call at a time, until one is accepted
        self._earn(now)
        return 0.0 if self._credit >= 1 else (1 - self._credit) / self.rate

    @property
    def gated_until_s(self) -> float:
        """Until when the provider asked for no calls."""
        return self._gate_s

    def hold(self) -> None:
        """A call waits for the pace."""
        self._epoch.held = True

    def sent(self, now: float) -> Sent:
        """A call goes out; gives what :meth:`ended` wants back."""
        self.in_flight += 1
        self._number += 1
        self._refused = self._refused << 1 & _REMEMBERED
        if not self._first_after_gate:
            self._first_after_gate = self._number
        if self.rate != math.inf:
            self._earn(now)
            self._credit -= 1
            self._judge_when_due(now)
        elif now - self._epoch.began_s >= _EPOCH_S:
            self._before, self._epoch = self._epoch, Epoch(now, math.inf)
        epoch = self._epoch
        epoch.sent += 1
        return Sent(epoch, self._number, now)

    def unsent(self, call: Sent) -> None:
        """A call that :meth:`sent` counted did not go out after all."""
        self.in_flight -= 1
        call.epoch.sent -= 1
        self._credit += 1

    def ended(
        self,
        call: Sent,
        outcome: Outcome,
        now: float,
        *,
        retry_after_s: float | None = None,
        rate_limit: RateLimit | None = None,
    ) -> None:
        """A call has its answer.

        Args:
            call: What :meth:`sent` gave.
            outcome: What the provider's limit said.
            now: The time.
            retry_after_s: Seconds that the provider asked to wait.
            rate_limit: What its headers said.
        """
        self.in_flight -= 1
        if outcome == "accepted":
            self._barren, self._own_gate_s = 0, FIRST_GATE_S
        elif outcome == "refused":
            call.epoch.refused += 1
            self._refuse(call, now, retry_after_s)
        else:
            call.epoch.unknown += 1
        if rate_limit is not None:
            self._read(rate_limit, call, now)
        if self.rate != math.inf:
            self._judge_when_due(now)

    def _refuse(self, call: Sent, now: float, retry_after_s: float | None) -> None:
        self.refusals += 1
        self._refused_s = now
        self._refused |= 1 << self._number - call.number & _REMEMBERED
        self._refusal_s += 0.2 * (now - call.at_s - self._refusal_s)
        if call.at_s >= self._gated_s:  # those in flight together are refused together: they say it once
            self._barren = self._barren + 1 if call.number == self._first_after_gate else 1
            self._episodes += 1
            if retry_after_s is None and (self.rate == math.inf or self._refused & _WINDOW_SHORT == _WINDOW_SHORT):
                self._close_gate(now, min(self._own_gate_s, MOST_GATE_S))
                self._own_gate_s *= 2 if self._barren > 1 else 1
        if retry_after_s is not None:
            self._close_gate(now, retry_after_s)
        if self.rate == math.inf and (self._episodes >= _RECURRING or self._is_dense()):
            self._begin_pacing(now)

    def _is_dense(self) -> bool:
        """Whether most of some calls sent one after another were refused; at random that is rare."""
        window = self._refused
        while window:
            if (window & _WINDOW).bit_count() >= _DENSE:
                return True
            window >>= 1
        return False

    def _close_gate(self, now: float, seconds: float) -> None:
        until = now + seconds
        begin = max(now, self._gate_s)
        self._gated_s, self._first_after_gate = now, 0
        if until > begin:
            self._epoch.pauses += now >= self._gate_s
            self._epoch.gated_s += until - begin
            self._gate_s = until

    def _begin_pacing(self, now: float) -> None:
        """The first estimate: what was accepted, or is not refused yet, of about the last second."""
        epochs = [self._epoch] if now - self._epoch.began_s > _EPOCH_S / 2 else [self._before, self._epoch]
        passed = sum(epoch.answered - epoch.refused for epoch in epochs)
        open_s = now - epochs[0].began_s - sum(epoch.gated_s for epoch in epochs) + max(0.0, self._gate_s - now)
        lasted_s = max(open_s, min(now - epochs[0].began_s, sum(epoch.pauses for epoch in epochs) * _EPOCH_S), _EPOCH_S)
        self._credit, self._credit_s = 0.0, now
        self._step, self._episodes = 0.25, 0
        self._set(max(passed / min(lasted_s, 2 * _EPOCH_S), 1.0), now, cautious=False)

    def _earn(self, now: float) -> None:
        since = max(self._credit_s, self._gate_s)
        if now > since:
            self._credit = min(self._credit + (now - since) * self.rate, max(1.0, self.rate * 0.02))
            self._credit_s = now

    def _read(self, limit: RateLimit, call: Sent, now: float) -> None:
        pass

    def _judge_when_due(self, now: float) -> None:
        """Ends the epoch when it says enough, and judges it when its refusals must have come."""
        patience = max(_REFUSED_WITHIN_S, 3 * self._refusal_s)
        if self._closed is None:
            epoch = self._epoch
            lasted = now - epoch.began_s
            needed = _EPOCH_CALLS if epoch.refused else _CLEAN_CALLS
            full = lasted >= max(_EPOCH_S, 2 * patience) and (epoch.sent >= needed or lasted >= _MOST_EPOCH_S)
            flooded = epoch.refused >= _DENSE and epoch.share > MOST_NOISE and lasted >= patience
            if not (full or flooded):
                return
            epoch.closed_s = now
            self._closed = epoch
            self._epoch = Epoch(now, self.rate, epoch.cautious)
        if now - self._closed.closed_s >= patience:
            self._judge(self._closed, now)

    def _judge(self, epoch: Epoch, now: float) -> None:
        """Sets the pace by what became of an epoch's calls."""
        suspect, self._suspect = self._suspect, None
        if suspect is not None and suspect.again is not None:
            self._decide(suspect, suspect.again, epoch, now)
        elif epoch.refused <= self._noise.most_of(epoch.answered):
            self._go_on(epoch, now)
        elif suspect is not None and suspect.is_like(epoch):
            # A lower pace changed little: one that is lower by far tells a limit from refusals that come anyway.
            suspect.again, self._suspect = epoch, suspect
            self._set(max(epoch.passed_rate, epoch.rate / 2) / 2, now, cautious=True)
        else:
            self._suspect = epoch
            if suspect is None and 0 < self._low < math.inf and epoch.share < _TOUCH:
                self._low = min(self._low, epoch.rate * BELOW) * BELOW
                self._settle(now)
            else:
                self._slow_down(epoch, now)

    def _decide(self, suspect: Epoch, again: Epoch, test: Epoch, now: float) -> None:
        """After the test: noise where as large a share was refused at half the pace, a limit where not."""
        if suspect.is_like(test):
            self._noise = Noise(share=test.share, seen=test.answered)
            self._low, self._high, self._step, self._held_until_s = suspect.rate, math.inf, 0.25, -math.inf
            self._set(suspect.rate, now, cautious=False)
        else:
            self._low = test.rate
            self._slow_down(again, now)

    def _slow_down(self, epoch: Epoch, now: float) -> None:
        """The limit lies between what was accepted in all and what was accepted outside the provider's pauses."""
        rate = epoch.rate
        self._high = min(rate, epoch.open_rate if epoch.share <= MOST_NOISE else rate)
        least = max(epoch.passed_rate * BELOW, rate / 2 if epoch.share > MOST_NOISE else 0.0, _LEAST_RATE)
        self._low = min(max(least, self._low if self._low < rate * BELOW else 0.0), self._high * BELOW)
        if self._low * (1 + FIRST_STEP) < epoch.likely_rate * BELOW < rate * BELOW * BELOW:
            self._set(epoch.likely_rate * BELOW, now, cautious=True)
        elif not self._search(now):
            self._settle(now)

    def _settle(self, now: float) -> None:
        """Stays at a pace that was taken for a while before a faster one is tried."""
        self._high, self._step = math.inf, FIRST_STEP
        self._held_until_s = now + self._hold_s
        self._hold_s = min(self._hold_s * 2, MOST_HOLD_S)
        self._set(self._low, now, cautious=True)

    def _go_on(self, epoch: Epoch, now: float) -> None:
        """Nothing was refused but noise: faster, unless it is too early to try, or nobody waits."""
        if epoch.cautious:
            self._noise.learn(epoch)
        if now - self._refused_s > FORGET_S:
            self._set(math.inf, now, cautious=False)
            return
        if not epoch.held:
            self._set(self.rate, now, cautious=True)
            return
        self._low = max(self._low, epoch.rate)
        if self._high < math.inf:
            if not self._search(now):
                self._settle(now)
            return
        if now >= self._held_until_s:
            if self._step > 4 * FIRST_STEP:
                self._hold_s = FIRST_HOLD_S  # the limit was raised: it is worth trying again soon
            self._set(self._low * (1 + self._step), now, cautious=False)
            self._step = min(self._step * 2, MOST_STEP)
        else:
            self._set(self._low, now, cautious=True)

    def _search(self, now: float) -> bool:
        """Halves what lies between a pace that was taken and one that was not; ``False`` where little does."""
        if self._high * BELOW <= self._low * (1 + FIRST_STEP):
            return False
        self._set(math.sqrt(self._low * self._high), now, cautious=True)
        return True

    def _set(self, rate: float, now: float, *, cautious: bool) -> None:
        self.rate = max(rate, _LEAST_RATE)
        self._epoch, self._closed = Epoch(max(now, self._gate_s), self.rate, cautious), None
