"""From scores to a threshold that keeps a stated share of the strong model's quality, on a lower confidence bound.

A score says how much an item is likely to gain from the strong model; items that reach the threshold go to it. The
scores must come from folds that did not train on the item (cross-fitted), or the bound says nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from orchestration_nb.errors import UsageError
from orchestration_nb.evals.curves import Escalation

Floats = NDArray[np.float64]

DEFAULT_LEVEL = 0.9
"""Confidence of the one-sided bound."""
_STEPS = 50
"""Thresholds that are tried. The highest that passes is taken, so that each more is one more chance to pass by luck."""


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
    """Mean per item."""
    cost_usd: float
    """Mean per item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """The threshold for a target, and what it came to on the cross-fitted items that it was set on."""

    value: float
    """Items of at least this score go to the strong model; minus infinity sends all of them."""
    target: float
    level: float
    expected: Realised

    def __str__(self) -> str:
        """One sentence."""
        if self.value == -math.inf:
            return (
                f"Nothing but the strong model keeps {self.target:.0%} of its quality at {self.level:.0%} confidence."
            )
        return (
            f"Keeps {self.target:.0%} of the strong model's quality at {self.level:.0%} confidence: on items it did "
            f"not train on {self.expected.kept:.1%}, at {self.expected.saved:.0%} less cost."
        )


def realised(items: Escalation, cost_strong: Floats, threshold: float) -> Realised:
    """What a threshold comes to.

    Args:
        items: Both ways that each item can go, and the scores.
        cost_strong: What the strong model alone costs per item, in dollars.
        threshold: Items of at least this score go to the strong model.
    """
    up = items.scores >= threshold
    quality = np.where(up, items.quality_escalated, items.quality_kept)
    cost = np.where(up, items.cost_escalated, items.cost_kept)
    return Realised(
        kept=_ratio(quality.sum(), items.quality_escalated.sum()),
        saved=1.0 - _ratio(cost.sum(), cost_strong.sum()),
        escalated=float(up.mean()),
        quality=float(quality.mean()),
        cost_usd=float(cost.mean()),
    )


def threshold_for(items: Escalation, cost_strong: Floats, target: float, *, level: float = DEFAULT_LEVEL) -> Threshold:
    """The highest threshold whose lower confidence bound still keeps the target.

    The bound is that of the mean of ``quality - target * strong quality`` over the items, which is paired: what both
    models do alike does not widen it.

    Args:
        items: With cross-fitted scores.
        cost_strong: What the strong model alone costs per item, in dollars.
        target: Share of the strong model's quality to keep, such as .97.
        level: Confidence of the one-sided normal bound.

    Raises:
        UsageError: If the target or the level is no share.
    """
    if not 0 < target <= 1 or not 0.5 <= level < 1:
        raise UsageError(
            f"A target of {target:g} at a confidence of {level:g} cannot be kept.",
            hint="Give the share of the strong model's quality, such as target=.97, and a level from .5 to below 1.",
        )
    found = -math.inf
    for value in _candidates(items.scores):
        if _lower_bound(items, value, target, level) >= 0:
            found = max(found, value)
    if found <= items.scores.min():
        found = -math.inf
    return Threshold(value=found, target=target, level=level, expected=realised(items, cost_strong, found))


def _lower_bound(items: Escalation, threshold: float, target: float, level: float) -> float:
    quality = np.where(items.scores >= threshold, items.quality_escalated, items.quality_kept)
    margin = quality - target * items.quality_escalated
    error = margin.std(ddof=1) / math.sqrt(len(margin))
    return float(margin.mean() - NormalDist().inv_cdf(level) * error)


def _candidates(scores: Floats) -> list[float]:
    """Some of the scores, evenly spread over the items; then none at all."""
    steps = np.unique(np.quantile(scores, np.linspace(0, 1, _STEPS + 1)))
    return [*map(float, steps), math.inf]


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else math.nan
