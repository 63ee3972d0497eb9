"""The figures of a comparison in words, the same in tables, figures, pages and text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from orchestration_nb.comparing.comparison import Comparison
from orchestration_nb.comparing.standing import Row, Standing, standing_of
from orchestration_nb.evals.intervals import Interval
from orchestration_nb.evals.sentences import sentences
from orchestration_nb.pages.figures import MISSING, count, latency, usd
from orchestration_nb.spending import NO_MONEY

COLUMNS: Final = (
    *("strategy", "quality", "95 % interval", "verdict", "$ / 1,000 items", "$ / correct", "saved"),
    *("p50", "p95", "p99", "answered by", "escalated", "errors"),
)
NUMBERS: Final = frozenset(COLUMNS) - {"strategy", "verdict", "answered by"}
GROUPS: Final = {"strategy": "Your strategies", "single": "Single models", "baseline": "Baselines, for comparison"}
_WORDS: Final = {"better": "▲ better", "worse": "▼ worse", "no difference shown": "no difference shown"}


def percent(share: float) -> str:
    """``78.4 %``."""
    return f"{100 * share:.1f} %"


def per_thousand(cost_usd: float) -> str:
    """The cost of a thousand items."""
    return usd(1000 * cost_usd)


def quality_words(standing: Standing) -> str:
    """What the scale of quality is called."""
    return "items right" if standing.scored_yes_no else "mean score"


def interval_words(interval: Interval, *, yes_no: bool) -> str:
    """``75.1–81.4``: an interval without its unit."""
    if yes_no:
        return f"{100 * interval.low:.1f}–{100 * interval.high:.1f}"
    return f"{interval.low:.3f}–{interval.high:.3f}"


def verdict_words(row: Row) -> str:
    """``▲ better``, ``▼ worse, non-inferior``, ``reference``, or a dash where there is none."""
    if row.is_reference:
        return "reference"
    if row.verdict is None or row.verdict.word is None:
        return MISSING
    more = ", non-inferior" if row.verdict.noninferior and row.verdict.word != "better" else ""
    return _WORDS[row.verdict.word] + more


def shares_words(shares: Mapping[str, float]) -> str:
    """``sim/small 80 %, sim/large 20 %``."""
    return ", ".join(f"{model} {100 * share:.0f}\u00a0%" for model, share in shares.items()) or MISSING


def cells(row: Row, standing: Standing) -> tuple[str, ...]:
    """A row of the table: a text for each of :data:`COLUMNS`."""
    yes_no = standing.scored_yes_no
    return (
        row.name,
        percent(row.quality.estimate) if yes_no else f"{row.quality.estimate:.3f}",
        interval_words(row.quality, yes_no=yes_no),
        verdict_words(row),
        per_thousand(row.cost_usd.estimate),
        MISSING if row.usd_per_correct is None else usd(row.usd_per_correct),
        MISSING if row.saved is None else f"{100 * row.saved:.0f} %".replace("-", "−"),
        *(MISSING if one is None else latency(one) for one in (row.p50_ms, row.p95_ms, row.p99_ms)),
        shares_words(row.shares),
        MISSING if row.escalated is None else f"{100 * row.escalated:.0f} %",
        f"{row.errors:,}",
    )


def headline(comparison: Comparison) -> list[str]:
    """How far it is and what it cost, piece by piece."""
    ended = min(comparison.progress.values(), default=0)
    setup = comparison.setup
    items = f"{ended:,} of {count(len(comparison.items), 'item')}" if ended < len(comparison.items) else (
        count(len(comparison.items), "item"))  # fmt: skip
    money = f" ({NO_MONEY})" if setup.simulated else ""
    return [
        f"{count(len(comparison.names), 'strategy', 'strategies')} over {items}",
        f"{count(comparison.questions, 'question')}, each asked once",
        f"cost {usd(comparison.cost_usd)}, billed {usd(comparison.billed_usd)}{money}",
        f"{setup.step} scored by {setup.scorer}",
    ]


def standing_in(comparison: Comparison, slice_value: str | None) -> Standing:
    """How a comparison stands on the items of one slice, or on all of them."""
    if slice_value is None or comparison.slices is None:
        return standing_of(comparison)
    standing = standing_of(comparison, items=np.asarray(comparison.slices) == slice_value)
    # What was planned is told of all items; once they have ended, no more of this slice will come.
    return standing if comparison.status == "running" else replace(standing, planned=standing.n)


def told_of(standing: Standing, comparison: Comparison) -> list[str]:
    """What may be said of each of the user's strategies against the reference, a paragraph each."""
    modelled = comparison.setup.simulated
    return [
        " ".join(sentences(row.verdict, latency_is_modelled=modelled))
        for row in standing.rows
        if row.kind == "strategy" and row.verdict is not None
    ]


def caption(standing: Standing, comparison: Comparison) -> list[str]:
    """What a reader of the table must know."""
    said = []
    if standing.reference is not None:
        named = comparison.setup.reference is not None
        how = "named beforehand" if named else "chosen on the other half of the items"
        said.append(f"Verdicts and differences are against {standing.reference}, {how}.")
    if standing.is_live:
        said.append("While items are still to come there are intervals and no verdicts.")
    elif standing.rows and not any(row.verdict for row in standing.rows):
        said.append("A slice is shown without verdicts: they are given on all items that were planned.")
    if comparison.setup.simulated:
        said.append("Simulated or recorded models answered: no real money was spent, and their latency is modelled.")
    said.append("A percentile with fewer than ten items beyond it is a dash. “Saved” is against the best single model.")
    for name, number in standing.missing.items():
        said.append(f"{count(number, 'item')} left out: no recorded reply tells what {name} would have come to.")
    return said
