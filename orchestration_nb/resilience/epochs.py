"""What became of the calls of one stretch of time at one pace, and how much of it says nothing about the pace."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

MOST_NOISE: Final = 0.4
"""A larger share of refusals is a limit, whatever a lower pace changes."""
_SIGMAS: Final = 2.5
_MOST_SEEN: Final = 300
_NONE: Final = 0.005
_NEXT_TO_NONE: Final = 8
_LEEWAY: Final = 1.5
"""Standard errors by which a share that was learnt may rise."""
_SHORTEST_S: Final = 0.001


@dataclass(slots=True, eq=False)
class Epoch:
    """The calls that were sent in one stretch of time at one pace."""

    began_s: float
    rate: float
    cautious: bool = False
    """Whether its pace was lowered or held, and not raised."""
    sent: int = 0
    refused: int = 0
    unknown: int = 0
    """Calls of which nobody knows whether the limit let them pass."""
    peak: float = 0.0
    """Calls per second that were accepted in the second before a refusal: the limit, if its window is a second."""
    brink: bool = False
    """Whether the provider said that nothing more is left just now."""
    held: bool = False
    """Whether calls waited for the pace."""
    closed_s: float = math.inf

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
        """Calls accepted per second, the provider's pauses included."""
        return (self.answered - self.refused) / max(self.closed_s - self.began_s, _SHORTEST_S)

    def add(self, later: Epoch) -> None:
        """Takes in what came of other calls."""
        self.rate = max(self.rate, later.rate)
        self.sent += later.sent
        self.refused += later.refused
        self.unknown += later.unknown
        self.peak = max(self.peak, later.peak)

    def fade(self, most: int) -> None:
        """Lets what is long past count for less."""
        if self.answered > most:
            self.sent, self.refused, self.unknown = self.sent // 2, self.refused // 2, self.unknown // 2


@dataclass(slots=True)
class Noise:
    """The share of refusals that does not depend on the pace."""

    share: float = 0.0
    seen: int = 0
    """Calls that it was learnt from."""
    most: float = 0.0
    """More than that may be a limit."""

    @classmethod
    def of(cls, calls: Epoch, most: float) -> Noise:
        """What calls tell of it that no limit held back; ``most`` is the share of others that one may have."""
        found = cls(min(calls.share, most), calls.answered, most)
        found.most = min(most, found.share + _LEEWAY * found._error)
        return found

    @property
    def _error(self) -> float:
        return math.sqrt(self.share * (1 - self.share) / max(1, self.seen))

    def explains(self, epoch: Epoch) -> bool:
        """Whether an epoch's refusals are no more than chance may bring."""
        calls = epoch.answered
        spread = calls * (1 + calls / max(1, self.seen))  # the share itself is known from some calls only
        return epoch.refused <= self.share * calls + _SIGMAS * math.sqrt(self.share * (1 - self.share) * spread)

    def told(self, trial: Epoch, doubted: Epoch) -> float:
        """Logarithm of how much likelier a trial is where noise refused the others than where next to none of it is.

        The share of noise is known from the others only, which may be few: it is averaged over what they leave open.
        """
        refused, passed = doubted.refused + 0.5, doubted.answered - doubted.refused + 0.5
        more_refused, more_passed = trial.refused, trial.answered - trial.refused
        as_many = _log_beta(refused + more_refused, passed + more_passed) - _log_beta(refused, passed)
        least = max(self.share, doubted.share / _NEXT_TO_NONE)
        return as_many - more_refused * math.log(least) - more_passed * math.log(1 - least)

    def learn(self, epoch: Epoch) -> None:
        """Follows the share of an epoch that no limit held back, and lets it rise no more than chance may."""
        if self.share:
            self.share += (epoch.share - self.share) * epoch.answered / max(1, self.seen + epoch.answered)
            self.seen = min(self.seen + epoch.answered, _MOST_SEEN)
            self.share = min(self.share, self.most) if self.share > _NONE else 0.0
            if epoch.held:  # a limit that is met little by little looks like a little more noise each time
                self.most = min(self.most, self.share + _LEEWAY * self._error)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
