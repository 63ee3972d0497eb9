"""The pace that a provider takes, searched epoch by epoch.

Additive increase while nothing is refused, multiplicative decrease to what was accepted when something is, and after
that a while in which nothing is tried, longer each time.

Refusals that come whatever the pace is (a provider that refuses at random) would throttle such a rule to nothing. So
few of them lower the pace by a tenth at most of what was taken, and those at paces that were held or lowered are
counted together, however few a second they are; once they are more than chance, a pace well below is tried until the
answers tell, by a sequential test: under a limit next to nothing is refused there; with the others as large a share is,
which is taken for what it is from then on, noise, and the pace goes back up to where the doubt began.

The increase and decrease follow D. Chiu and R. Jain, "Analysis of the increase and decrease algorithms for congestion
avoidance in computer networks" (1989); that what is accepted says how fast to go, and not what is refused, follows
N. Cardwell and others, "BBR: congestion-based congestion control" (2016). The test is A. Wald's, "Sequential tests of
statistical hypotheses" (1945).
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
_DOUBTS, _MOST_DOUBTS = 3, 48
_WORN: Final = 0.9
"""Share of what was taken below which single refusals lower nothing more: a trial has to say that it is a limit."""
_MOST_CALM: Final = 1000
_LEAST_TRIED, _MOST_TRIED = 0.5, 0.85
_DRAINED_S: Final = 1.0
_SURE: Final = 3.0
"""Logarithm of how much likelier one answer must be than the other (20 times)."""
_ENOUGH: Final = 20.0
"""Refusals to be expected in a trial after which the likelier answer is taken, however little likelier it is."""
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
        self._taken = 0.0
        """The fastest pace that was taken since many refusals, or a trial, last told of a limit."""
        self._step = _FAST_STEP
        # What many calls were accepted at is likely the limit; what few were says little.
        self._settled = math.inf if first >= _MANY else 0.0
        self._hold_s, self._held_until_s = FIRST_HOLD_S, -math.inf
        self._noise = Noise()
        self._calm = Epoch(0.0, 0.0)
        """The epochs at paces that were held or lowered, taken together."""
        self._doubts = _DOUBTS
        """Refusals among them that make a trial; doubled by each that found a limit."""
        self._doubted: Epoch | None = None
        self._trial = Epoch(0.0, 0.0)
        self._again = False

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
        if self._doubted is not None and self._may_be_noise(epoch):
            return self._judge_trial(self._doubted, epoch, now)
        worn = epoch.rate * BELOW < self._taken * _WORN
        if epoch.share > MOST_NOISE:
            self._calm, self._doubted = Epoch(now, 0.0), None
        elif epoch.cautious:
            self._calm.add(epoch)
            enough = epoch.refused and self._calm.refused >= (_DOUBTS if worn else self._doubts)
            if enough and not self._noise.explains(self._calm):
                return self._try_lower(epoch, now)
            self._calm.fade(_MOST_CALM)
        again, self._again = self._again, not self._noise.explains(epoch)
        if not self._again:
            return self._go_on(epoch, now, quiet_s)
        if epoch.share > _FULL:
            return Next(epoch.rate * BELOW, cautious=True)
        if not self.low or epoch.share - self.noise >= _TOUCH:
            return self._limited(epoch, now)
        return Next(epoch.rate, cautious=True) if worn else self._touch(epoch, now, again=again)

    def _touch(self, epoch: Epoch, now: float, *, again: bool) -> Next:
        """A little slower, for few were refused."""
        if again:
            return self._slow_down(epoch, now)
        self.low = epoch.rate * BELOW if epoch.cautious else min(self.low, epoch.rate * BELOW)
        return self._settle(now)

    def _try_lower(self, epoch: Epoch, now: float) -> Next:
        """Below what was taken, to see whether as much is refused there."""
        taken = max(epoch.passed_rate, min(epoch.peak, epoch.rate))
        # Few refusals take many calls to tell: little is lost by each. Many tell soon, and may be far above a limit.
        tried = min(_MOST_TRIED, max(_LEAST_TRIED, 1 - 4 * self._calm.share))
        self._doubted, self._trial = epoch, Epoch(now, taken * tried)
        return Next(self._trial.rate, cautious=True)

    def _may_be_noise(self, epoch: Epoch) -> bool:
        """Whether so many were not refused in a trial that even its pace is far above a limit."""
        together = Epoch(0.0, 0.0)
        for calls in (self._calm, self._trial, epoch):
            together.add(calls)
        return epoch.share <= MOST_NOISE or (epoch.share <= _FULL and together.share <= MOST_NOISE)

    def _judge_trial(self, doubted: Epoch, epoch: Epoch, now: float) -> Next:
        """Noise where as large a share is refused as above, a limit where next to nothing is; else goes on trying."""
        calm, trial = self._calm, self._trial
        if epoch.began_s < trial.began_s + _DRAINED_S:  # what went before may still fill the window
            return Next(trial.rate, cautious=True)
        trial.add(epoch)
        told = self._noise.told(trial, calm)
        if abs(told) < _SURE and trial.answered * calm.share < _ENOUGH:
            return Next(trial.rate, cautious=True)
        self._doubted, self._calm = None, Epoch(now, 0.0)
        if told > 0:
            top = calm.rate
            calm.add(trial)
            # Above the pace that was tried a limit may have refused some, too: the trial counts, if it had enough.
            self._noise = Noise.of(trial if trial.refused >= _DOUBTS else calm, most=calm.share)
            self._doubts, self._hold_s = _DOUBTS, FIRST_HOLD_S
            self.low, self._settled, self._step, self._held_until_s = top, 0.0, _FAST_STEP, -math.inf
            return Next(top, cautious=False)
        self._doubts = min(self._doubts * 2, _MOST_DOUBTS)
        self.low = trial.rate
        return self._limited(doubted, now)

    def _limited(self, epoch: Epoch, now: float) -> Next:
        """Slows down, and takes what comes of it for the limit."""
        following = self._slow_down(epoch, now)
        self._taken = self.low
        return following

    def _slow_down(self, epoch: Epoch, now: float) -> Next:
        """To what was accepted in a second before a refusal; where even that is too much, to what was in all."""
        rate, asked = epoch.rate, 1 / (1 - self.noise)  # calls for each that noise lets pass
        peak, passed_rate = epoch.peak * asked, epoch.passed_rate * asked
        if epoch.share <= MOST_NOISE:  # after a pause or a slower pace the second before a refusal says less than all
            likely = min(max(peak, passed_rate), rate * BELOW)
        else:  # few that were accepted say nothing of a long window, which may be full for a while
            likely = min(peak, rate) if epoch.peak >= _MANY else rate / 2
        known = self.low if self.low < rate * BELOW and epoch.share <= MOST_NOISE else 0.0
        self.low = max(min(passed_rate, likely), known, LEAST_RATE) * BELOW
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
        self._taken = max(self._taken, self.low)
        if self._settled == math.inf or (epoch.brink and not epoch.cautious):
            self.low *= BELOW if epoch.brink else 1.0
            return self._settle(now)
        if now < self._held_until_s or epoch.brink:
            return Next(self.low, cautious=True)
        if self.low > self._settled * _WELL_ABOVE:
            self._hold_s = FIRST_HOLD_S  # the limit was raised: it is worth trying again soon
            self._step = min(self._step * 2, MOST_STEP)
        return Next(self.low * (1 + self._step), cautious=False)
