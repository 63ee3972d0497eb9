"""How a comparison stands: each strategy's figures, the baselines beside them, and what may be said of it.

All of it on the items that have ended for every strategy shown, so that no strategy is held against other items than
the others are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from orchestration_nb.comparing.between import SLICE_PRIOR, Between, between
from orchestration_nb.comparing.comparison import Comparison
from orchestration_nb.evals.baselines import oracle, random_mix, slice_prior
from orchestration_nb.evals.curves import halves, hull, pareto
from orchestration_nb.evals.intervals import Interval, is_yes_no, paired_bootstrap, wilson
from orchestration_nb.evals.outcomes import Outcomes
from orchestration_nb.evals.sentences import sentences
from orchestration_nb.evals.significance import percentile_or_none
from orchestration_nb.evals.verdicts import Measured, Rules, Verdict, best_single_reference, verdicts

Kind = Literal["strategy", "single", "baseline"]
"""The user's own, one model alone, or what needs no strategy at all."""

ORACLE: Final = "oracle"
RANDOM_MIX: Final = "random mix"
LEAST_ITEMS: Final = 4
"""Items below which there are no intervals."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """One strategy, model or baseline."""

    name: str
    kind: Kind
    quality: Interval
    """Mean score an item."""
    cost_usd: Interval
    """Mean cost an item at list price, alone."""
    usd_per_correct: float | None
    """Cost of all items over the sum of their scores; ``None`` where nothing is right."""
    p50_ms: float | None
    """Percentiles of the latency alone; ``None`` where fewer than ten items lie beyond."""
    p95_ms: float | None
    p99_ms: float | None
    shares: Mapping[str, float]
    """Model to the share of items whose answer is its."""
    escalated: float | None
    """Share of items for which more than one model was asked; ``None`` for baselines."""
    errors: int
    """Items without an answer or a score: they count 0."""
    of_strong: float | None
    """Quality over that of the best single model."""
    saved: float | None
    """Share of the best single model's cost that it saves."""
    is_reference: bool = False
    on_front: bool = False
    """Whether nothing shown is both cheaper and better; the oracle apart, which nobody can have."""
    on_hull: bool = False
    verdict: Verdict | None = None
    """Against the reference; ``None`` for the reference and the baselines."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Standing:
    """How a comparison stands."""

    rows: tuple[Row, ...]
    """The user's strategies, the single models, the baselines."""
    n: int
    """Items that have ended for all."""
    planned: int
    reference: str | None
    told: tuple[str, ...]
    """What may be said of the differences, in plain English; before the last item no verdict."""
    scored_yes_no: bool
    missing: Mapping[str, int]
    """Strategy to the items that recorded replies do not tell; they are left out."""
    between: tuple[Between, ...] = ()
    """What strategies that ask several models are worth between a cheap and a strong one."""

    @property
    def is_live(self) -> bool:
        """Whether items are still to come: then there are intervals and no verdicts."""
        return self.n < self.planned


def standing_of(comparison: Comparison, *, items: npt.NDArray[np.bool_] | None = None) -> Standing:
    """How a comparison stands now.

    Args:
        comparison: Whose.
        items: One bool an item: only these, such as a slice; ``None``: all. A slice is shown without verdicts.
    """
    every = {name: comparison.outcomes(name) for name in comparison.names}
    missing = _missing(comparison)
    common = np.ones(len(comparison.items), dtype=bool) if items is None else items.copy()
    for outcomes in every.values():
        common &= outcomes.ended
    shown = {name: outcomes.at(common) for name, outcomes in every.items()}
    n, planned = int(common.sum()), len(comparison.items) - len(_anywhere(comparison))
    if n < LEAST_ITEMS:
        return Standing(
            rows=(), n=n, planned=planned, reference=comparison.setup.reference, told=(), scored_yes_no=True,
            missing=missing,
        )  # fmt: skip
    reference = _reference(comparison, shown)
    found = _verdicts(comparison, shown, reference, planned=planned) if items is None else {}
    slices = None if comparison.slices is None else np.asarray(comparison.slices)[common]
    rows = [*(_row(comparison, one) for one in shown.values()), *_baselines(comparison, shown, slices)]
    return Standing(
        rows=tuple(_finished(rows, reference, found, {one.strategy for one in _singles(comparison, shown)})),
        n=n,
        planned=planned,
        reference=None if reference is None else reference.strategy,
        told=tuple(
            line
            for name in comparison.setup.strategies
            if name in found
            for line in sentences(found[name], latency_is_modelled=comparison.setup.simulated)
        ),
        scored_yes_no=all(is_yes_no(one.quality) for one in shown.values()),
        missing=missing,
        between=between(comparison, common),
    )


def _missing(comparison: Comparison) -> dict[str, int]:
    counts = {
        name: sum(answer.status == "missing" for answer in dict(comparison.answers[name]).values())
        for name in comparison.names
    }
    return {name: count for name, count in counts.items() if count}


def _anywhere(comparison: Comparison) -> set[int]:
    """Items that cannot be compared, because one strategy's replies are not recorded."""
    return {
        item
        for name in comparison.names
        for item, answer in dict(comparison.answers[name]).items()
        if answer.status == "missing"
    }


