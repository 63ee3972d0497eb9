"""Reckons a plan: each step from past calls where the ledger has some, else from its prompts."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from orchestration_nb.calls import Strategy
from orchestration_nb.catalog import Model
from orchestration_nb.cost import guesses
from orchestration_nb.cost.estimates import Estimate, overlap, together
from orchestration_nb.engine.loop import wait
from orchestration_nb.errors import WorkspaceError
from orchestration_nb.flow import BoundFlow, BoundStep
from orchestration_nb.frames import Table
from orchestration_nb.ledger.history import History
from orchestration_nb.plan import Plan, PlanLine
from orchestration_nb.planning.outlook import (
    Demand,
    Reckoned,
    from_past,
    from_prompts,
    latency_of,
    prompt_bytes_of,
    share_of,
)
from orchestration_nb.planning.precedents import Archive, Precedents
from orchestration_nb.planning.rehearsal import Ask, Cast, Rehearsal, Who, reached, rehearse
from orchestration_nb.planning.timing import busy_s, run_time
from orchestration_nb.routing.registry import DEFAULT_MODEL
from orchestration_nb.workspace import Workspace

if TYPE_CHECKING:
    from orchestration_nb.flows import Flow

_SLICE: Final = 256
_SHRUNK_BY: Final = {"past calls": 8.0, "other calls": 2.0, "prompts": 1.0}
"""As many plans that were right speak against a correction."""
_MOST_CORRECTION: Final = math.log(3.0)
_BATCH_PRICE: Final = 0.5
_UNCACHED: Final = "cache=False"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How the run would be made."""

    strategy: str
    function: Strategy
    """The strategy itself: one that was handed over has no name to be found by."""
    model: str | None
    """The run's model, where one was named."""
    budget_usd: float
    concurrency: int
    fresh: bool = False
    batch: bool = False


def plan_of(flow: Flow, bound: BoundFlow, table: Table | None, setting: Setting, workspace: Workspace) -> Plan:
    """Says what a run would ask, cost and take, without asking.

    Args:
        flow: What is planned.
        bound: The flow with its names resolved.
        table: The input, or ``None`` for a run without one.
        setting: How it would be run.
        workspace: Its ledger, cache and models.
    """
    cast = Cast(
        catalog=workspace.catalog,
        find_strategy=lambda name: setting.function if name == setting.strategy else workspace.strategies.find(name),
        otherwise=(setting.strategy, setting.model or (DEFAULT_MODEL if setting.strategy == "fixed" else None)),
    )
    begun = workspace.ledger.is_begun()
    rehearsal = rehearse(bound, table, cast, cached=not setting.fresh)
    whos = {step.name: _whos(step, rehearsal, cast) for step in bound.steps if step.kind == "llm"}
    history = _history(workspace, flow.name, whos) if begun else History.empty()
    keys = {key for asks in rehearsal.asks.values() for ask in asks for key in ask.keys}
    held = _held(workspace, keys) if begun else set()
    reckoning = _Reckoning(flow, bound, whos, rehearsal, history, held, setting)
    reckoned = [line for step in bound.steps for line in reckoning.lines(step, whos.get(step.name, ()))]
    lines = tuple(each.line for each in reckoned)
    asked = [model for each in whos.values() for who in each for model in who.models]
    return Plan(
        flow=flow,
        items=rehearsal.items,
        lines=lines,
        cost_usd=_whole(reckoned),
        time_s=run_time(bound, lines, rehearsal.items),
        budget_usd=setting.budget_usd,
        concurrency=setting.concurrency,
        rows=rehearsal.rows,
        simulated=bool(asked) and all(model.simulated for model in asked),
        batch=setting.batch,
        once_usd=sum(each.line.cost_usd.expected for each in reckoned if each.once) if table is not None else 0.0,
        chosen=(setting.strategy, setting.model),
    )


def _whos(step: BoundStep, rehearsal: Rehearsal, cast: Cast) -> tuple[Who, ...]:
    """Who would answer a step, as it was evaluated or as its text says."""
    asks = rehearsal.asks.get(step.name)
    if asks:
        return tuple(dict.fromkeys(ask.who for ask in asks))
    questions = step.step.questions
    if not questions:
        return (cast.who(None, None),)
    return tuple(dict.fromkeys(cast.who(question.model, question.strategy) for question in questions))


def _history(workspace: Workspace, flow: str, whos: Mapping[str, Sequence[Who]]) -> History:
    models = {model.name for each in whos.values() for who in each for model in who.models}
    try:
        return workspace.ledger.history(flow, list(whos), sorted(models))
    except WorkspaceError as error:
        _log.warning("The plan goes by the prompts alone: %s", error)
        return History.empty()


def _held(workspace: Workspace, keys: Collection[str]) -> set[str]:
    """Of these questions, those that the cache can answer; looked up in slices, so that runs go on meanwhile."""
    cache, pending = workspace.services.cache, list(keys)
    found: set[str] = set()
    for start in range(0, len(pending), _SLICE):
        found |= wait(workspace.engine.submit(cache.answered(pending[start : start + _SLICE])))
    return found


