"""Differences between the two sides of a rollout, and how far off they may be at any look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Side = float | None
"""What one side of an item came to, or ``None`` where it did not answer or nobody knows."""

_IMAGINED = 0.5
"""Added to each sum of squares of qualities, so that equal scores of a few items don't look like certainty."""
_LEAST_COST_USD = 1e-9
"""Added to both mean costs, so that a free model has a ratio too."""
_LEAST_ERROR = 1e-6
"""Rounding, for sides whose costs never vary."""
_LARGEST_EXPONENT = 700.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """The mean of some numbers, and how they spread."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared distances from the mean."""

    def add(self, values: NDArray[np.float64]) -> Moments:
        """Merged with further numbers (Chan, Golub and LeVeque 1983)."""
        if not len(values):
            return self
        n, mean = self.n + len(values), float(values.mean())
        apart = mean - self.mean
        squares = self.squares + float(np.sum((values - mean) ** 2)) + apart**2 * self.n * len(values) / n
        return Moments(n=n, mean=self.mean + apart * len(values) / n, squares=squares)

    @property
    def variance(self) -> float:
        """Of one number."""
        return self.squares / max(self.n - 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arms:
    """One measure of both sides, and of the pairs' differences."""

    candidate: Moments = field(default_factory=Moments)
    incumbent: Moments = field(default_factory=Moments)
    difference: Moments = field(default_factory=Moments)
    """Candidate less incumbent, of the items that both answered."""

    def add(self, items: Sequence[tuple[Side, Side]]) -> Arms:
        """With further items, each as (candidate, incumbent)."""
        return Arms(
            candidate=self.candidate.add(_floats([ours for ours, _ in items if ours is not None])),
            incumbent=self.incumbent.add(_floats([theirs for _, theirs in items if theirs is not None])),
            difference=self.difference.add(
                _floats([ours - theirs for ours, theirs in items if ours is not None and theirs is not None])
            ),
        )

    @property
    def least_items(self) -> int:
        """Of the side that has fewer."""
        return min(self.candidate.n, self.incumbent.n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """An estimate after some items of a stage."""

    estimate: float = 0.0
    error: float = math.inf
    """Standard error."""
    items: int = 0
    """Of the candidate's in this stage: by these the boundaries go."""
    before: float = 0.0
    """Information (1 / error^2) that was there before the stage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """An estimate and how far it may be off, whenever it is looked at; endless where too little is known."""

    estimate: float
    low: float
    high: float

    @staticmethod
    def around(reading: Reading, far: float) -> Bounds:
        """As far to either side."""
        return Bounds(estimate=reading.estimate, low=reading.estimate - far, high=reading.estimate + far)

    def exponential(self) -> Bounds:
        """Of a ratio, from those of its logarithm."""
        return Bounds(estimate=_exp(self.estimate), low=_exp(self.low), high=_exp(self.high))


def quality_reading(arms: Arms, *, paired: bool = False) -> Reading:
    """The candidate's mean quality less the incumbent's; by the pairs' differences where all are pairs."""
    if paired:
        return _reading(arms.difference.mean, _error2(arms.difference, _IMAGINED), arms.difference.n)
    error2 = max(_error2(arms.candidate, _IMAGINED) + _error2(arms.incumbent, _IMAGINED), _common_error2(arms))
    return _reading(arms.candidate.mean - arms.incumbent.mean, error2, arms.candidate.n)


def ratio_reading(arms: Arms, *, paired: bool = False) -> Reading:
    """The logarithm of the candidate's mean cost over the incumbent's (its error by the delta method)."""
    ours, theirs = arms.candidate.mean + _LEAST_COST_USD, arms.incumbent.mean + _LEAST_COST_USD
    error2 = _error2(arms.candidate) / ours**2 + _error2(arms.incumbent) / theirs**2
    if paired and arms.difference.n:
        common = (arms.candidate.variance + arms.incumbent.variance - arms.difference.variance) / 2
        error2 -= 2 * common / (arms.difference.n * ours * theirs)
    return _reading(math.log(ours / theirs), max(error2, 0.0), arms.candidate.n)


def together(earlier: Reading, now: Reading) -> Reading:
    """What two stages say together, each by its precision."""
    before, since = 1 / earlier.error**2, 1 / now.error**2
    if not before + since:
        return now
    estimate = (before * earlier.estimate + since * now.estimate) / (before + since)
    return Reading(estimate=estimate, error=(before + since) ** -0.5, items=now.items, before=before)


def reach(reading: Reading, alpha: float, horizons: Sequence[tuple[int, float]]) -> float:
    """How far off an estimate may be, to one side, at any look but for a chance of alpha in all.

    Args:
        reading: The estimate at this look.
        alpha: Chance that some look finds it further off.
        horizons: Numbers of items, ascending, and the share of alpha for looks until then.
    """
    if not reading.items or not math.isfinite(reading.error):
        return math.inf
    since = 1 / reading.error**2 - reading.before
    far = math.inf
    for items, share in horizons:
        if reading.items > items and items != horizons[-1][0]:
            continue
        whole = reading.before + since * max(items / reading.items, 1.0)
        z = NormalDist().inv_cdf(1 - alpha * share / 2)
        far = min(far, z * reading.error**2 * math.sqrt(whole))
    return far


def _reading(estimate: float, error2: float, items: int) -> Reading:
    return Reading(estimate=estimate, error=max(math.sqrt(error2), _LEAST_ERROR), items=items)


def _error2(moments: Moments, imagined: float = 0.0) -> float:
    return (moments.squares + imagined) / max(moments.n - 1, 1) / moments.n if moments.n else math.inf


def _common_error2(arms: Arms) -> float:
    """As if both sides spread alike: a few lucky items of the smaller side would else look surer than they are."""
    ours, theirs = arms.candidate, arms.incumbent
    if not arms.least_items:
        return math.inf
    variance = (ours.squares + theirs.squares + _IMAGINED) / max(ours.n + theirs.n - 2, 1)
    return variance * (1 / ours.n + 1 / theirs.n)


def _floats(values: Sequence[float]) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64)


def _exp(value: float) -> float:
    return math.exp(value) if value < _LARGEST_EXPONENT else math.inf
