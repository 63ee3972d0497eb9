"""Which strategy, and is the difference real: every strategy against one reference on the same items.

The rules, so that a reader can check them:

- The reference is named beforehand, or is the best single model chosen on the other half of the items.
- Quality, cost and latency are three questions. Over each of them Holm's correction goes over all strategies shown, so
  that the chance of any false alarm in quality is at most .05, however many strategies are shown.
- A verdict of difference is given where the corrected p-value is at most .05: McNemar's exact test for yes/no scores,
  else the studentised bootstrap's. Intervals are those of each comparison alone.
- Non-inferiority is a verdict of its own, one-sided at .025 and corrected in the same way.
- There is no verdict before the planned number of items: to look again and again and stop at the first verdict would
  find differences where there are none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from orchestration_nb.errors import UsageError
from orchestration_nb.evals.baselines import best_single
from orchestration_nb.evals.curves import Floats, answered
from orchestration_nb.evals.intervals import (
    DRAWS,
    LEAST_ITEMS,
    Interval,
    MeanDifference,
    is_yes_no,
    mean_differences,
    percentile_differences,
    yes_no_difference,
)
from orchestration_nb.evals.significance import (
    LEAST_BEYOND,
    WinTieLoss,
    holm,
    items_needed,
    mcnemar,
    win_tie_loss,
)

Finding = Literal["higher", "lower", "no difference shown"]
"""Which way a measure of a strategy differs from the reference's."""


class Measured(Protocol):
    """What a strategy came to on the items of a comparison, one place per item; nan where there is nothing."""

    @property
    def strategy(self) -> str:
        """Its name."""

    @property
    def quality(self) -> Floats:
        """Scores from 0 to 1; nan counts as 0."""

    @property
    def cost_usd(self) -> Floats:
        """What it would have cost alone, at list price."""

    @property
    def latency_ms(self) -> Floats:
        """How long it would have taken alone."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChosenReference:
    """A reference that was not named: on each item, the single model that was best on the other half of the items."""

    strategy: str
    quality: Floats
    cost_usd: Floats
    latency_ms: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """By which verdicts are given; stated before the comparison."""

    level: float = 0.95
    """Of the intervals; verdicts are given at ``1 - level``."""
    margin: float = 0.02
    """Non-inferior: surely not worse in quality by more than this."""
    stated_difference: float = 0.02
    """The difference of quality that would matter: how many items would show it is told."""
    power: float = 0.8
    """The chance with which so many items would show it."""
    draws: int = DRAWS
    """Resamples of the bootstrap."""
    seed: int = 0
    """Of the resampling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """One measure of a strategy minus the reference's."""

    interval: Interval | None
    """Of the mean difference; ``None`` where fewer than four items have both values."""
    p_value: float | None
    p_holm: float | None
    """Corrected over all strategies shown."""
    finding: Finding | None
    """``None`` before the planned number of items."""
    spread_items: float = math.inf
    """How many items the spread of the difference rests on; where they are few, the interval may be too narrow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One strategy against the reference."""

    strategy: str
    reference: str
    n: int
    """Items compared so far."""
    planned: int
    quality: Contrast
    cost_usd: Contrast
    latency_ms: Contrast
    latency_p50_ms: Interval | None
    """Difference of the medians; ``None`` where fewer than ten items lie beyond."""
    latency_p95_ms: Interval | None
    counts: WinTieLoss
    noninferior: bool | None
    """``None`` before the planned number of items."""
    items_needed: int
    """Items that would show the stated difference of quality, with all strategies shown corrected for."""
    rules: Rules
    family: int
    """Strategies that were corrected for."""
    yes_no: bool
    """Whether all scores are 0 or 1."""

    @property
    def is_live(self) -> bool:
        """Whether items are still to come: then there are intervals and no verdict."""
        return self.n < self.planned

    @property
    def word(self) -> Literal["better", "worse", "no difference shown"] | None:
        """The verdict on quality; ``None`` while live."""
        if self.quality.finding is None or self.quality.finding == "no difference shown":
            return self.quality.finding
        return "better" if self.quality.finding == "higher" else "worse"


def verdicts(
    strategies: Sequence[Measured], reference: Measured, *, planned: int, rules: Rules | None = None
) -> list[Verdict]:
    """Compares each strategy with the reference.

    Args:
        strategies: All that are shown, the reference apart; the items so far, the same ones in the same order.
        reference: Named beforehand, or :func:`best_single_reference`.
        planned: How many items the comparison was planned for: verdicts are given at this number only.
        rules: By which verdicts are given.

    Raises:
        UsageError: If the items are not the same, fewer than four, or more than planned.
    """
    rules = rules or Rules()
    n = _same_items(strategies, reference)
    if n > planned:
        raise UsageError(f"{n} items are more than the {planned} planned.", hint="Plan the comparison for all of them.")
    if not strategies:
        return []
    alpha = 1 - rules.level if n == planned else None
    theirs = answered(reference.quality)
    ours = [answered(one.quality) for one in strategies]
    yes_no = all(is_yes_no(scores) for scores in (*ours, theirs))
    tested = [mcnemar(scores, theirs) for scores in ours] if yes_no else None
    quality = _quality_differences(ours, theirs, yes_no, rules)
    above = holm([one.p_above(-rules.margin) for one in quality])
    costs = [one.cost_usd - reference.cost_usd for one in strategies]
    latencies = [one.latency_ms - reference.latency_ms for one in strategies]
    differences = _differences([*costs, *latencies], rules)
    columns = zip(
        strategies,
        ours,
        _contrasts(list(quality), rules, alpha, tested),
        _contrasts(differences[: len(ours)], rules, alpha),
        _contrasts(differences[len(ours) :], rules, alpha),
        _latency_percentiles(strategies, reference, rules),
        above,
        strict=True,
    )
    return [
        Verdict(
            strategy=one.strategy,
            reference=reference.strategy,
            n=n,
            planned=planned,
            quality=on_quality,
            cost_usd=on_cost,
            latency_ms=on_latency,
            latency_p50_ms=percentiles[0],
            latency_p95_ms=percentiles[1],
            counts=win_tie_loss(scores, theirs),
            noninferior=None if alpha is None else p_above <= alpha / 2,
            items_needed=_needed(scores - theirs, len(strategies), rules),
            rules=rules,
            family=len(strategies),
            yes_no=yes_no,
        )
        for one, scores, on_quality, on_cost, on_latency, percentiles, p_above in columns
    ]


