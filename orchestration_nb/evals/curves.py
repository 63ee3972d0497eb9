"""Cost against quality: what a router is worth between a small and a strong model, and against what needs no learning.

Definitions: performance gap recovered (PGR), its average APGR and the call-performance threshold CPT from RouteLLM
(Ong et al. 2024, arXiv:2406.18665, section 4.1), average improvement in quality AIQ from RouterBench (Hu et al. 2024,
arXiv:2403.12031, section 3.3). A missing answer (nan) counts as quality 0 everywhere. A figure that has no meaning on
the items at hand (a strong model that is no better than the small one) is ``None``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from orchestration_nb.errors import UsageError

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Escalation:
    """Two ways to answer each item, and the order in which the dearer one is chosen. One place per item."""

    quality_kept: Floats
    """Where the item stays with the small model or the cheap reply."""
    quality_escalated: Floats
    cost_kept: Floats
    """In dollars. A router has paid the small model here, a cascade all its cheap calls."""
    cost_escalated: Floats
    """In dollars. A router has paid the strong model here, a cascade its cheap calls as well."""
    scores: Floats
    """The higher, the sooner the item is escalated. Items of one score are one group, taken in random order."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """What an escalation comes to at each threshold, from nothing escalated to everything: one place per threshold."""

    thresholds: Floats
    """Items with at least this score are escalated; the first is infinite."""
    share: Floats
    """Of the items, escalated."""
    quality: Floats
    """Mean quality."""
    cost_usd: Floats
    """Mean cost of an item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """What a threshold saves that was chosen on one half of the items and measured on the other, both ways."""

    target: float
    """Share of the strong model's quality that was asked for."""
    saved: float
    """Share of the strong model's cost; below 0 where the cheap calls cost more than they save."""
    kept: float | None
    """Share of the strong model's quality that was realised."""
    escalated: float
    """Share of the items."""
    thresholds: tuple[float, float]
    """Chosen on the first half, chosen on the second."""

    @property
    def is_met(self) -> bool:
        """Whether the quality that was realised reaches the target."""
        return self.kept is not None and self.kept >= self.target - 1e-12


def curve(escalation: Escalation) -> Curve:
    """All thresholds of an escalation.

    Raises:
        UsageError: If the arrays are empty or differ in length, or a cost or a score is not a number.
    """
    kept, escalated, cost_kept, cost_escalated, scores = _checked(escalation)
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), ranked.size - 1)  # the end of each group of equal scores
    n = ranked.size

    def total(start: Floats, gain: Floats) -> Floats:
        sums = np.concatenate([[0.0], np.cumsum(gain[order])[last]])
        means: Floats = (start.sum() + sums) / n
        return means

    return Curve(
        thresholds=np.concatenate([[np.inf], ranked[last]]),
        share=np.concatenate([[0.0], (last + 1) / n]),
        quality=total(kept, escalated - kept),
        cost_usd=total(cost_kept, cost_escalated - cost_kept),
    )


def apgr(quality_small: ArrayLike, quality_strong: ArrayLike, scores: ArrayLike) -> float | None:
    """The area under the share of the quality gap recovered against the share of items escalated.

    .5 is what random escalation comes to. It can pass 1: who knew the answers would beat the strong model.

    Args:
        quality_small: Of the small model or the cheap reply, per item.
        quality_strong: Of the strong model, per item.
        scores: The higher, the sooner the item is escalated.
    """
    recovered = _recovered(quality_small, quality_strong, scores)
    if recovered is None:
        return None
    share, gap = recovered
    return _area(share, gap)


def cpt(quality_small: ArrayLike, quality_strong: ArrayLike, scores: ArrayLike, target: float = 0.5) -> float | None:
    """The least share of items to escalate that recovers ``target`` of the quality gap: CPT50 is ``target=.5``.

    Raises:
        UsageError: If the target is not above 0 and at most 1.
    """
    if not 0 < target <= 1:
        raise UsageError(f"A share of the quality gap lies between 0 and 1, not {target}.", hint="CPT80 is .8.")
    recovered = _recovered(quality_small, quality_strong, scores)
    if recovered is None:
        return None
    share, gap = recovered
    place = int(np.argmax(gap >= target - 1e-12))
    rise = gap[place] - gap[place - 1]
    return float(share[place - 1] + (share[place] - share[place - 1]) * (target - gap[place - 1]) / rise)


def aiq(cost_usd: ArrayLike, quality: ArrayLike, *, between: tuple[float, float] | None = None) -> float | None:
    """The average height of the hull of the points over a range of cost, all calls included.

    Args:
        cost_usd: Mean cost of an item, per point (threshold, strategy or model).
        quality: Mean quality, per point.
        between: The range of cost; routers are comparable over one range only. Unless given, the range of the points.

    Returns:
        The average quality; ``None`` where the range is empty.

    Raises:
        UsageError: If there are no points, or the range begins below the cheapest of them.
    """
    costs, heights = _points(cost_usd, quality)
    corners = hull(costs, heights)
    low, high = between or (float(costs.min()), float(costs.max()))
    if low < costs.min() * (1 - 1e-9):
        raise UsageError(
            "No point is as cheap as the range of AIQ begins.", hint="Add the cheapest model to the points."
        )
    if not high > low:
        return None
    grid = np.unique(np.concatenate([[low, high], np.clip(costs[corners], low, high)]))
    return _area(grid, np.interp(grid, costs[corners], heights[corners])) / (high - low)


