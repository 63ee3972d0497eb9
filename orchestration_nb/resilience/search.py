"""The pace that a provider takes, searched epoch by epoch.

Additive increase while nothing is refused, multiplicative decrease to what was accepted when something is, and after
that a while in which nothing is tried, longer each time.

Refusals that come whatever the pace is (a provider that refuses at random) would throttle such a rule to nothing. Where
a lower pace is refused as much, half of it is tried for one epoch: under a limit nothing is refused then; with the
others as large a share is, which is taken for what it is from then on, noise.

The increase and decrease follow D. Chiu and R. Jain, "Analysis of the increase and decrease algorithms for congestion
avoidance in computer networks" (1989); that what is accepted says how fast to go, and not what is refused, follows
N. Cardwell and others, "BBR: congestion-based congestion control" (2016).
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from orchestration_nb.resilience.epochs import MOST_NOISE, Epoch, Noise

LEAST_RATE: Final = 1 / 60
"""Calls per second below which no pace falls."""
BELOW: Final = 0.97
"""Share of what was accepted at most that is asked for afterwards."""
FIRST_STEP: Final = 0.03
"""By which share the pace is raised after an epoch without a refusal; doubled once it is well above the last limit."""
MOST_STEP: Final = 1.0
FIRST_HOLD_S: Final = 5.0
"""Seconds without an increase after a decrease; each decrease doubles them."""
MOST_HOLD_S: Final = 60.0
FORGET_S: Final = 300.0
"""Seconds without a refusal after which nothing is limited any more."""
_FAST_STEP: Final = 0.25
_TOUCH: Final = 0.2
_WELL_ABOVE: Final = 1.1
_MANY: Final = 8
_FULL: Final = 0.9
"""Share of refusals that tells of a window which is full just now, and nothing of the pace: pauses see to that."""


class Next(NamedTuple):
    """The pace of the next epoch."""

    rate: float
    """Calls per second; infinite where nothing limits them."""
    cautious: bool
    """Whether it is no faster than before."""


class RateSearch:
    """Searches the pace of one model.

    Args:
        first: The pace that it begins with, in calls per second.
    """

    def __init__(self, first: float = 0.0) -> None:
        self.low = 0.0
        """Calls per second that were taken; 0 while nobody knows."""
        self._step = _FAST_STEP
        # What many calls were accepted at is likely the limit; what few were says little.
        self._settled = math.inf if first >= _MANY else 0.0
        self._hold_s, self._held_until_s = FIRST_HOLD_S, -math.inf
        self._noise = Noise()
        self._suspect: Epoch | None = None

    @property
    def noise(self) -> float:
        """Share of refusals that comes whatever the pace is."""
        return self._noise.share

    def after(self, epoch: Epoch, now: float, *, quiet_s: float) -> Next:
        """The pace after an epoch.

        Args:
            epoch: What became of it.
            now: The time, in seconds.
            quiet_s: Seconds since the provider last held anything back.
        """
        suspect, self._suspect = self._suspect, None
        if suspect is not None and suspect.again is not None:
            return self._decide(suspect, suspect.again, epoch, now)
        if self._noise.explains(epoch):
            return self._go_on(epoch, now, quiet_s)
        if suspect is not None and suspect.is_like(epoch):
            suspect.again, self._suspect = epoch, suspect
            return Next(max(epoch.passed_rate, epoch.rate / 2) / 2, cautious=True)
        if epoch.share > _FULL:
            return Next(epoch.rate * BELOW, cautious=True)
        self._suspect = epoch
        if suspect is None and self.low and epoch.share < _TOUCH:
            self.low = epoch.rate * BELOW if epoch.cautious else min(self.low, epoch.rate * BELOW)
            return self._settle(now)
        return self._slow_down(epoch, now)

    def _decide(self, suspect: Epoch, again: Epoch, test: Epoch, now: float) -> Next:
        """After half the pace was tried: noise where as large a share was refused, a limit where not."""
        if suspect.is_like(test):
            self._noise = Noise(share=test.share, seen=test.answered)
            self.low, self._settled, self._step, self._held_until_s = suspect.rate, 0.0, _FAST_STEP, -math.inf
            return Next(suspect.rate, cautious=False)
        self.low = test.rate
        return self._slow_down(again, now)

    def _slow_down(self, epoch: Epoch, now: float) -> Next:
        """To what was accepted in a second before a refusal; where even that is too much, to what was in all."""
        rate = epoch.rate
        if epoch.share <= MOST_NOISE:
            likely = min(epoch.peak, rate * BELOW)
        else:  # few that were accepted say nothing of a long window, which may be full for a while
            likely = min(epoch.peak, rate) if epoch.peak >= _MANY else rate / 2
        known = self.low if self.low < rate * BELOW and epoch.share <= MOST_NOISE else 0.0
        self.low = max(min(epoch.passed_rate, likely), known, LEAST_RATE) * BELOW
        if self.low * (1 + FIRST_STEP) < likely * BELOW:
            self._settled = math.inf  # one epoch at what is likely decides
            return Next(likely * BELOW, cautious=True)
        return self._settle(now)

    def _settle(self, now: float) -> Next:
        """Stays at a pace that was taken for a while before a faster one is tried."""
        self._step, self._settled = FIRST_STEP, self.low
        self._held_until_s = now + self._hold_s
        self._hold_s = min(self._hold_s * 2, MOST_HOLD_S)
        return Next(self.low, cautious=True)

    def _go_on(self, epoch: Epoch, now: float, quiet_s: float) -> Next:
        """Nothing was refused but noise: faster, unless it is too early to try, or nobody waits."""
        if epoch.cautious:
            self._noise.learn(epoch)
        if quiet_s > FORGET_S:
            return Next(math.inf, cautious=False)
        if not epoch.held or epoch.passed_rate < epoch.rate / 2:  # not the pace holds them back
            return Next(epoch.rate, cautious=True)
        self.low = max(self.low, epoch.rate)
        if self._settled == math.inf or (epoch.brink and not epoch.cautious):
            self.low *= BELOW if epoch.brink else 1.0
            return self._settle(now)
        if now < self._held_until_s or epoch.brink:
            return Next(self.low, cautious=True)
        if self.low > self._settled * _WELL_ABOVE:
            self._hold_s = FIRST_HOLD_S  # the limit was raised: it is worth trying again soon
            self._step = min(self._step * 2, MOST_STEP)
        return Next(self.low * (1 + self._step), cautious=False)
