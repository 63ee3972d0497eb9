"""How many items recorded replies can tell about, by strategy, and what the strategy came to on those."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from orchestration_nb.comparing.comparison import Comparison
from orchestration_nb.evals.intervals import Interval, is_yes_no, paired_bootstrap, wilson
from orchestration_nb.evals.outcomes import Outcomes

_LEAST_ITEMS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What recorded replies tell about one strategy."""

    strategy: str
    told: int
    """Items whose every question was answered by a recorded reply."""
    items: int
    quality: Interval | None
    """Mean score of the items that can be told; ``None`` where they are fewer than four."""
    cost_usd: Interval | None
    """Mean cost of such an item, at the list prices of its own day."""

    @property
    def sentence(self) -> str:
        """The coverage in words."""
        said = f"{self.told:,} of {self.items:,} items can be told for {self.strategy}"
        if self.quality is None or self.cost_usd is None:
            return f"{said}."
        quality, each_usd = self.quality, self.cost_usd.estimate
        return (
            f"{said}: quality {quality.estimate:.3f} ({quality.low:.3f} to {quality.high:.3f}), "
            f"${1000 * each_usd:.4g} per 1,000 items."
        )


def coverage_of(outcomes: Outcomes) -> Coverage:
    """What recorded replies tell about one strategy.

    Args:
        outcomes: What it came to; nan where a reply is missing.
    """
    told = outcomes.at(outcomes.ended)
    enough = len(told) >= _LEAST_ITEMS
    return Coverage(
        strategy=outcomes.strategy,
        told=len(told),
        items=len(outcomes),
        quality=_mean_quality(told.quality) if enough else None,
        cost_usd=paired_bootstrap(told.cost_usd) if enough else None,
    )


def told_for_all(comparison: Comparison, names: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which items can be told for every one of these strategies."""
    common = np.ones(len(comparison.items), dtype=bool)
    for name in names:
        common &= comparison.outcomes(name).ended
    return common


def _mean_quality(quality: npt.NDArray[np.float64]) -> Interval:
    return wilson(round(float(quality.sum())), len(quality)) if is_yes_no(quality) else paired_bootstrap(quality)
