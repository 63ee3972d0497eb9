"""How a plan looks: its graph, its cost as intervals, a table of its steps, and, once it was run, what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from orchestration_nb.cost.estimates import NOTHING, Estimate
from orchestration_nb.flow import draw
from orchestration_nb.notebook.afterwards import came_of, interval
from orchestration_nb.pages import markup
from orchestration_nb.pages.figures import count, latency, shortened, span, usd
from orchestration_nb.pages.text import table_text
from orchestration_nb.plan import Plan, PlanLine
from orchestration_nb.terminal import printable

_NUMBERS: Final = frozenset(
    {
        "calls",
        "cached",
        "tokens in",
        "tokens out",
        "cost",
        "low to high",
        "p50",
        "p95",
        "time",
        "actual calls",
        "actual",
    }
)
_LABEL: Final = 150
_PLOT: Final = 380
_MONEY: Final = 210
_ROW: Final = 22


def plan_card(plan: Plan) -> str:
    """A plan as HTML."""
    said = "".join(f'<div class="line">{markup.esc(warning)}</div>' for warning in plan.warnings)
    came = f'<div class="dim">{markup.esc(came_of(plan))}</div>'
    sim = '<span class="chip sim">simulated</span>' if plan.simulated else ""
    return (
        f'<div class="head"><span class="name">{markup.esc(plan.flow.name)}</span>'
        f'<span class="chip skipped">plan</span>{sim}<span>{markup.esc(_head(plan))}</span>'
        f'<span class="push">{markup.esc(_money(plan))}</span></div>'
        f"{said}{came}{draw(plan.flow.graph, counts=_captions(plan))}{_picture(plan)}"
        f'{markup.table(*plan_table(plan), _NUMBERS)}<div class="foot">{markup.esc(_foot(plan))}</div>'
    )


def plan_text(plan: Plan) -> str:
    """A plan as text."""
    head = f"{plan.flow.name}: {_head(plan)} · {_money(plan)}"
    parts = [printable(head), *plan.warnings, came_of(plan), table_text(*plan_table(plan), width=60), _foot(plan)]
    return "\n\n".join(filter(None, parts))


def plan_table(plan: Plan) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Header and rows of the table of steps; with what came of each, once it is known."""
    header = ("step", "model", "calls", "cached", "tokens in", "tokens out", "cost", "low to high")
    if plan.hindsight is None:
        return (*header, "p50", "p95", "from"), [[*_cells(line), *_grounds(line)] for line in plan.lines]
    came = (
        [f"{actual.calls:,}", usd(actual.cost_usd)] if line.basis else ["–", "–"]
        for line, actual in zip(plan.lines, plan.hindsight.lines, strict=True)
    )
    rows = [[*_cells(line), *each] for line, each in zip(plan.lines, came, strict=True)]
    return (*header, "actual calls", "actual"), rows


def _cells(line: PlanLine) -> list[str]:
    if not line.basis:
        return [line.step, *["–"] * 7]
    return [
        line.step,
        line.model,
        line.calls_text,
        f"{line.cached_calls.expected:,.0f}",
        f"{line.input_tokens.expected:,.0f}",
        f"{line.output_tokens.expected:,.0f}",
        usd(line.cost_usd.expected),
        interval(line.cost_usd),
    ]


def _grounds(line: PlanLine) -> list[str]:
    """Latency of a call, and what the line was reckoned from."""
    if not line.basis:
        return ["–", "–", "plain Python"]
    bases = {"past calls": count(line.past, "past item"), "other calls": "prompts, other calls"}
    return [latency(line.p50_s * 1000), latency(line.p95_s * 1000), bases.get(line.basis, line.basis)]


def _head(plan: Plan) -> str:
    looked = f", of which {plan.rows:,} were looked at" if plan.rows < plan.items else ""
    none = "" if plan.hindsight is not None else "; no call was made"
    return f"{count(plan.items, 'item')}{looked}{none}"


def _money(plan: Plan) -> str:
    cost = plan.cost_usd
    return (
        f"{usd(cost.expected)} expected, {interval(cost)}, of {usd(plan.budget_usd)} · "
        f"about {span(plan.time_s.expected)}"
    )


