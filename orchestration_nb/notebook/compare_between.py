"""What strategies are worth between a cheap and a strong model, in words: the same in tables, pages and text."""

from __future__ import annotations

from typing import Final

from orchestration_nb.comparing.between import Between
from orchestration_nb.comparing.standing import Standing
from orchestration_nb.evals.curves import Saving
from orchestration_nb.evals.escalations import TARGETS
from orchestration_nb.pages.figures import MISSING

BETWEEN: Final = (
    *("strategy", "models", "by", "escalated", "AIQ", "APGR", "CPT50", "CPT80"),
    *(f"saved at {100 * target:.0f} %" for target in TARGETS),
)
BETWEEN_NUMBERS: Final = frozenset(BETWEEN) - {"strategy", "models", "by"}


def between_cells(row: Between) -> tuple[str, ...]:
    """A row of the table: a text for each of :data:`BETWEEN`."""
    by_target = {saving.target: saving for saving in row.savings}
    return (
        row.name,
        MISSING if row.strong is None else f"{', '.join(row.kept)} → {row.strong}",
        row.by or MISSING,
        _share(row.escalated),
        _figure(row.aiq),
        _figure(row.apgr),
        _share(row.cpt50),
        _share(row.cpt80),
        *(_saving(by_target.get(target)) for target in TARGETS),
    )


def between_caption(standing: Standing) -> str:
    """How to read the table."""
    said = [
        "AIQ: mean quality over the costs from the cheapest model kept to the strong one, all calls included.",
        "APGR: share of the quality gap recovered, over the share of items escalated (.5 is chance).",
        "CPT50, CPT80: the least share of items to escalate that recovers 50 and 80 % of the gap.",
        "Saved: of the strong model's cost, at thresholds chosen on one half of the items and measured on the other.",
    ]
    by = {row.by for row in standing.between}
    if "escalations" in by:
        said.append(
            "By escalations: the strategy has no score, so that its curve is its own point and chance beside it."
        )
    if "slice" in by:
        said.append(
            "The slice prior escalates the slices first on which the strong model was better in the other half."
        )
    return " ".join(said)


def _share(share: float | None) -> str:
    return MISSING if share is None else f"{100 * share:.0f} %"


def _figure(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3f}"


def _saving(saving: Saving | None) -> str:
    if saving is None:
        return MISSING
    saved = f"{100 * saving.saved:.0f} %".replace("-", "−")
    if saving.kept is None:
        return saved
    missed = "" if saving.is_met else ", missed"
    return f"{saved} (kept {100 * saving.kept:.1f} %{missed})"
