"""One line of a plan: what a step will ask of one model, from past items or from what its text shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from orchestration_nb.catalog import FREE, Model, Price
from orchestration_nb.cost import guesses
from orchestration_nb.cost.estimates import NOTHING, Estimate, Total, total
from orchestration_nb.flow import BoundStep
from orchestration_nb.ledger.history import History, PastLatency, PastModel, PastStep
from orchestration_nb.plan import PlanLine
from orchestration_nb.planning.precedents import Precedents, usd_at

_FIRST: Final = Estimate(low=0.5, expected=1, high=1)
_OTHERS: Final = Estimate(low=0, expected=0.6, high=1)
"""Share of the requests for which a strategy asks the model that it names first, and each other one."""
_ENOUGH_CALLS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What is known of the requests of one step to one model before anything is reckoned."""

    step: BoundStep
    model: Model | None
    """``None`` where there is no such model; the run would refuse it."""
    named: str
    strategy: str
    items: float
    """For how many items the step is evaluated."""
    paying: float
    """Of these, those whose requests the cache does not answer."""
    doubtful: float = 0.0
    """Items beside ``paying`` of which it is only likely that the cache answers."""
    requests: float | None = None
    """How many it makes, where its text could be evaluated."""
    paid_requests: float = 0.0
    """Of these, those that the cache does not answer."""
    size: float | None = None
    """Mean bytes: of a paid prompt where it could be evaluated, else of the item's prompts that could."""
    max_tokens: int = 1024
    structured: bool = False
    price: Price | None = None

    @property
    def is_known(self) -> bool:
        """Whether the requests could be evaluated."""
        return self.requests is not None

    @property
    def times(self) -> float:
        """How many paid requests an item that pays makes."""
        return self.paid_requests / self.paying if self.is_known and self.paying else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reckoned:
    """A line, and the sum that it can be added up with."""

    line: PlanLine
    total: Total | None = None
    """``None`` where the cost is a guess."""
    once: bool = False


def share_of(place: int) -> Estimate:
    """For how many of its requests a strategy asks the model that it names at this place, where nothing is known."""
    return _OTHERS if place else _FIRST


def from_past(demand: Demand, past: Precedents, model: str, share: Estimate | None) -> Reckoned:
    """A line from past items.

    Args:
        demand: What is known of the requests.
        past: What was asked before.
        model: Whose rows of it speak.
        share: For how many of the requests this model is asked, where the past does not say.
    """
    shared = Estimate.exactly(1.0) if share is None else share

    def sum_of(value: Callable[[PastStep], float]) -> Total:
        units = past.per_request(model, value) if demand.is_known else past.per_item(model, value)
        return total(units, demand.paying, size=demand.size, times=demand.times)

    price = demand.price
    usd = sum_of(usd_at(price) if past.same_model else lambda row: (price or FREE).cost_usd(row.usage))
    calls = _calls(demand, past, model)
    paid = sum_of(lambda row: row.calls).expected
    doubt = 1 + demand.doubtful / demand.paying if demand.paying else 1.0
    cost = usd.estimate.widened(past.widened) * shared
    plain = past.widened == 1.0 and share is None
    return Reckoned(
        line=PlanLine(
            step=demand.step.name,
            kind="llm",
            model=demand.named,
            full_model=demand.model.name if demand.model else demand.named,
            strategy=demand.strategy,
            calls=calls * shared,
            cached_calls=Estimate.exactly(max(0.0, calls.expected - paid)) * shared,
            input_tokens=sum_of(lambda row: row.usage.input_tokens).estimate * shared,
            output_tokens=sum_of(lambda row: row.usage.output_tokens).estimate * shared,
            cost_usd=replace(cost, high=cost.high * doubt),
            basis="past calls",
            past=len(past.items),
        ),
        total=usd if plain else None,
        once=demand.step.once,
    )


def _calls(demand: Demand, past: Precedents, model: str) -> Estimate:
    """Calls, those that the cache answers included."""
    known = demand.requests if demand.requests is not None else _counted(demand)
    if known is not None and demand.strategy == "fixed":
        return Estimate.exactly(known)
    if demand.requests is not None:
        units = past.per_request(model, lambda row: row.calls)
        return total(units, demand.items, times=demand.requests / demand.items).estimate
    return total(past.per_item(model, lambda row: row.calls), demand.items, size=demand.size).estimate


def _counted(demand: Demand) -> float | None:
    """The number of requests where the text of the step says it."""
    questions = demand.step.step.questions
    if not questions or any(question.repeated or question.conditional for question in questions):
        return None
    return demand.items * len(questions)