def _whole(reckoned: Sequence[Reckoned]) -> Estimate:
    """The cost of the run: sums from past items together, guesses on top as if all were low, or high, at once."""
    whole = together([each.total for each in reckoned if each.total is not None])
    for each in reckoned:
        if each.total is None:
            whole += each.line.cost_usd
        else:  # what the cache may not answer after all
            more = each.line.cost_usd.high - each.total.estimate.high
            whole += Estimate(low=0.0, expected=0.0, high=max(more, 0.0))
    return whole


class _Reckoning:
    """One plan under way."""

    def __init__(
        self,
        flow: Flow,
        bound: BoundFlow,
        whos: Mapping[str, Sequence[Who]],
        rehearsal: Rehearsal,
        history: History,
        held: set[str],
        setting: Setting,
    ) -> None:
        self._flow = flow
        self._rehearsal = rehearsal
        self._history = history
        self._held = held
        self._setting = setting
        once = {step.name for step in bound.steps if step.once and rehearsal.groups}
        self._archive = Archive(history, flow.graph, rehearsal.asks.keys() - once)
        self._steps = {step.name: step for step in bound.steps}
        self._whos = whos
        self._tells = _told_by_prompts(bound, rehearsal.asks.keys() - once)
        self._seen = _items_seen(rehearsal, held, once)
        self._sizes = _known_bytes(rehearsal, once)

    def lines(self, step: BoundStep, whos: Sequence[Who]) -> list[Reckoned]:
        """The lines of one step, one a model that may be asked."""
        if step.kind != "llm":
            return [Reckoned(line=PlanLine(step=step.name, kind=step.kind))]
        past = self._archive.of(step.name, {who.mark for who in whos})
        found = [line for who in whos for line in self._of(step, who, past)]
        return [self._finished(each, step) for each in found]

    def _of(self, step: BoundStep, who: Who, past: Precedents | None) -> list[Reckoned]:
        """The lines of a step that ``who`` answers."""
        spoken = None if past is None or not past.models else past
        models: Sequence[Model | None] = who.models or (None,)
        if who.strategy != "fixed" and spoken is not None and spoken.same_model:
            models = [model for model in who.models if model.name in spoken.models]
        lines = []
        for place, model in enumerate(models):
            demand = self._demand(step, who, model, past)
            if spoken is None:
                lines.append(self._guessed(demand, place, 0 if past is None else len(past.items)))
                continue
            own = spoken.same_model and model is not None
            share = None if own or who.strategy == "fixed" else share_of(place)
            lines.append(from_past(demand, spoken, model.name if own and model else spoken.busiest, share))
        return lines

    def _guessed(self, demand: Demand, place: int, tried: int) -> Reckoned:
        size = demand.size if demand.is_known else None
        prompt = prompt_bytes_of(demand.step, size, self._rehearsal.column_bytes, self._steps)
        return from_prompts(demand, self._history, place=place, tried=tried, prompt_bytes=prompt)

    def _demand(self, step: BoundStep, who: Who, model: Model | None, past: Precedents | None) -> Demand:
        price = model.price if model is not None else None
        demand = Demand(
            step=step,
            model=model,
            named=who.named if who.strategy == "fixed" or model is None else model.name,
            strategy=who.strategy,
            price=price.times(_BATCH_PRICE) if price is not None and self._setting.batch else price,
            items=1 if step.once else self._rehearsal.items,
            paying=1,
            structured=(step.schema or step.element_schema) is not None,
        )
        if step.name in self._rehearsal.asks:
            return self._evaluated(demand, who, self._rehearsal.asks[step.name])
        return self._dependent(demand, past)

    def _evaluated(self, demand: Demand, who: Who, all_asks: Sequence[Ask]) -> Demand:
        """The requests are known, and with them those that the cache answers, or that two items share."""
        asks = [ask for ask in all_asks if ask.who == who]
        place = who.models.index(demand.model) if demand.model in who.models else 0
        paid, known = [], set(self._held)
        for ask in asks:
            key = ask.keys[place] if place < len(ask.keys) else None
            if key is None or key not in known:
                paid.append(ask)
            if key is not None:
                known.add(key)
        scale, scale_paid = (1.0, 1.0) if demand.step.once else self._scales(demand.step.name)
        return replace(
            demand,
            requests=len(asks) * scale,
            paid_requests=len(paid) * scale_paid,
            paying=len({ask.item for ask in paid}) * scale_paid,
            size=sum(ask.prompt_bytes for ask in paid) / len(paid) if paid else None,
            max_tokens=round(sum(ask.max_tokens for ask in asks) / len(asks)) if asks else demand.max_tokens,
            structured=any(ask.schema is not None for ask in asks),
        )

    def _scales(self, step: str) -> tuple[float, float]:
        """How many requests of the whole table one of the rows that were looked at stands for: made, and paid."""
        rehearsal = self._rehearsal
        rows = rehearsal.items / rehearsal.rows
        if rows == 1.0 or self._setting.fresh or step not in rehearsal.groups:
            return rows, rows
        return rows, len(set(rehearsal.groups[step])) / len(set(rehearsal.row_groups[step]))

    def _dependent(self, demand: Demand, past: Precedents | None) -> Demand:
        """The requests depend on other steps: items that reach the same values ask the same, and pay once."""
        rehearsal, name = self._rehearsal, demand.step.name
        groups = rehearsal.row_groups.get(name)
        if demand.step.once or groups is None:
            return replace(demand, paying=0.0 if 0 in self._seen and not demand.step.once else 1.0)
        places = range(rehearsal.rows)
        if self._setting.fresh or _UNCACHED in demand.step.step.source:
            return replace(demand, paying=float(rehearsal.items), size=self._mean_size(places))
        asked_before = past is not None and past.same_model
        answered = {groups[place] for place in self._seen} if asked_before else set()
        unseen = [place for place in places if groups[place] not in answered]
        share = len({groups[place] for place in unseen}) / len(set(groups))
        counts = Counter(rehearsal.groups[name])
        left = [count for group, count in counts.items() if group not in answered]
        likely = overlap(left, past.drawn) if past is not None and asked_before and not self._tells[name] else 0.0
        paying = len(counts) * share
        return replace(
            demand, paying=paying - min(likely, paying), doubtful=min(likely, paying), size=self._mean_size(unseen)
        )

    def _mean_size(self, places: Sequence[int]) -> float | None:
        sizes = [self._sizes[place] for place in places if place in self._sizes]
        return sum(sizes) / len(sizes) if sizes else None

    def _finished(self, each: Reckoned, step: BoundStep) -> Reckoned:
        """With its times, what past plans teach, and what must be said of it."""
        line = each.line
        factor = self._correction(line)
        model = next(
            (model for who in self._whos[step.name] for model in who.models if model.name == line.full_model), None
        )
        structured = (step.schema or step.element_schema) is not None
        latency = latency_of(self._history, step.name, model, structured=structured)
        mean_s, p50_s, p95_s = (
            (latency.mean_ms / 1000, latency.p50_ms / 1000, latency.p95_ms / 1000)
            if latency is not None
            else (guesses.LATENCY_S.expected, guesses.LATENCY_S.expected, guesses.LATENCY_S.high)
        )
        paid = max(0.0, line.calls.expected - line.cached_calls.expected)
        note = line.note
        if model is not None and model.price is None:
            note = f"Nobody knows what {line.full_model} costs: the run will refuse to ask it."
        line = replace(
            line,
            cost_usd=line.cost_usd.times(factor),
            p50_s=p50_s,
            p95_s=p95_s,
            time_s=busy_s(paid, mean_s, self._setting.concurrency, simulated=model is not None and model.simulated),
            note=note,
        )
        whole = each.total
        if whole is not None:
            whole = replace(whole, expected=whole.expected * factor, variance=whole.variance * factor**2)
        return replace(each, line=line, total=whole)

    def _correction(self, line: PlanLine) -> float:
        """What earlier plans of the same kind were wrong by, drawn towards 1 as far as there were few of them."""
        kin = [
            past
            for past in reversed(self._history.plans)
            if past.basis == line.basis
            and past.model == line.full_model
            and (line.basis != "past calls" or (past.flow == self._flow.name and past.step == line.step))
        ]
        logs: list[float] = []
        for past in kin:  # oldest first: each was corrected by those before it, and its own error is on top of that
            logs.append(math.log(past.actual_usd / past.expected_usd) + _learned(logs, line.basis))
        return math.exp(_learned(logs, line.basis))


