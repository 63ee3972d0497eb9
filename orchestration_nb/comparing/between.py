"""What strategies are worth between a cheap and a strong model: AIQ, APGR, CPT, and what is saved at which quality."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from orchestration_nb.comparing.comparison import Comparison
from orchestration_nb.errors import UnknownModelError
from orchestration_nb.evals.baselines import slice_gap
from orchestration_nb.evals.curves import Escalation, Saving, aiq, apgr, cpt, curve, halves, saved_at
from orchestration_nb.evals.escalations import TARGETS, Ways, ways_of
from orchestration_nb.evals.outcomes import Answer, Outcomes

if TYPE_CHECKING:
    import pandas as pd

SLICE_PRIOR: Final = "slice prior"
_WORDS: Final = ("strategy", "kept", "strong", "by", "items", "note")
"""Columns of the table that hold no figures."""
LEAST_HALF: Final = 10
"""Items in each half, below which no threshold is chosen on one and measured on the other."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Between:
    """One strategy, or the prior of the slices, between the models that it chooses among."""

    name: str
    is_baseline: bool
    """Whether it is the prior of the slices and no strategy of the user's."""
    kept: tuple[str, ...] = ()
    """The cheap models, by the names of the comparison."""
    strong: str | None = None
    by: Literal["score", "escalations", "slice"] | None = None
    """What its curve is drawn by: scores of its own, or only which items it escalated: then two points and chance
    between them."""
    n: int = 0
    escalated: float | None = None
    """Share of the items that it sends to the strong model, by its own threshold."""
    apgr: float | None = None
    """Area under the share of the quality gap recovered, over the share of items escalated; .5 is chance."""
    cpt50: float | None = None
    """Least share of items to escalate that recovers half of the gap."""
    cpt80: float | None = None
    aiq: float | None = None
    """Mean quality from the cost of the cheapest model kept to that of the strong one, all calls included."""
    savings: tuple[Saving, ...] = ()
    """At 95, 99 and 100 % of the strong model's quality: thresholds chosen on one half, measured on the other."""
    why_not: str = ""
    """In words, why figures are missing."""


def between(comparison: Comparison, items: npt.NDArray[np.bool_]) -> tuple[Between, ...]:
    """A line for each strategy that may ask several models, and one of the slice prior for each pair of models.

    Args:
        comparison: Whose.
        items: Which items to look at, one bool each; they must have ended for every strategy.
    """
    places = np.flatnonzero(items)
    setup = comparison.setup
    alone = [name for name in comparison.names if name in setup.alone]
    singles = {name: _answers(comparison, name, places) for name in alone}
    rows: list[Between] = []
    pairs: dict[tuple[str, str], None] = {}
    for name in setup.strategies:
        if name in setup.alone:
            continue
        found = ways_of(_answers(comparison, name, places), singles, _finder(comparison, alone))
        if isinstance(found, str):
            rows.append(Between(name=name, is_baseline=False, n=len(places), why_not=found))
            continue
        cheapest = min(found.kept, key=lambda kept: float(np.mean([one.cost_usd for one in singles[kept]])))
        pairs[cheapest, found.strong] = None
        first_half = halves(len(items), setup.seed)[places]
        rows.append(_row(name, found, _points(comparison, (cheapest, found.strong), places), first_half))
    return (*rows, *_priors(comparison, pairs, places))


def frame_of(rows: Sequence[Between]) -> pd.DataFrame:
    """The lines as a table; nan where a figure is not defined, and why in ``note``."""
    import pandas as pd  # noqa: PLC0415

    empty = _record(Between(name="", is_baseline=False))
    frame = pd.DataFrame([_record(row) for row in rows], columns=list(empty))
    return frame.astype({name: float for name in empty if name not in _WORDS})


def _record(row: Between) -> dict[str, Any]:
    record: dict[str, Any] = {
        "strategy": row.name,
        "kept": ", ".join(row.kept) or None,
        "strong": row.strong,
        "by": row.by,
        "items": row.n,
        "escalated": row.escalated,
        "aiq": row.aiq,
        "apgr": row.apgr,
        "cpt50": row.cpt50,
        "cpt80": row.cpt80,
    }
    by_target = {saving.target: saving for saving in row.savings}
    for target in TARGETS:
        saving = by_target.get(target)
        record[f"saved_at_{100 * target:.0f}"] = None if saving is None else saving.saved
        record[f"kept_at_{100 * target:.0f}"] = None if saving is None else saving.kept
    return {**record, "note": row.why_not}


