"""What a run will ask, cost and take, said before it begins; afterwards, what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from orchestration_nb.cost.estimates import NOTHING, Estimate

if TYPE_CHECKING:
    from orchestration_nb.flows import Flow
    from orchestration_nb.planning.hindsight import Hindsight
    from orchestration_nb.runs import Run

Basis = Literal["past calls", "other calls", "prompts", ""]
"""What a line was reckoned from: past calls of the step; its prompts, and how the model counted and spoke elsewhere;
its prompts alone. Empty for a plain step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLine:
    """What one step will ask of one model."""

    step: str
    kind: str
    model: str = ""
    """The model or alias as it was written, or the one that a strategy may ask; empty for a plain step."""
    full_model: str = ""
    """``provider/name`` of it."""
    strategy: str = ""
    """The strategy that chooses, or ``fixed``."""
    calls: Estimate = NOTHING
    """Calls, those that the cache answers included."""
    cached_calls: Estimate = NOTHING
    """Of these, those that the cache answers, or an equal one of the same run: not charged."""
    input_tokens: Estimate = NOTHING
    """Of the calls that are charged, here and below."""
    output_tokens: Estimate = NOTHING
    cost_usd: Estimate = NOTHING
    p50_s: float = 0.0
    """Half of the calls are quicker."""
    p95_s: float = 0.0
    time_s: float = 0.0
    """Seconds of the run that its calls take at the run's concurrency."""
    basis: Basis = ""
    past: int = 0
    """How many past items, all different, it was reckoned from."""
    note: str = ""
    """How it was reckoned, in words."""

    @property
    def calls_text(self) -> str:
        """The number in words: ``500``, ``345 (310 to 380)``."""
        return in_words(self.calls)


@dataclass(slots=True, kw_only=True, eq=False)
class Plan:
    """What a run of a flow would ask, cost and take; nothing was asked.

    From past calls, the cost is meant to lie within ``low..high`` in 99 of 100 plans; from the prompts alone, low and
    high are guesses. Calls that the cache answers are not charged.
    """

    flow: Flow
    items: int
    lines: tuple[PlanLine, ...]
    cost_usd: Estimate
    """Of the whole run. Narrower than the sum of its lines: they are not all dear at once."""
    time_s: Estimate
    budget_usd: float
    concurrency: int
    rows: int
    """How many rows were looked at: fewer than ``items`` where the table is long."""
    simulated: bool
    """Whether all of the money is simulated."""
    batch: bool = False
    """Whether the calls would go through the providers' batch APIs, at their price."""
    once_usd: float = 0.0
    """Of the expected cost, what does not grow with the number of items."""
    chosen: tuple[str, str | None] = ("fixed", None)
    """The run's strategy and model."""
    hindsight: Hindsight | None = None
    """What came of it, once it was run."""

    @property
    def counts(self) -> Mapping[str, str]:
        """For each step that asks models, its number of calls in words."""
        counts: dict[str, Estimate] = {}
        for line in self.lines:
            if line.kind == "llm":
                counts[line.step] = counts.get(line.step, NOTHING) + line.calls
        return {step: in_words(calls) for step, calls in counts.items()}

    @property
    def bases(self) -> str:
        """What it was reckoned from, in words."""
        asked = [line for line in self.lines if line.basis]
        past = max((line.past for line in asked), default=0)
        said = {
            "past calls": f"from the calls of {past:,} past item{'s' if past > 1 else ''}",
            "other calls": "from the prompts and the models' other calls",
            "prompts": "from the prompts",
        }
        return " and ".join(text for basis, text in said.items() if any(line.basis == basis for line in asked))

    @property
    def is_sure(self) -> bool:
        """Whether all of it comes from past calls of its steps, so that the interval is no guess."""
        return all(line.basis in {"past calls", ""} for line in self.lines)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What should be looked at before the run: a budget that may not do, a price that nobody knows."""
        return (*self._over_budget(), *(line.note for line in self.lines if line.note.startswith("Nobody knows")))

    def fits(self, usd_each: float) -> int:
        """How many items the budget covers where one costs ``usd_each``."""
        left = self.budget_usd - self.once_usd
        return self.items if usd_each <= 0 else max(0, min(self.items, int(left / usd_each)))

    def _over_budget(self) -> tuple[str, ...]:
        from orchestration_nb.cost.budget import dollars  # noqa: PLC0415

        cost, budget = self.cost_usd, self.budget_usd
        if max(cost.expected, cost.high) <= budget:
            return ()
        likely, surely = (self.fits((usd - self.once_usd) / self.items) for usd in (cost.expected, cost.high))
        what = (
            f"The expected cost of {dollars(cost.expected)} passes the budget of {dollars(budget)}"
            if cost.expected > budget
            else f"The cost may pass the budget of {dollars(budget)}: it can reach {dollars(cost.high)}"
        )
        usual = "all" if likely == self.items else f"about {likely:,}"
        fit = f"{usual} of {self.items:,} items fit as expected, {surely:,} surely" if self.items > 1 else ""
        return (f"{what}{': ' if cost.expected > budget else '; '}{fit}." if fit else f"{what}.",)

    def actual(self, run: Run) -> Hindsight:
        """Sets what a run came to beside what was expected; the plan shows both from now on.

        Args:
            run: A run of the same flow that has ended.

        Raises:
            UsageError: If it is a run of another flow, or is still under way.
        """
        from orchestration_nb.planning.hindsight import seen_afterwards  # noqa: PLC0415

        self.hindsight = seen_afterwards(self, run)
        return self.hindsight

    def __repr__(self) -> str:
        asked = "; ".join(f"{line.step}: {line.calls_text} to {line.model}" for line in self.lines if line.model)
        cost = self.cost_usd
        money = f"${cost.expected:,.4f} (${cost.low:,.4f} to ${cost.high:,.4f})"
        return f"<Plan of {self.flow.name} over {self.items:,} items: {asked or 'no model is asked'}; {money}>"


def in_words(number: Estimate) -> str:
    """A number that may not be known: ``500``, ``345 (310 to 380)``."""
    low, expected, high = round(number.low), round(number.expected), round(number.high)
    return f"{expected:,}" if low == high else f"{expected:,} ({low:,} to {high:,})"