def _learned(logs: Sequence[float], basis: str) -> float:
    """The logarithm of the correction that these errors teach."""
    if not logs:
        return 0.0
    mean = sum(logs) / (len(logs) + _SHRUNK_BY[basis])
    return min(max(mean, -_MOST_CORRECTION), _MOST_CORRECTION)


def _told_by_prompts(bound: BoundFlow, known: Collection[str]) -> dict[str, bool]:
    """Whether a known prompt of the same item would be in the cache if the step had been asked the same before."""
    columns = reached(bound)

    def within(one: frozenset[str] | None, other: frozenset[str] | None) -> bool:
        return other is None or (one is not None and one <= other)

    return {step.name: any(within(columns[name], columns[step.name]) for name in known) for step in bound.steps}


def _items_seen(rehearsal: Rehearsal, held: set[str], once: Collection[str]) -> set[int]:
    """Rows whose every known question the cache can answer: what depends on the replies was asked then, too."""
    answered: dict[int, bool] = {}
    for step, asks in rehearsal.asks.items():
        for ask in asks if step not in once else ():
            answered[ask.item] = answered.get(ask.item, True) and any(key in held for key in ask.keys)
    return {item for item, hit in answered.items() if hit}


def _known_bytes(rehearsal: Rehearsal, once: Collection[str]) -> dict[int, float]:
    sizes: dict[int, float] = {}
    for step, asks in rehearsal.asks.items():
        for ask in asks if step not in once else ():
            sizes[ask.item] = sizes.get(ask.item, 0.0) + ask.prompt_bytes
    return sizes
