"""Whether a difference is more than chance: tests for paired scores, several at once, and how many items it takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from orchestration_nb.errors import UsageError
from orchestration_nb.evals.intervals import Interval, paired

LEAST_BEYOND = 10
"""A percentile is shown only where at least so many values lie beyond it."""

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True, kw_only=True)
class WinTieLoss:
    """On how many items one strategy scored better than, as well as and worse than another."""

    wins: int
    ties: int
    losses: int


def win_tie_loss(ours: ArrayLike, theirs: ArrayLike) -> WinTieLoss:
    """Counts the items on which ``ours`` is above, equal to and below ``theirs``.

    Raises:
        UsageError: If the two have different lengths or no items.
    """
    difference = paired(ours, theirs)
    wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
    return WinTieLoss(wins=wins, ties=difference.size - wins - losses, losses=losses)


def mcnemar(ours: ArrayLike, theirs: ArrayLike) -> float:
    """The exact two-sided p-value of McNemar's test (1947) for yes/no scores on the same items.

    Only items on which the two differ count; by chance alone, each of them goes either way like a fair coin. Exact for
    any number of them, so false alarms are never more frequent than the level says.

    Raises:
        UsageError: If the two have different lengths or no items.
    """
    counts = win_tie_loss(ours, theirs)
    discordant, fewer = counts.wins + counts.losses, min(counts.wins, counts.losses)
    k = np.arange(1, fewer + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log((discordant - k + 1) / k))]) - discordant * math.log(2)
    return min(1.0, 2 * float(np.exp(logs).sum()))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979): p-values that may all be read at once, in the order given.

    The chance that any true "no difference" among them falls below .05 is at most .05.
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        highest = max(highest, min(1.0, p_values[place] * (len(p_values) - rank)))
        adjusted[place] = highest
    return adjusted


def noninferior(interval: Interval, margin: float) -> bool:
    """Whether the interval shows that the true difference is not worse than ``-margin``.

    Raises:
        UsageError: If the margin is not above 0.
    """
    if not margin > 0:
        raise UsageError(f"A margin of non-inferiority must be above 0, not {margin}.")
    return interval.low > -margin


def items_needed(difference: float = 0.02, *, discordant: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """How many items would show a true difference of a stated size (Connor 1987, for McNemar's test).

    Args:
        difference: The stated difference of mean quality: one that would matter, never the one that was observed.
        discordant: The share of items on which the two differ, or for graded scores the mean squared difference.
        power: The chance that the difference is then shown.
        alpha: The two-sided level at which it must be shown.

    Returns:
        Items, with ``1 / difference`` added because the test is exact (Fleiss's correction of continuity).

    Raises:
        UsageError: If the difference is not between 0 and 1, or the power or the level is none.
    """
    if not (0 < difference <= 1 and 0 < power < 1 and 0 < alpha < 1):
        raise UsageError(f"No number of items shows a difference of {difference} with power {power} at {alpha}.")
    share = max(discordant, difference)  # two that differ by so much differ on at least so many items
    chance = _NORMAL.inv_cdf(1 - alpha / 2) * math.sqrt(share)
    wish = _NORMAL.inv_cdf(power) * math.sqrt(max(share - difference**2, 0.0))
    return math.ceil(((chance + wish) / difference) ** 2 + 1 / difference)


def percentile_or_none(values: ArrayLike, q: float) -> float | None:
    """A percentile such as p95 (``q=.95``), or ``None`` where fewer than ten values lie beyond it.

    Values that are nan are left out.

    Raises:
        UsageError: If ``q`` is not between 0 and 1.
    """
    if not 0 < q < 1:
        raise UsageError(f"A percentile is asked for as a share between 0 and 1, not {q}.", hint="p95 is .95.")
    found = np.asarray(values, dtype=np.float64)
    found = found[~np.isnan(found)]
    if found.size * min(q, 1 - q) < LEAST_BEYOND - 1e-9:
        return None
    return float(np.quantile(found, q))
