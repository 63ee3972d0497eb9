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
    """What it was when a lower pace was tried: more than that may be a limit."""

    def explains(self, epoch: Epoch) -> bool:
        """Whether an epoch's refusals are no more than chance may bring."""
        calls = epoch.answered
        spread = calls * (1 + calls / max(1, self.seen))  # the share itself is known from some calls only
        return epoch.refused <= self.share * calls + _SIGMAS * math.sqrt(self.share * (1 - self.share) * spread)

    def told(self, trial: Epoch, share: float) -> float:
        """Logarithm of how much likelier a trial is where ``share`` is noise than where next to none of it is."""
        least = max(self.share, share / _NEXT_TO_NONE)
        passed = trial.answered - trial.refused
        return trial.refused * math.log(share / least) + passed * math.log((1 - share) / (1 - least))

    def learn(self, epoch: Epoch) -> None:
        """Follows the share of an epoch that no limit held back, downwards."""
        if self.share:
            self.share += (epoch.share - self.share) * epoch.answered / max(1, self.seen + epoch.answered)
            self.seen = min(self.seen + epoch.answered, _MOST_SEEN)
            self.share = min(self.share, self.most) if self.share > _NONE else 0.0
