"""What needs no learning: oracle, random mix, best single model, slice prior; shown beside every comparison.

Quality and cost are tables, one row per item and one column per model. A missing answer (nan) counts as quality 0.
What learns from scores (the best single model, the prior) learns on one half of the items and is used on the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from orchestration_nb.errors import UsageError
from orchestration_nb.evals.curves import Floats, Places, answered


def oracle(quality: ArrayLike, cost_usd: ArrayLike) -> Places:
    """The model that somebody who knew the answers would ask, per item: the cheapest of the best.

    For yes/no scores that is the cheapest right one, and where none is right, the cheapest.

    Raises:
        UsageError: If the tables do not have the same items and models.
    """
    scores, costs = _tables(quality, cost_usd)
    best = scores >= scores.max(axis=1, keepdims=True)
    chosen: Places = np.where(best, costs, np.inf).argmin(axis=1)
    return chosen


def random_mix(quality: ArrayLike, cost_usd: ArrayLike, shares: Sequence[float]) -> tuple[Floats, Floats]:
    """What tossing a coin between models comes to on average: expected quality and cost (dollars) per item.

    Raises:
        UsageError: If there is not one share per model, or they are below 0 or do not add up to 1.
    """
    scores, costs = _tables(quality, cost_usd)
    mix = np.asarray(shares, dtype=np.float64)
    if mix.shape != (scores.shape[1],) or (mix < 0).any() or abs(mix.sum() - 1) > 1e-9:
        raise UsageError("A random mix needs one share per model, and all shares together are 1.")
    return scores @ mix, costs @ mix


def best_single(quality: ArrayLike, cost_usd: ArrayLike, *, first_half: ArrayLike) -> Places:
    """The model that was best on the other half of the items, per item; of equally good ones the cheapest.

    Raises:
        UsageError: If the tables do not have the same items and models, or a half is empty.
    """
    scores, _ = _tables(quality, cost_usd)
    return slice_prior(quality, cost_usd, np.zeros(len(scores), dtype=np.intp), first_half=first_half)


def slice_prior(quality: ArrayLike, cost_usd: ArrayLike, slices: ArrayLike, *, first_half: ArrayLike) -> Places:
    """The model that was best on the item's slice in the other half of the items, per item.

    A slice that the other half does not hold takes the best model of that half.

    Args:
        quality: Per item and model.
        cost_usd: Per item and model: of equally good models the cheapest is taken.
        slices: Which slice each item belongs to: any values.
        first_half: Which items are in the first half.

    Raises:
        UsageError: If the tables do not have the same items and models, or a half is empty.
    """
    scores, costs = _tables(quality, cost_usd)
    groups, first = _groups(slices, first_half, len(scores))
    chosen = np.zeros(len(scores), dtype=np.intp)
    for used in (first, ~first):
        for group in np.unique(groups[used]):
            learned = ~used & (groups == group)
            rows = learned if learned.any() else ~used
            ranked = np.lexsort((costs[rows].mean(axis=0), -scores[rows].mean(axis=0)))
            chosen[used & (groups == group)] = ranked[0]
    return chosen


def slice_gap(
    quality_small: ArrayLike, quality_strong: ArrayLike, slices: ArrayLike, *, first_half: ArrayLike
) -> Floats:
    """The prior as a router's score: how much better the strong model was on the slice in the other half, per item.

    Raises:
        UsageError: If the arrays do not have the same items, or a half is empty.
    """
    small, strong = answered(quality_small), answered(quality_strong)
    if small.shape != strong.shape:
        raise UsageError("The two models need scores on the same items.")
    groups, first = _groups(slices, first_half, small.size)
    scores = np.zeros(small.size)
    for used in (first, ~first):
        gap = strong[~used] - small[~used]
        counts = np.bincount(groups[~used], minlength=groups.max() + 1)
        sums = np.bincount(groups[~used], weights=gap, minlength=groups.max() + 1)
        means = np.where(counts > 0, sums / np.maximum(counts, 1), gap.mean())
        scores[used] = means[groups[used]]
    return scores


def _tables(quality: ArrayLike, cost_usd: ArrayLike) -> tuple[Floats, Floats]:
    scores, costs = answered(quality), np.asarray(cost_usd, dtype=np.float64)
    if scores.ndim != 2 or scores.shape != costs.shape or scores.size == 0:
        raise UsageError("Quality and cost need a row for each item and a column for each model.")
    if np.isnan(costs).any():
        raise UsageError("A baseline needs the cost of every item.", hint="Leave out models without a price.")
    return scores, costs


def _groups(slices: ArrayLike, first_half: ArrayLike, n: int) -> tuple[Places, NDArray[np.bool_]]:
    first = np.asarray(first_half, dtype=bool)
    labels = np.asarray(slices)
    if first.shape != (n,) or labels.shape != (n,):
        raise UsageError("Slices and halves need one place per item.")
    if first.all() or not first.any():
        raise UsageError("What is learned on one half of the items needs both halves.", hint="Compare over more items.")
    groups = np.unique(labels, return_inverse=True)[1]
    return groups.astype(np.intp), first