def best_single_reference(singles: Sequence[Measured], *, first_half: NDArray[np.bool_]) -> ChosenReference:
    """The best single model as a reference that was not chosen by looking at the items it is compared on.

    Of equally good models the cheaper one is taken.

    Args:
        singles: Every single model on the items.
        first_half: Which items are in the first half (:func:`orchestration_nb.evals.curves.halves`).

    Raises:
        UsageError: If there are no models, or a half is empty.
    """
    if not singles:
        raise UsageError("There is no single model to compare with.")
    quality = np.column_stack([answered(one.quality) for one in singles])
    cost_usd = np.column_stack([one.cost_usd for one in singles])
    latency_ms = np.column_stack([one.latency_ms for one in singles])
    chosen = best_single(quality, np.nan_to_num(cost_usd, nan=np.inf), first_half=first_half)
    items = np.arange(len(chosen))
    names = " or ".join(dict.fromkeys(singles[model].strategy for model in chosen.tolist()))
    return ChosenReference(
        strategy=f"best single model ({names})",
        quality=quality[items, chosen],
        cost_usd=cost_usd[items, chosen],
        latency_ms=latency_ms[items, chosen],
    )


def _same_items(strategies: Sequence[Measured], reference: Measured) -> int:
    everyone = [*strategies, reference]
    sizes = {array.shape for one in everyone for array in (one.quality, one.cost_usd, one.latency_ms)}
    if len(sizes) != 1:
        raise UsageError("Strategies can only be compared on the same items.")
    if reference.quality.size < LEAST_ITEMS:
        raise UsageError(f"A comparison needs at least {LEAST_ITEMS} items.", hint="Compare over more items.")
    return reference.quality.size


def _quality_differences(ours: list[Floats], theirs: Floats, yes_no: bool, rules: Rules) -> list[MeanDifference]:
    if yes_no:
        return [yes_no_difference(scores, theirs) for scores in ours]
    return mean_differences([scores - theirs for scores in ours], draws=rules.draws, seed=rules.seed)


def _differences(columns: Sequence[Floats], rules: Rules) -> list[MeanDifference | None]:
    """The mean of each column of differences over the items where it is known; resampled together."""
    known = [column[~np.isnan(column)] for column in columns]
    enough = [column for column in known if column.size >= LEAST_ITEMS]
    found = iter(mean_differences(enough, draws=rules.draws, seed=rules.seed))
    return [next(found) if column.size >= LEAST_ITEMS else None for column in known]


def _contrasts(
    differences: Sequence[MeanDifference | None], rules: Rules, alpha: float | None, tested: list[float] | None = None
) -> list[Contrast]:
    """One measure of all strategies; ``tested`` are p-values of a test that fits better than the bootstrap's."""
    own = tested or [one.p_value() for one in differences if one is not None]
    raw, corrected = iter(own), iter(holm(own))
    contrasts = []
    for one in differences:
        if one is None:
            contrasts.append(Contrast(interval=None, p_value=None, p_holm=None, finding=None))
            continue
        p_value, p_holm = next(raw), next(corrected)
        finding: Finding | None = None
        if alpha is not None:
            shown = p_holm <= alpha
            finding = ("higher" if one.estimate > 0 else "lower") if shown else "no difference shown"
        interval = one.interval(rules.level)
        contrasts.append(
            Contrast(
                interval=interval,
                p_value=p_value,
                p_holm=p_holm,
                finding=finding,
                spread_items=one.spread_items,
            )
        )
    return contrasts


def _latency_percentiles(
    strategies: Sequence[Measured], reference: Measured, rules: Rules
) -> list[tuple[Interval | None, Interval | None]]:
    """Differences of p50 and p95 on the items whose latency all strategies know."""
    everyone = np.column_stack([one.latency_ms for one in (*strategies, reference)])
    known = everyone[~np.isnan(everyone).any(axis=1)]
    shares = [q for q in (0.5, 0.95) if len(known) * (1 - q) >= LEAST_BEYOND - 1e-9]
    if not shares:
        return [(None, None)] * len(strategies)
    found = percentile_differences(
        list(known.T[:-1]), known[:, -1], shares, level=rules.level, draws=rules.draws, seed=rules.seed
    )
    return [(row[0], row[1] if len(row) > 1 else None) for row in found]


def _needed(difference: Floats, family: int, rules: Rules) -> int:
    return items_needed(
        rules.stated_difference,
        discordant=float(np.mean(difference**2)),
        power=rules.power,
        alpha=(1 - rules.level) / family,
    )