def from_prompts(demand: Demand, history: History, *, place: int, tried: int, prompt_bytes: Estimate) -> Reckoned:
    """A line without past items of the step.

    Args:
        demand: What is known of the requests.
        history: Says how the same model counted and spoke elsewhere.
        place: Which of a strategy's models it is.
        tried: In how many past items the step asked nothing.
        prompt_bytes: Size of one prompt.
    """
    each = NOTHING if demand.step.step.questions else guesses.FAN_OUT
    for question in demand.step.step.questions:
        share = Estimate.exactly(1.0) if not question.conditional else _asked_of(tried)
        each += share * (guesses.FAN_OUT if question.repeated else Estimate.exactly(1.0))
    shares = Estimate.exactly(1.0) if demand.strategy == "fixed" else share_of(place)
    if demand.requests is not None:
        calls, paid = Estimate.exactly(demand.requests) * shares, Estimate.exactly(demand.paid_requests) * shares
    else:
        calls, paid = each.times(demand.items) * shares, each.times(demand.paying) * shares
    spoken = history.models.get((demand.model.name, demand.structured)) if demand.model else None
    schema = demand.step.schema or demand.step.element_schema if demand.structured else None
    read = _input_tokens(spoken, prompt_bytes) or guesses.input_tokens(prompt_bytes, schema)
    written = _output_tokens(spoken) or guesses.output_tokens(schema, demand.max_tokens)
    written = written.at_most(demand.max_tokens)
    price = demand.price or FREE
    one = read.times(price.input_usd_per_mtok / 1e6) + written.times(price.output_usd_per_mtok / 1e6)
    return Reckoned(
        line=PlanLine(
            step=demand.step.name,
            kind="llm",
            model=demand.named,
            full_model=demand.model.name if demand.model else demand.named,
            strategy=demand.strategy,
            calls=calls,
            cached_calls=Estimate.exactly(max(0.0, calls.expected - paid.expected)),
            input_tokens=read * paid,
            output_tokens=written * paid,
            cost_usd=one * paid,
            basis="prompts" if spoken is None or spoken.calls < _ENOUGH_CALLS else "other calls",
        ),
        once=demand.step.once,
    )


def _asked_of(tried: int) -> Estimate:
    """Share of the items in which a step asks that did so in none of ``tried``."""
    if not tried:
        return guesses.ASKED
    return Estimate(low=0, expected=1 / (tried + 2), high=min(1.0, 4 / tried))


def _input_tokens(spoken: PastModel | None, prompt_bytes: Estimate) -> Estimate | None:
    if spoken is None or spoken.calls < _ENOUGH_CALLS:
        return None
    if spoken.slope is None or spoken.intercept is None or spoken.slope <= 0:
        return prompt_bytes.times(spoken.tokens_per_byte).widened(1.3)
    tokens = prompt_bytes.times(spoken.slope) + Estimate.exactly(max(0.0, spoken.intercept))
    return tokens.widened(1.3)


def _output_tokens(spoken: PastModel | None) -> Estimate | None:
    if spoken is None or spoken.calls < _ENOUGH_CALLS:
        return None
    low, high = min(spoken.output_p5, spoken.output_tokens), max(spoken.output_p95, spoken.output_tokens)
    return Estimate(low=low, expected=spoken.output_tokens, high=high).widened(2.0)


def prompt_bytes_of(
    step: BoundStep, size: float | None, column_bytes: dict[str, float], above: dict[str, BoundStep]
) -> Estimate:
    """Bytes of one prompt of a step: as evaluated, else from its source and the mean size of what it needs."""
    if size is not None:
        return Estimate.exactly(size)
    whole = Estimate(low=0, expected=len(step.step.source) / 2, high=len(step.step.source))
    for name in step.columns:
        whole += Estimate.exactly(column_bytes.get(name, 0.0)).widened(2.0)
    for name in step.needs:
        whole += _value_bytes(above[name])
    return whole


def _value_bytes(step: BoundStep) -> Estimate:
    if step.kind != "llm":
        return guesses.PLAIN_BYTES
    tokens = guesses.output_tokens(step.schema or step.element_schema, 1024)
    fan = guesses.FAN_OUT if any(question.repeated for question in step.step.questions) else Estimate.exactly(1.0)
    return (tokens * fan).times(4)


def latency_of(history: History, step: str, model: Any, *, structured: bool) -> PastLatency | None:
    """How long calls of a step to a model take: those of the step, else the model's."""
    if model is None:
        return None
    found = history.latencies.get((step, model.name))
    spoken = history.models.get((model.name, structured)) or history.models.get((model.name, not structured))
    return found or (spoken.latency if spoken else None)