def pareto(cost_usd: ArrayLike, quality: ArrayLike) -> Places:
    """Which points no other point beats: cheaper and no worse, or better and no dearer. Ascending in cost.

    Of points that are the same, the first stands for all.

    Raises:
        UsageError: If there are no points.
    """
    costs, heights = _points(cost_usd, quality)
    order = np.lexsort((-heights, costs))
    best = np.concatenate([[-np.inf], np.maximum.accumulate(heights[order])[:-1]])
    front: Places = order[heights[order] > best]
    return front


def hull(cost_usd: ArrayLike, quality: ArrayLike) -> Places:
    """The corners of the upper convex hull, ascending in cost and quality: between two, one may toss a coin.

    Raises:
        UsageError: If there are no points.
    """
    costs, heights = _points(cost_usd, quality)
    corners: list[int] = []
    for point in pareto(costs, heights):
        while len(corners) > 1 and not _turns_down(costs, heights, corners[-2], corners[-1], int(point)):
            corners.pop()
        corners.append(int(point))
    return np.array(corners, dtype=np.intp)


def saved_at(target: float, escalation: Escalation, cost_strong: ArrayLike, *, first_half: ArrayLike) -> Saving:
    """What is saved at a share of the strong model's quality, each half measured with a threshold of the other's.

    On each half the cheapest threshold that reaches the target is taken, or everything escalated where none does, and
    measured on the other half. A threshold that just reached the target there misses it here about half of the time.

    Args:
        target: Such as .95, .99 or 1: of the mean quality of everything escalated.
        escalation: The two ways to answer, and the scores.
        cost_strong: What the strong model alone costs per item, in dollars.
        first_half: Which items are in the first half, as :func:`halves` draws them.

    Raises:
        UsageError: If a half is empty or the arrays do not fit.
    """
    kept, escalated, cost_kept, cost_escalated, scores = _checked(escalation)
    first = np.asarray(first_half, dtype=bool)
    if first.shape != scores.shape or first.all() or not first.any():
        raise UsageError("Thresholds need two halves of the items, neither of them empty.")
    chosen = tuple(_threshold(target, _part(escalation, half)) for half in (first, ~first))
    up = scores >= np.where(first, chosen[1], chosen[0])
    strong, paid = float(escalated.sum()), float(np.asarray(cost_strong, dtype=np.float64).sum())
    quality = float(np.where(up, escalated, kept).sum())
    return Saving(
        target=target,
        saved=1 - float(np.where(up, cost_escalated, cost_kept).sum()) / paid if paid else 0.0,
        kept=quality / strong if strong else None,
        escalated=float(up.mean()),
        thresholds=(chosen[0], chosen[1]),
    )


def halves(n: int, seed: int) -> NDArray[np.bool_]:
    """A random half of ``n`` items, the same for the same seed."""
    first = np.zeros(n, dtype=bool)
    first[np.random.default_rng(seed).permutation(n)[: n // 2]] = True
    return first


def _part(escalation: Escalation, items: NDArray[np.bool_]) -> Escalation:
    return Escalation(
        quality_kept=escalation.quality_kept[items],
        quality_escalated=escalation.quality_escalated[items],
        cost_kept=escalation.cost_kept[items],
        cost_escalated=escalation.cost_escalated[items],
        scores=escalation.scores[items],
    )


def _threshold(target: float, escalation: Escalation) -> float:
    reached = curve(escalation)
    enough = reached.quality >= target * reached.quality[-1] - 1e-12
    enough[-1] = True
    return float(reached.thresholds[np.argmin(np.where(enough, reached.cost_usd, np.inf))])


def _recovered(quality_small: ArrayLike, quality_strong: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats] | None:
    small, strong = answered(quality_small), answered(quality_strong)
    free = np.zeros(small.size)
    ranked = np.asarray(scores, dtype=np.float64)
    both = Escalation(quality_kept=small, quality_escalated=strong, cost_kept=free, cost_escalated=free, scores=ranked)
    reached = curve(both)
    gap = reached.quality[-1] - reached.quality[0]
    if not gap > 0:
        return None
    return reached.share, (reached.quality - reached.quality[0]) / gap


def answered(quality: ArrayLike) -> Floats:
    """Quality with 0 for what is missing (nan)."""
    return np.nan_to_num(np.asarray(quality, dtype=np.float64), nan=0.0)


def _checked(escalation: Escalation) -> Sequence[Floats]:
    kept, escalated = answered(escalation.quality_kept), answered(escalation.quality_escalated)
    arrays = [kept, escalated, escalation.cost_kept, escalation.cost_escalated, escalation.scores]
    found = [np.asarray(array, dtype=np.float64) for array in arrays]
    if {array.shape for array in found} != {(kept.size,)} or kept.size == 0:
        raise UsageError("Qualities, costs and scores need one place for each of the same items.")
    if any(np.isnan(array).any() for array in found):
        raise UsageError(
            "A curve needs the cost and the score of every item.", hint="Leave out models without a price."
        )
    return found


def _points(cost_usd: ArrayLike, quality: ArrayLike) -> tuple[Floats, Floats]:
    costs, heights = np.asarray(cost_usd, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    if costs.shape != heights.shape or costs.ndim != 1 or costs.size == 0:
        raise UsageError("Points need one cost and one quality each.")
    return costs, heights


def _turns_down(costs: Floats, heights: Floats, a: int, b: int, c: int) -> bool:
    """Whether ``b`` lies above the line from ``a`` to ``c``."""
    rise, run = heights[c] - heights[a], costs[c] - costs[a]
    return bool((heights[b] - heights[a]) * run > rise * (costs[b] - costs[a]))


def _area(x: Floats, y: Floats) -> float:
    return float((np.diff(x) * (y[1:] + y[:-1])).sum() / 2)
