"""What a run would ask, as far as it can be known without asking: the prompts of steps that only build requests.

Such a step is evaluated for each item, which is exact and has no side effect. Nothing else of the analyst's is run.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, Final

from orchestration_nb.calls import Origin, OutputSchema, Request, Strategy
from orchestration_nb.catalog import Catalog, Model
from orchestration_nb.cost.bounds import most_output_tokens
from orchestration_nb.cost.cache import cache_key
from orchestration_nb.engine.bookkeeping import readable
from orchestration_nb.errors import UnknownModelError
from orchestration_nb.flow import BoundFlow, BoundStep, Pending, step_scope
from orchestration_nb.frames import Missing, Table
from orchestration_nb.ids import RequestId, RunId
from orchestration_nb.routing.fallback import models_of

MOST_ROWS: Final = 5_000
"""Of a longer table so many rows, drawn at random, stand for all."""
_SEED: Final = 0
_USUAL: Final = ("fast", "medium", "strong")
_COMPARABLE: Final = (str, int, float, bool, bytes, type(None), dt.date, dt.timedelta, decimal.Decimal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Who answers a request: one model, or a strategy that chooses."""

    strategy: str
    """``fixed`` for one model."""
    named: str
    """What is shown: the model or alias as it was written, or the strategy."""
    models: tuple[Model, ...]
    """The model, or those that the strategy may ask; empty where none can be told."""

    @property
    def mark(self) -> tuple[str, str | None]:
        """What the ledger's rows must say to be of the same."""
        return self.strategy, self.models[0].name if self.strategy == "fixed" and self.models else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Finds out who answers."""

    catalog: Catalog
    find_strategy: Callable[[str], Strategy]
    otherwise: tuple[str, str | None]
    """Strategy and model of a request that names neither."""

    def who(self, model: str | None, strategy: str | None) -> Who:
        """Who answers a request that names this model or strategy, or neither."""
        if model is None and strategy is None:
            strategy, model = self.otherwise
        if model is not None:
            return Who(strategy="fixed", named=model, models=tuple(self._resolved([model])))
        assert strategy is not None
        names = named_in(self.find_strategy(strategy)) or _USUAL
        return Who(strategy=strategy, named=strategy, models=tuple(self._resolved(names)))

    def _resolved(self, names: Sequence[str]) -> Iterator[Model]:
        seen = set()
        for name in names:
            with contextlib.suppress(UnknownModelError):
                model = self.catalog.resolve(name)
                if model.name not in seen:
                    seen.add(model.name)
                    yield model


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request that will be made."""

    item: int
    """Position among the rows that were looked at."""
    who: Who
    prompt_bytes: int
    max_tokens: int
    schema: OutputSchema | None
    keys: tuple[str, ...]
    """For each model that may be asked, what the cache knows the question by; empty where the cache is not used."""


@dataclass(slots=True, kw_only=True)
class Rehearsal:
    """What is known of a run before it begins."""

    items: int
    """Rows of the whole table."""
    rows: int
    """How many of them were looked at."""
    asks: dict[str, list[Ask]] = field(default_factory=dict)
    """The requests of each step that could be evaluated."""
    groups: dict[str, list[Any]] = field(default_factory=dict)
    """For each step that asks models, for each row of the whole table: equal where all that it reaches is equal."""
    row_groups: dict[str, list[Any]] = field(default_factory=dict)
    """The same for the rows that were looked at."""
    column_bytes: dict[str, float] = field(default_factory=dict)
    """Mean bytes of a column's value in a prompt, where it is plain."""


def rehearse(bound: BoundFlow, table: Table | None, cast: Cast, *, cached: bool) -> Rehearsal:
    """Evaluates what only builds requests, and finds which items are alike.

    Args:
        bound: The flow with its names resolved.
        table: The input, or ``None``.
        cast: Knows who answers.
        cached: Whether the run may use the cache.
    """
    size = len(table) if table is not None else 1
    seen = table.sampled(MOST_ROWS, _SEED) if table is not None else None
    rehearsal = Rehearsal(items=size, rows=len(seen) if seen is not None else 1)
    items = list(seen.items()) if seen is not None else [{}]
    steps = [step for step in bound.steps if step.kind == "llm"]
    for step in steps:
        if step.builds_requests and not step.needs:
            chosen = [{}] if step.once and seen is not None else items
            rehearsal.asks[step.name] = [
                ask for place, item in enumerate(chosen) for ask in _asked(step, place, item, cast, cached=cached)
            ]
    if table is not None and seen is not None:
        rehearsal.groups = _groups(bound, table)
        rehearsal.row_groups = rehearsal.groups if seen is table else _groups(bound, seen)
        rehearsal.column_bytes = _column_bytes(items[:200])
    return rehearsal


