"""Whether one router orders the items better than another: learned routers often only tie a prior."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from orchestration_nb.errors import UsageError
from orchestration_nb.evals.curves import Floats, answered, apgr
from orchestration_nb.evals.intervals import Interval, resamples

_DRAWS = 1000


def apgr_difference(
    quality_small: ArrayLike,
    quality_strong: ArrayLike,
    scores: ArrayLike,
    reference_scores: ArrayLike,
    *,
    level: float = 0.95,
    draws: int = _DRAWS,
    seed: int = 0,
) -> Interval | None:
    """The interval of the difference of two routers' APGR on the same items, by the paired percentile bootstrap.

    Args:
        quality_small: Of the small model, per item.
        quality_strong: Of the strong model, per item.
        scores: The router's, per item, or one row per split: then of the mean over the splits.
        reference_scores: The other router's, of the same shape.
        level: Of the interval.
        draws: Resamples.
        seed: Of the resampling.

    Returns:
        The interval; ``None`` where the strong model is not better than the small one, or not surely so.

    Raises:
        UsageError: If the shapes do not fit.
    """
    small, strong = answered(quality_small), answered(quality_strong)
    ours, theirs = np.atleast_2d(np.asarray(scores, float)), np.atleast_2d(np.asarray(reference_scores, float))
    if small.shape != strong.shape or ours.shape != theirs.shape or ours.shape[1:] != small.shape:
        raise UsageError("Two routers are compared by their scores of the same items in the same splits.")
    gap = strong - small
    if not gap.sum() > 0:
        return None
    drawn = np.concatenate(
        [
            np.mean(
                [
                    _areas(one, gap, weights) - _areas(other, gap, weights)
                    for one, other in zip(ours, theirs, strict=True)
                ],
                axis=0,
            )
            for weights in resamples(small.size, draws, seed)
        ]
    )
    tail = (1 - level) / 2
    if np.isnan(drawn).mean() > tail:
        return None
    areas = [[apgr(small, strong, row) or 0.0 for row in rows] for rows in (ours, theirs)]
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    estimate = float(np.mean(areas[0]) - np.mean(areas[1]))
    return Interval(estimate=estimate, low=float(low), high=float(high), level=level, n=small.size)


def _areas(scores: Floats, gap: Floats, weights: Floats) -> Floats:
    """The APGR of each resample, equal scores kept together; nan where the strong model is no better in it."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), ranked.size - 1)
    drawn = weights[order]
    recovered = np.cumsum(drawn * gap[order, None], axis=0)[last]
    share = np.cumsum(drawn, axis=0)[last] / scores.size
    start = np.zeros((1, weights.shape[1]))
    recovered, share = np.vstack([start, recovered]), np.vstack([start, share])
    area = (np.diff(share, axis=0) * (recovered[1:] + recovered[:-1])).sum(axis=0) / 2
    total = recovered[-1]
    areas: Floats = np.where(total > 0, area / np.where(total > 0, total, 1.0), np.nan)
    return areas
