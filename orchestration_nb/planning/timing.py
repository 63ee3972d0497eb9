"""How long a planned run takes: Little's law for the whole, the longest chain of steps for the least."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from orchestration_nb.cost.estimates import Estimate
from orchestration_nb.flow import BoundFlow
from orchestration_nb.plan import PlanLine

CALL_CPU_S: Final = 0.0005
"""What one call costs of the process's only event loop."""
SIMULATED_CPU_S: Final = 0.0015
"""The same where the simulated server answers from within the process."""
_SPREAD: Final = 1.3
_MANY: Final = 20
"""Items among which the slowest twentieth is surely met."""


def busy_s(calls: float, mean_s: float, concurrency: int, *, simulated: bool) -> float:
    """Seconds that calls take when so many are in flight (Little 1961), and never less than the loop needs."""
    return max(calls * mean_s / concurrency, calls * (SIMULATED_CPU_S if simulated else CALL_CPU_S))


def run_time(bound: BoundFlow, lines: Sequence[PlanLine], items: int) -> Estimate:
    """Seconds from beginning to end; steps that ask nobody are not counted, since nobody knows how long they take."""
    busy = {name: sum(line.time_s for line in lines if line.step == name) for name in _asking(lines)}
    whole = sum(busy.values())
    least = sum(
        line.time_s * (line.cost_usd.low / line.cost_usd.expected if line.cost_usd.expected else 1.0) for line in lines
    )
    most = sum(
        line.time_s * (line.cost_usd.high / line.cost_usd.expected if line.cost_usd.expected else 1.0) for line in lines
    )
    p50, p95 = _chain(bound, lines, slow=False), _chain(bound, lines, slow=True)
    usual = max(p50, whole + p50 / 2) if items >= _MANY else max(p50, whole)
    return Estimate(
        low=min(max(p50, least) / _SPREAD, usual),
        expected=max(usual, p95 if items >= _MANY else p50),
        high=(most + p95) * _SPREAD,
    )


def _asking(lines: Sequence[PlanLine]) -> list[str]:
    return list(dict.fromkeys(line.step for line in lines if line.model))


def _chain(bound: BoundFlow, lines: Sequence[PlanLine], *, slow: bool) -> float:
    """The longest way through the steps of one item, each as long as one of its calls that is paid."""
    longest: dict[str, float] = {}
    for step in bound.steps:
        own = max(
            (line.p95_s if slow else line.p50_s for line in lines if line.step == step.name and line.time_s > 0),
            default=0.0,
        )
        longest[step.name] = own + max((longest[name] for name in step.needs), default=0.0)
    return max(longest.values(), default=0.0)
