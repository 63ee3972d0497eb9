"""Whether a learned router orders items better than the prior of their slices, or only ties it.

The prior knows nothing of an item but its slice (a data set, a label). Learned routers often do no better, and then the
simpler rule is the one to use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestration_nb.errors import UsageError
from orchestration_nb.evals.curves import apgr
from orchestration_nb.evals.intervals import Interval

Floats = NDArray[np.float64]

_DRAWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class AgainstPrior:
    """Mean APGR of a router and of the prior over several splits, and the paired interval of their difference."""

    router: float
    prior: float
    difference: Interval

    @property
    def ties(self) -> bool:
        """Whether the interval includes 0."""
        return self.difference.low <= 0 <= self.difference.high

    def __str__(self) -> str:
        """One sentence."""
        told = (
            f"APGR {self.router:.3f} against {self.prior:.3f} of the prior by slice "
            f"({self.difference.estimate:+.3f}, {self.difference.level:.0%} interval {self.difference.low:+.3f} to "
            f"{self.difference.high:+.3f})"
        )
        if self.ties:
            return f"It ties the prior: {told}."
        return f"It is {'better' if self.difference.estimate > 0 else 'worse'} than the prior: {told}."


def prior_scores(
    quality_small: Floats, quality_strong: Floats, slices: Sequence[object], train: NDArray[np.int64]
) -> Floats:
    """What the strong model adds on average on each item's slice, as learned from the items ``train``.

    Returns:
        A score for every item; where the slice is not among those of ``train``, the mean of all.
    """
    names, of = np.unique(np.array(list(map(str, slices))), return_inverse=True)
    gain = np.asarray(quality_strong - quality_small)
    known = np.bincount(of[train], minlength=len(names))
    sums = np.bincount(of[train], gain[train], len(names))
    means = np.where(known > 0, sums / np.maximum(known, 1), gain[train].mean())
    return np.asarray(means[of])


def against_prior(
    quality_small: Floats,
    quality_strong: Floats,
    router: Sequence[Floats],
    prior: Sequence[Floats],
    *,
    level: float = 0.95,
    seed: int = 0,
) -> AgainstPrior:
    """Compares two ways of ordering the same items by their APGR.

    The interval is the percentile bootstrap over items; each draw is ordered by the same scores for both, and averaged
    over the splits, so that what it says is about the items and not about a lucky split.

    Args:
        quality_small: Of the small model, per item.
        quality_strong: Of the strong model.
        router: Out-of-fold scores per item, one array for each split.
        prior: The prior's on the same splits.
        level: Of the interval.
        seed: Of the draws.

    Raises:
        UsageError: If there are no splits, or no gap to recover is shown: draws in which the strong model is no better
            are more than the interval leaves out on one side.
    """
    ours, theirs = ([apgr(quality_small, quality_strong, scores) for scores in each] for each in (router, prior))
    gain, dice = quality_strong - quality_small, np.random.default_rng(seed)
    drawn = dice.multinomial(len(gain), np.full(len(gain), 1 / len(gain)), size=_DRAWS).astype(np.float64)
    no_gap = float(np.mean(drawn @ gain <= 0)) > (1 - level) / 2
    if no_gap or not ours or not theirs or None in ours or None in theirs:
        raise UsageError(
            "There is no gap between the two models to recover, or these items do not show it.",
            hint="Name a strong model that is better than the cheap, or compare on more items.",
        )
    apart = np.mean([_areas(gain, each, drawn) for each in router], axis=0)
    apart = apart - np.mean([_areas(gain, each, drawn) for each in prior], axis=0)
    low, high = np.nanquantile(apart, [(1 - level) / 2, (1 + level) / 2])
    means = [float(np.mean(np.array(each, dtype=np.float64))) for each in (ours, theirs)]
    found = Interval(estimate=means[0] - means[1], low=float(low), high=float(high), level=level, n=len(gain))
    return AgainstPrior(router=means[0], prior=means[1], difference=found)


def _areas(gain: Floats, scores: Floats, drawn: Floats) -> Floats:
    """APGR of each draw, where ``drawn[k, i]`` says how often item i is in draw k; items of one score are one group."""
    order = np.argsort(-scores, kind="stable")
    starts = np.concatenate([[0], np.flatnonzero(np.diff(scores[order])) + 1])
    counts = np.add.reduceat(drawn[:, order], starts, axis=1)
    gains = np.add.reduceat(drawn[:, order] * gain[order], starts, axis=1)
    reached = np.cumsum(gains, axis=1)
    middle = reached - gains / 2
    total = np.where(reached[:, -1] == 0, np.nan, reached[:, -1])
    return np.asarray((middle * counts).sum(axis=1) / (total * counts.sum(axis=1)))
