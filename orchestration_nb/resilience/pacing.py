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
FIRST_HOLD_S, MOST_HOLD_S = 5.0, 30.0
"""Seconds without an increase after a decrease; each decrease doubles them."""
FIRST_GATE_S, MOST_GATE_S = 0.05, 15.0
"""Seconds without a call after a refusal that says no time; doubled while nothing is accepted."""
MOST_NOISE = 0.4
"""A larger share of refusals is a limit, whatever a lower pace changes."""
FORGET_S = 300.0
"""Seconds without a refusal after which nothing is limited any more."""
_EPOCH_S, _EPOCH_CALLS, _MOST_EPOCH_S = 1.0, 20, 60.0
_WINDOW, _DENSE = 0xFF, 6
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
    accepted: int = 0
    refused: int = 0
    unknown: int = 0
    gated_s: float = 0.0
    """Seconds of it in which the provider had asked for none."""
    held: bool = False
    """Whether calls waited for the pace."""
    closed_s: float = math.inf

    @property
    def open(self) -> int:
        """Calls without an answer yet."""
        return self.sent - self.accepted - self.refused - self.unknown

    @property
    def share(self) -> float:
        """Share of refusals. What has no answer yet counts as accepted: refusals come sooner than replies."""
        return self.refused / max(1, self.sent - self.unknown)


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
        self._noise = 0.0
        self._lowered: Epoch | None = None
        self._refused_s = -math.inf
        self._latency_s = 0.0

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
            call.epoch.accepted += 1
            self._barren, self._own_gate_s = 0, FIRST_GATE_S
            self._latency_s += 0.2 * (now - call.at_s - self._latency_s)
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
        if call.at_s >= self._gated_s:  # those in flight together are refused together: they say it once
            self._barren += 1
            if retry_after_s is None:
                self._close_gate(now, min(self._own_gate_s, MOST_GATE_S))
                self._own_gate_s *= 2 if self._barren > 1 else 1
        if retry_after_s is not None:
            self._close_gate(now, retry_after_s)
        if self.rate == math.inf and self._is_dense():
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
        self._gated_s = now
        if until > begin:
            self._epoch.gated_s += until - begin
            self._gate_s = until

    def _begin_pacing(self, now: float) -> None:
        """The first estimate: what was accepted, or is not refused yet, of about the last second."""
        epochs = [self._epoch] if now - self._epoch.began_s > _EPOCH_S / 2 else [self._before, self._epoch]
        passed = sum(epoch.sent - epoch.refused for epoch in epochs)
        lasted = min(max(_EPOCH_S, now - epochs[0].began_s), 2 * _EPOCH_S)
        self.rate = max(passed / lasted, 1.0)
        self._credit, self._credit_s = 0.0, now
        self._step = 0.25
        self._begin(max(now, self._gate_s), cautious=False)

    def _begin(self, now: float, *, cautious: bool) -> None:
        self._epoch, self._closed = Epoch(now, self.rate, cautious), None

    def _earn(self, now: float) -> None:
        since = max(self._credit_s, self._gate_s)
        if now > since:
            self._credit = min(self._credit + (now - since) * self.rate, max(1.0, self.rate * 0.02))
            self._credit_s = now

    def _read(self, limit: RateLimit, call: Sent, now: float) -> None:
        pass

    def _judge_when_due(self, now: float) -> None:
        epoch = self._epoch
        if self._closed is None:
            long = max(_EPOCH_S, 2 * self._latency_s)
            lasted = now - epoch.began_s
            full = lasted >= long and (epoch.sent >= _EPOCH_CALLS or lasted >= _MOST_EPOCH_S)
            flooded = epoch.refused >= _DENSE and epoch.share > MOST_NOISE and lasted >= self._latency_s
            if not (full or flooded):
                return
            epoch.closed_s = now
            self._closed = epoch
            self._epoch = Epoch(now, self.rate, epoch.cautious)
        closed = self._closed
        if not closed.open or now - closed.closed_s > max(_EPOCH_S, 4 * self._latency_s):
            self._judge(closed, now)

    def _judge(self, epoch: Epoch, now: float) -> None:
        sent = epoch.accepted + epoch.refused
        lasted = max(epoch.closed_s - epoch.began_s, 1e-3)
        if epoch.share <= MOST_NOISE:
            lasted = max(lasted - epoch.gated_s, 1e-3)
        accepted_rate = epoch.accepted / lasted
        expected = self._noise * sent
        slack = 2.5 * math.sqrt(expected * (1 - self._noise))
        before, self._lowered = self._lowered, None
        if epoch.refused > expected + slack:
            if before is not None and self._is_noise(before, epoch):
                self._noise = (before.refused + epoch.refused) / max(1, before.accepted + before.refused + sent)
                self.rate, self._step, self._held_until_s = before.rate * 1.25, 0.25, -math.inf
                self._begin(max(now, self._gate_s), cautious=False)
                return
            self._lowered = epoch
            self.rate = max(min(accepted_rate, self.rate) * BELOW, self.rate / 2, _LEAST_RATE)
            self._step = FIRST_STEP
            self._held_until_s = now + self._hold_s
            self._hold_s = min(self._hold_s * 2, MOST_HOLD_S)
            self._begin(max(now, self._gate_s), cautious=True)
            return
        self._noise += 0.3 * (epoch.share - self._noise) if epoch.cautious or self._noise else 0.0
        if epoch.held and now >= self._held_until_s:
            if self._step > 4 * FIRST_STEP:
                self._hold_s = FIRST_HOLD_S
            self.rate *= 1 + self._step
            self._step = min(self._step * 2, MOST_STEP)
            self._begin(now, cautious=False)
        elif now - self._refused_s > FORGET_S:
            self.rate = math.inf
            self._begin(now, cautious=False)
        else:
            self._begin(now, cautious=True)

    def _is_noise(self, before: Epoch, after: Epoch) -> bool:
        return before.share <= MOST_NOISE and after.share > before.share / 2 and after.rate < 0.95 * before.rate