def _asked(step: BoundStep, place: int, item: Mapping[str, Any], cast: Cast, *, cached: bool) -> Iterator[Ask]:
    origin = Origin(run_id=RunId(""), flow="", step=step.name, item=place)
    with step_scope(None) as scope:
        try:
            value = step.evaluate({**item, "item": item})
            schema = step.schema if isinstance(value, Pending) else step.element_schema
            requests = [
                (pending, pending.request(origin, schema=schema, id=RequestId(""), seed=""))
                for pending in scope.pendings
            ]
        except Exception:  # noqa: BLE001 - the wall of an item: the run itself will say what is wrong with it
            return
    for pending, request in requests:
        who = cast.who(pending.model, pending.strategy)
        kept = cached and request.cache and not any(model.recorded for model in who.models)
        yield Ask(
            item=place,
            who=who,
            prompt_bytes=len(readable(request).encode("utf-8", "replace")),
            max_tokens=request.max_tokens,
            schema=request.output,
            keys=tuple(_keys(request, who)) if kept else (),
        )


def _keys(request: Request, who: Who) -> Iterator[str]:
    for model in who.models:
        yield cache_key(request, model, sample=request.sample, max_tokens=most_output_tokens(request, model))


def named_in(strategy: Strategy) -> tuple[str, ...]:
    """The models that a strategy says it asks, else those that its text names: ``ask("fast")``, what it closes over."""
    if said := models_of(strategy):
        return said
    code = getattr(strategy, "__code__", None)
    cells = [cell.cell_contents for cell in getattr(strategy, "__closure__", None) or ()]
    found = [*_texts(code.co_consts if code is not None else ()), *_texts(cells)]
    return tuple(dict.fromkeys(text for text in found if text in _USUAL or ("/" in text and " " not in text)))


def _texts(values: Any) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, CodeType):
            yield from _texts(value.co_consts)
        elif isinstance(value, tuple | list):
            yield from _texts(value)


def reached(bound: BoundFlow) -> dict[str, frozenset[str] | None]:
    """For each step the columns that it reaches, straight or through others; ``None`` where it reads the row itself."""
    columns: dict[str, frozenset[str] | None] = {}
    for step in bound.steps:
        parts = [columns[name] for name in step.needs]
        known = [part for part in parts if part is not None]
        whole = step.uses_item or len(known) < len(parts)
        columns[step.name] = None if whole else step.columns.union(*known)
    return columns


def _groups(bound: BoundFlow, table: Table) -> dict[str, list[Any]]:
    """For each step and row what the step reaches there; a row whose values cannot be compared is like no other."""
    values: dict[frozenset[str], list[Any]] = {}
    groups: dict[str, list[Any]] = {}
    for name, columns in reached(bound).items():
        key = frozenset(table.columns) if columns is None else columns
        if key not in values:
            values[key] = _alike(table, sorted(key))
        groups[name] = values[key]
    return groups


def _alike(table: Table, columns: Sequence[str]) -> list[Any]:
    places = {name: place for place, name in enumerate(table.columns)}
    lists = [table.frame.iloc[:, places[name]].tolist() for name in columns]
    if not all(isinstance(value, _COMPARABLE) for values in lists for value in values):
        return list(range(len(table)))
    return list(zip(*lists, strict=True)) if lists else [()] * len(table)


def _column_bytes(items: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    sums: Counter[str] = Counter()
    for item in items:
        for name, value in item.items():
            plain = isinstance(value, str | int | float) and not isinstance(value, Missing)
            sums[name] += len(str(value).encode("utf-8", "replace")) if plain else 0
    return {name: total / len(items) for name, total in sums.items()}