def _answers(comparison: Comparison, name: str, places: npt.NDArray[np.intp]) -> list[Answer]:
    answers = comparison.answers[name]
    return [answers[int(place)] for place in places]


def _finder(comparison: Comparison, alone: Sequence[str]) -> Callable[[str], str | None]:
    """Finds under which name a model is compared alone, whatever alias it is named by."""
    full = {comparison.full_name(name): name for name in reversed(alone)}

    def find(model: str) -> str | None:
        with contextlib.suppress(UnknownModelError):
            return full.get(comparison.full_name(model))
        return None

    return find


def _points(comparison: Comparison, pair: tuple[str, str], places: npt.NDArray[np.intp]) -> tuple[Outcomes, Outcomes]:
    small, strong = (comparison.outcomes(name).at(places) for name in pair)
    return small, strong


def _row(name: str, found: Ways, pair: tuple[Outcomes, Outcomes], first_half: npt.NDArray[np.bool_]) -> Between:
    ways = found.escalation
    return _figures(
        Between(
            name=name,
            is_baseline=False,
            kept=found.kept,
            strong=found.strong,
            by="score" if found.has_scores else "escalations",
            n=len(ways.scores),
            escalated=float(found.escalated.mean()),
        ),
        ways,
        pair,
        first_half,
    )


def _priors(
    comparison: Comparison, pairs: Mapping[tuple[str, str], None], places: npt.NDArray[np.intp]
) -> list[Between]:
    """The prior of the slices as a router between each pair of models: what learned routers often only tie."""
    if comparison.slices is None:
        return []
    slices = np.asarray(comparison.slices)[places]
    first_half = halves(len(comparison.items), comparison.setup.seed)[places]
    if len(set(slices.tolist())) < 2 or first_half.all() or not first_half.any():
        return []
    rows = []
    for cheap, strong in pairs:
        pair = _points(comparison, (cheap, strong), places)
        ways = Escalation(
            quality_kept=pair[0].quality,
            quality_escalated=pair[1].quality,
            cost_kept=pair[0].cost_usd,
            cost_escalated=pair[1].cost_usd,
            scores=slice_gap(pair[0].quality, pair[1].quality, slices, first_half=first_half),
        )
        row = Between(name=SLICE_PRIOR, is_baseline=True, kept=(cheap,), strong=strong, by="slice", n=len(places))
        rows.append(_figures(row, ways, pair, first_half))
    return rows


def _figures(
    row: Between, ways: Escalation, pair: tuple[Outcomes, Outcomes], first_half: npt.NDArray[np.bool_]
) -> Between:
    small, strong = pair
    drawn = curve(ways)
    area = apgr(ways.quality_kept, ways.quality_escalated, ways.scores)
    shares = [cpt(ways.quality_kept, ways.quality_escalated, ways.scores, target) for target in (0.5, 0.8)]
    ends = float(small.cost_usd.mean()), float(strong.cost_usd.mean())
    costs = np.concatenate([drawn.cost_usd, ends])
    heights = np.concatenate([drawn.quality, [small.quality.mean(), strong.quality.mean()]])
    halved = min(int(first_half.sum()), int((~first_half).sum()))
    savings = [
        saved_at(target, ways, strong.cost_usd, first_half=first_half)
        for target in TARGETS
        if halved >= LEAST_HALF and strong.cost_usd.sum() > 0
    ]
    why = [] if area is not None else [f"on these items {row.strong} is not better than what is kept without it"]
    if not savings:
        why.append(f"thresholds need {LEAST_HALF} items in each half")
    return replace(
        row,
        apgr=area,
        cpt50=shares[0],
        cpt80=shares[1],
        aiq=aiq(costs, heights, between=ends) if ends[1] > ends[0] else None,
        savings=tuple(savings),
        why_not="; ".join(why),
    )
