"""Which past items say what a step will ask next time, and how well they fit."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from orchestration_nb.catalog import Price
from orchestration_nb.cost.estimates import Unit
from orchestration_nb.errors import OrchestrationError
from orchestration_nb.flow import Graph, parse
from orchestration_nb.ledger.history import History, PastStep

_OTHER_MODEL: Final = 1.6
_OTHER_TEXT: Final = 2.0
Mark = tuple[str, str | None]
"""Strategy, and the model where it is ``fixed``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Precedent:
    """What a step asked for one past item."""

    name: str
    rows: tuple[PastStep, ...]
    """One a model; none where nothing was asked."""
    known_bytes: float | None
    """Bytes of the item's prompts that are known before a run."""

    @property
    def requests(self) -> int:
        """How many requests the step made."""
        return max((row.requests for row in self.rows), default=0)

    @property
    def request_bytes(self) -> float | None:
        """Mean bytes of one of its prompts."""
        calls = sum(row.calls for row in self.rows if row.prompt_bytes is not None)
        return sum(row.prompt_bytes or 0 for row in self.rows) / calls if calls else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Precedents:
    """The past items that speak for a step, each different from the others."""

    items: tuple[Precedent, ...]
    widened: float
    """How much wider their interval must be: 1 where text and model are the same."""
    same_model: bool
    drawn: int
    """How many different items of the flow were run, whether or not they asked different things here."""

    @property
    def models(self) -> tuple[str, ...]:
        """The models that were asked."""
        return tuple(dict.fromkeys(row.model for each in self.items for row in each.rows if row.model))

    @property
    def busiest(self) -> str:
        """The model that was asked most."""
        calls: Counter[str] = Counter()
        for each in self.items:
            calls.update({row.model: row.calls for row in each.rows if row.model})
        return calls.most_common(1)[0][0]

    def per_item(self, model: str | None, value: Callable[[PastStep], float]) -> list[Unit]:
        """A value of one model's rows (``None``: of any), item by item; 0 where it was not asked."""
        return [Unit(name=each.name, size=each.known_bytes, value=_sum(each.rows, model, value)) for each in self.items]

    def per_request(self, model: str | None, value: Callable[[PastStep], float]) -> list[Unit]:
        """The same for one request, from the items that made some."""
        return [
            Unit(name=each.name, size=each.request_bytes, value=_sum(each.rows, model, value) / each.requests)
            for each in self.items
            if each.requests
        ]


def _sum(rows: Iterable[PastStep], model: str | None, value: Callable[[PastStep], float]) -> float:
    return sum(value(row) for row in rows if model is None or row.model == model)


def usd_at(price: Price | None) -> Callable[[PastStep], float]:
    """What a row's tokens cost at today's price; what was recorded where the cost did not come from a price."""

    def usd(row: PastStep) -> float:
        # What may have been billed without an answer is left out: it is a bound, and belongs to a bad day.
        return row.cost_usd if price is None or not row.priced else price.cost_usd(row.usage)

    return usd


class Archive:
    """A flow's past items, by step.

    Args:
        history: What the ledger knows.
        graph: The flow as it is now.
        known: Its steps whose prompts are known before a run.
    """

    def __init__(self, history: History, graph: Graph, known: Collection[str]) -> None:
        self._now = _texts(graph)
        self._then = _past_texts(history.sources, graph.name)
        self._by_step: dict[str, dict[tuple[str, int], list[PastStep]]] = defaultdict(lambda: defaultdict(list))
        self._keys: dict[tuple[str, int], str] = defaultdict(str)
        for row in history.steps:
            self._by_step[row.step][row.run_id, row.item].append(row)
            self._keys[row.run_id, row.item] += row.keys
        self._known = known

    def of(self, step: str, marks: Collection[Mark]) -> Precedents | None:
        """What speaks for a step that these would answer: the same text and model, else the text, else the name."""
        by_run: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for key in self._by_step[step]:
            by_run[key[0]].append(key)
        same_text = [run for run in by_run if self._is_same(run, step)]
        same = [run for run in same_text if self._asked(step, by_run[run]) <= set(marks)]
        for runs, widened, same_model in (
            (same, 1.0, True),
            (same_text, _OTHER_MODEL, False),
            (list(by_run), _OTHER_TEXT, False),
        ):
            keys = [key for run in runs for key in by_run[run]]
            items = self._different(step, keys)
            if items:
                drawn = len({self._keys[key] or key for key in keys})
                return Precedents(items=tuple(items), widened=widened, same_model=same_model, drawn=drawn)
        return None

    def _is_same(self, run: str, step: str) -> bool:
        return self._then.get(run, {}).get(step) == self._now[step]

    def _asked(self, step: str, keys: Sequence[tuple[str, int]]) -> set[Mark]:
        rows = (row for key in keys for row in self._by_step[step][key] if row.model is not None)
        return {(row.strategy or "", row.model if row.strategy == "fixed" else None) for row in rows}

    def _different(self, step: str, keys: Sequence[tuple[str, int]]) -> list[Precedent]:
        """The items, those left out that asked what another one asked: they would count twice."""
        seen: set[str] = set()
        items = []
        for key in keys:
            rows = tuple(row for row in self._by_step[step][key] if row.model is not None)
            mark = "".join(row.keys for row in rows) or self._keys[key]
            if mark and mark in seen:
                continue
            seen.add(mark)
            items.append(Precedent(name=f"{key[0]}:{key[1]}", rows=rows, known_bytes=self._known_bytes(key)))
        return items

    def _known_bytes(self, key: tuple[str, int]) -> float | None:
        found = None
        for step in self._known:
            for row in self._by_step[step].get(key, ())[:1]:
                if row.prompt_bytes is not None and row.calls and self._is_same(key[0], step):
                    found = (found or 0.0) + row.prompt_bytes / row.calls * row.requests
        return found


def _past_texts(sources: dict[str, str], name: str) -> dict[str, dict[str, tuple[str, ...]]]:
    """Run to the text of each step, as it was then."""
    read: dict[str, dict[str, tuple[str, ...]]] = {}
    for source in set(sources.values()):
        try:
            read[source] = _texts(parse(source, name=name))
        except OrchestrationError:  # written for another version
            read[source] = {}
    return {run: read[source] for run, source in sources.items()}


def _texts(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Step to its own text and those of all that it needs."""
    needs: dict[str, frozenset[str]] = {}
    for step in graph.steps:
        needs[step.name] = frozenset().union({step.name}, *(needs[name] for name in step.needs))
    return {
        step.name: tuple(other.source for other in graph.steps if other.name in needs[step.name])
        for step in graph.steps
    }
