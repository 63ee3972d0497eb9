"""From scores to a threshold that keeps a stated share of the strong model's quality, on a lower confidence bound.

A score says how much an item is likely to gain from the strong model; items above the threshold go to it. The scores
must come from folds that did not train on the item (cross-fitted), or the bound says nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from orchestration_nb.errors import UsageError

Floats = NDArray[np.float64]

DEFAULT_LEVEL = 0.8
"""Confidence of the one-sided bound."""
_STEPS = 200


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Escalation:
    """Items with both ways that each can go; arrays with one place per item."""

    gain: Floats
    """The score: what the strong model is expected to add."""
    cheap_quality: Floats
    """Quality where the item stays with the cheap model."""
    strong_quality: Floats
    cheap_cost_usd: Floats
    """Cost where it stays: every cheap call that was made."""
    strong_cost_usd: Floats
    """Cost where it goes on: the cheap calls that were made all the same, and the strong one."""
    reference_cost_usd: Floats
    """Cost of asking the strong model at once."""

    def at(self, threshold: float) -> Realised:
        """What comes of a threshold on these items."""
        up = self.gain > threshold
        quality = np.where(up, self.strong_quality, self.cheap_quality)
        cost = np.where(up, self.strong_cost_usd, self.cheap_cost_usd)
        return Realised(
            kept=_ratio(quality.sum(), self.strong_quality.sum()),
            saved=1.0 - _ratio(cost.sum(), self.reference_cost_usd.sum()),
            escalated=float(up.mean()),
            quality=float(quality.mean()),
            cost_usd=float(cost.mean()),
        )

    def kept_at_least(self, threshold: float, share: float, level: float) -> float:
        """Lower bound of mean(quality - share * strong quality); at or above 0 the share is kept."""
        quality = np.where(self.gain > threshold, self.strong_quality, self.cheap_quality)
        margin = quality - share * self.strong_quality
        spread = float(margin.std(ddof=1)) / math.sqrt(len(margin))
        return float(margin.mean() - NormalDist().inv_cdf(level) * spread)


@dataclass(frozen=True, slots=True, kw_only=True)
class Realised:
    """What a threshold came to on some items."""

    kept: float
    """Quality as a share of the strong model's."""
    saved: float
    """Share of the strong model's cost that was not spent, every cheap call counted."""
    escalated: float
    """Share of the items that went to the strong model."""
    quality: float
    cost_usd: float
    """Mean per item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """The threshold for a target, and what it came to on the cross-fitted items that it was set on."""

    value: float
    """Items whose gain is above it go to the strong model; minus infinity sends all."""
    target: float
    level: float
    expected: Realised

    def __str__(self) -> str:
        """One sentence."""
        if self.value == -np.inf:
            return (
                f"Nothing but the strong model keeps {self.target:.0%} of its quality at {self.level:.0%} confidence."
            )
        return (
            f"Keeps {self.target:.0%} of the strong model's quality at {self.level:.0%} confidence: on items it did "
            f"not train on {self.expected.kept:.1%}, at {self.expected.saved:.0%} less cost."
        )


def threshold_for(items: Escalation, target: float, *, level: float = DEFAULT_LEVEL) -> Threshold:
    """The highest threshold whose lower confidence bound still keeps the target.

    Args:
        items: With cross-fitted gains.
        target: Share of the strong model's quality to keep, such as .97.
        level: Confidence of the one-sided normal bound on the paired difference.

    Returns:
        A threshold; minus infinity where no share of cheap replies keeps the target.

    Raises:
        UsageError: If the target or the level is no share.
    """
    if not 0 < target <= 1 or not 0.5 <= level < 1:
        raise UsageError(
            f"A target of {target:g} at a confidence of {level:g} cannot be kept.",
            hint="Give the share of the strong model's quality, such as target=.97, and a level from .5 to below 1.",
        )
    value = -np.inf
    for step in _candidates(items.gain):
        if items.kept_at_least(step, target, level) >= 0:
            value = max(value, step)
    return Threshold(value=value, target=target, level=level, expected=items.at(value))


def _candidates(gain: Floats) -> list[float]:
    """At most some hundred of the scores, so that the best of very many is not picked by chance."""
    steps = np.quantile(gain, np.linspace(0, 1, _STEPS + 1))
    return [float(each) for each in np.unique(steps)]


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
