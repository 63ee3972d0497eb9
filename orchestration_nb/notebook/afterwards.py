"""Planned against actual, in one sentence, for the plan and for the account of its run."""

from __future__ import annotations

from orchestration_nb.cost.estimates import Estimate
from orchestration_nb.pages.figures import span, usd
from orchestration_nb.plan import Plan


def interval(cost: Estimate) -> str:
    """``$0.03 to $0.05``."""
    return f"{usd(cost.low)} to {usd(cost.high)}"


def came_of(plan: Plan | None) -> str:
    """What a plan's run came to, or an empty string where there is no plan or no run yet."""
    if plan is None or plan.hindsight is None:
        return ""
    hindsight, expected = plan.hindsight, plan.cost_usd.expected
    off = f", {hindsight.cost_usd / expected - 1:+.0%} against the plan" if expected else ""
    where = "inside" if hindsight.held else "outside"
    return (
        f"It came to {usd(hindsight.cost_usd)}{off}, {where} {interval(plan.cost_usd)}, "
        f"in {span(hindsight.time_s)} (planned: {span(plan.time_s.expected)})."
    )