def _foot(plan: Plan) -> str:
    time = plan.time_s
    late = ", and hours more where a batch waits its turn" if plan.batch else ""
    sure = "low and high are guesses" if not plan.is_sure else "99 of 100 runs should cost between low and high"
    return (
        f"Reckoned {plan.bases or 'from nothing: no model is asked'}; {sure}. "
        f"Time with {plan.concurrency:,} calls in flight: {span(time.low)} to {span(time.high)}, "
        f"without plain steps{late}."
    )


def _captions(plan: Plan) -> dict[str, str]:
    return {step: f"{calls} call{'' if calls == '1' else 's'}" for step, calls in plan.counts.items()}


def _picture(plan: Plan) -> str:
    """The cost of each step and of the run: a line from low to high, a dot in it, a mark for what it came to."""
    rows = _intervals(plan)
    most = max((cost.high for _, cost, _ in rows), default=0.0)
    if most <= 0:
        return ""
    scale, width = _PLOT / most, _LABEL + _PLOT + _MONEY
    drawn = [
        _drawn(place, name, cost, actual, scale=scale, plan=plan if place == len(rows) - 1 else None)
        for place, (name, cost, actual) in enumerate(rows)
    ]
    height = _ROW * len(rows) + 6
    said = "; ".join(f"{name}: {usd(cost.expected)} ({interval(cost)})" for name, cost, _ in rows)
    return (
        f'<div class="scroll"><svg class="cost" role="img" aria-label="{markup.esc(said)}" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}">{"".join(drawn)}</svg></div>'
    )


def _intervals(plan: Plan) -> list[tuple[str, Estimate, float | None]]:
    """Step, cost and what it came to; at the end those of the run."""
    costs: dict[str, Estimate] = {}
    came: dict[str, float] = {}
    actuals = plan.hindsight.lines if plan.hindsight is not None else [None] * len(plan.lines)
    for line, actual in zip(plan.lines, actuals, strict=True):
        if line.basis:
            costs[line.step] = costs.get(line.step, NOTHING) + line.cost_usd
            came[line.step] = came.get(line.step, 0.0) + (actual.cost_usd if actual is not None else 0.0)
    whole = plan.hindsight.cost_usd if plan.hindsight is not None else None
    rows = [(step, cost, came[step] if plan.hindsight is not None else None) for step, cost in costs.items()]
    return [*rows, ("the run", plan.cost_usd, whole)] if rows else []


def _drawn(place: int, name: str, cost: Estimate, actual: float | None, *, scale: float, plan: Plan | None) -> str:
    middle = place * _ROW + _ROW / 2 + 2
    left, dot, right = (_LABEL + usd_ * scale for usd_ in (cost.low, cost.expected, cost.high))
    said = f"{usd(cost.expected)} ({interval(cost)})"
    parts = [
        f'<text x="0" y="{middle + 4:.1f}"{" class=whole" if plan else ""}>{markup.esc(shortened(name, 20))}</text>',
        f'<line x1="{left:.1f}" x2="{right:.1f}" y1="{middle:.1f}" y2="{middle:.1f}"/>',
        f'<circle cx="{dot:.1f}" cy="{middle:.1f}" r="4"/>',
        f'<text class="dim" x="{_LABEL + _PLOT + 10}" y="{middle + 4:.1f}">{markup.esc(said)}</text>',
    ]
    if actual is not None and actual * scale <= _PLOT:
        at = _LABEL + actual * scale
        parts.append(
            f'<path class="was" d="M{at:.1f} {middle - 7:.1f}v14"><title>{markup.esc(usd(actual))}</title></path>'
        )
    if plan is not None and plan.budget_usd * scale <= _PLOT:
        at = _LABEL + plan.budget_usd * scale
        most = markup.esc(f"budget {usd(plan.budget_usd)}")
        parts.append(f'<path class="most" d="M{at:.1f} 2V{middle + 9:.1f}"><title>{most}</title></path>')
    return "".join(parts)