def _reference(comparison: Comparison, shown: Mapping[str, Outcomes]) -> Measured | None:
    """What the others are held against: named beforehand, or the best single model of the other half."""
    named = comparison.setup.reference
    if named is not None:
        return shown[named]
    singles = _singles(comparison, shown)
    if not singles:
        return None
    # Halves of all items, so that an item does not change sides while others end.
    return best_single_reference(singles, first_half=halves(len(singles[0]), comparison.setup.seed))


def _singles(comparison: Comparison, shown: Mapping[str, Outcomes]) -> list[Outcomes]:
    """The strategies that are one model: those that were added, and those that the user named."""
    setup = comparison.setup
    alone = [name for name in setup.strategies if name in setup.alone]
    return [shown[name] for name in (*alone, *setup.singles)]


def _verdicts(
    comparison: Comparison, shown: Mapping[str, Outcomes], reference: Measured | None, *, planned: int
) -> dict[str, Verdict]:
    if reference is None:
        return {}
    others = [one for name, one in shown.items() if name != reference.strategy]
    rules = Rules(margin=comparison.setup.margin, seed=comparison.setup.seed)
    return {one.strategy: one for one in verdicts(others, reference, planned=planned, rules=rules)}


def _row(comparison: Comparison, outcomes: Outcomes) -> Row:
    name = outcomes.strategy
    models = Counter(model for model in outcomes.model if model is not None)
    n = len(outcomes)
    return _figures(
        name,
        "strategy" if name in comparison.setup.strategies else "single",
        outcomes.quality,
        outcomes.cost_usd,
        outcomes.latency_ms,
        shares={model: count / n for model, count in models.most_common()},
        escalated=sum(len(set(asked)) > 1 for asked in outcomes.asked) / n,
        errors=sum(error is not None for error in outcomes.errors),
    )


def _figures(  # noqa: PLR0913, PLR0917 - all that a row shows
    name: str,
    kind: Kind,
    quality: npt.NDArray[np.float64],
    cost_usd: npt.NDArray[np.float64],
    latency_ms: npt.NDArray[np.float64] | None,
    shares: Mapping[str, float],
    escalated: float | None,
    errors: int,
) -> Row:
    right = float(quality.sum())
    percentiles = [None if latency_ms is None else percentile_or_none(latency_ms, q) for q in (0.5, 0.95, 0.99)]
    yes_no = is_yes_no(quality)
    return Row(
        name=name,
        kind=kind,
        quality=wilson(round(right), len(quality)) if yes_no else paired_bootstrap(quality),
        cost_usd=paired_bootstrap(cost_usd),
        usd_per_correct=float(cost_usd.sum()) / right if right > 0 else None,
        p50_ms=percentiles[0],
        p95_ms=percentiles[1],
        p99_ms=percentiles[2],
        shares=shares,
        escalated=escalated,
        errors=errors,
        of_strong=None,
        saved=None,
    )


def _baselines(comparison: Comparison, shown: Mapping[str, Outcomes], slices: npt.NDArray[np.str_] | None) -> list[Row]:
    """What the single models alone could come to: by chance, by the slice, and with the answers known."""
    singles = _singles(comparison, shown)
    if len(singles) < 2:
        return []
    quality = np.column_stack([one.quality for one in singles])
    cost_usd = np.column_stack([one.cost_usd for one in singles])
    latency_ms = np.column_stack([one.latency_ms for one in singles])
    names = [one.strategy for one in singles]
    shares = [1 / len(singles)] * len(singles)
    mixed_quality, mixed_usd = random_mix(quality, cost_usd, shares)
    mixed = dict(zip(names, shares, strict=True))
    rows = [_figures(RANDOM_MIX, "baseline", mixed_quality, mixed_usd, None, mixed, None, 0)]
    chosen = {ORACLE: oracle(quality, cost_usd)}
    if slices is not None:
        first_half = halves(len(quality), comparison.setup.seed)
        chosen = {SLICE_PRIOR: slice_prior(quality, cost_usd, slices, first_half=first_half), **chosen}
    items = np.arange(len(quality))
    for name, places in chosen.items():
        counted = Counter(names[place] for place in places.tolist())
        rows.append(
            _figures(
                name,
                "baseline",
                quality[items, places],
                cost_usd[items, places],
                latency_ms[items, places],
                {model: count / len(items) for model, count in counted.most_common()},
                None,
                0,
            )
        )
    return rows


def _finished(
    rows: Sequence[Row], reference: Measured | None, found: Mapping[str, Verdict], alone: Collection[str]
) -> list[Row]:
    """The rows with what follows from all of them together; ``alone`` are those that are one model."""
    had = [row for row in rows if row.name != ORACLE]
    costs, heights = [row.cost_usd.estimate for row in had], [row.quality.estimate for row in had]
    front = {had[place].name for place in pareto(costs, heights)}
    corners = {had[place].name for place in hull(costs, heights)}
    singles = [row for row in rows if row.name in alone] or [row for row in rows if row.kind == "strategy"]
    strong = max(singles, key=lambda row: (row.quality.estimate, -row.cost_usd.estimate))
    return [
        replace(
            row,
            is_reference=reference is not None and row.name == reference.strategy,
            on_front=row.name in front,
            on_hull=row.name in corners,
            verdict=found.get(row.name),
            of_strong=row.quality.estimate / strong.quality.estimate if strong.quality.estimate else None,
            saved=1 - row.cost_usd.estimate / strong.cost_usd.estimate if strong.cost_usd.estimate else None,
        )
        for row in rows
    ]
