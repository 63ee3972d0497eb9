"""The random choices of models that the ledger holds, found again by their question."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from orchestration_nb.calls import Ask, Reply, Request, Strategy
from orchestration_nb.catalog import Model
from orchestration_nb.cost.bounds import most_output_tokens
from orchestration_nb.cost.cache import cache_key
from orchestration_nb.errors import CallError, UnknownModelError
from orchestration_nb.evals.bank import MissingReply
from orchestration_nb.ledger import Ledger

AS_LOGGED: Final = "as logged"
"""The name of the strategy that answers as was chosen when the log was recorded."""

# In a comparison, who asks first pays, so that which of its requests made a call depends on what was drawn.
_CHOICES: Final = """
select q.request_id, c.cache_key, c.model, q.candidates, q.propensity, q.status, q.error
from requests as q join calls as c using (request_id) left join runs as r on r.run_id = q.run_id
where q.propensity > 0 and q.calls = 1 and c.cache_key is not null and q.status in ('ok', 'failed', 'degraded')
    and r.tags['comparison'] is null
order by q.request_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedChoice:
    """A model that was chosen at random, and asked."""

    number: int
    """In the order in which they were made."""
    model: str
    candidates: frozenset[str]
    """The models that could have been chosen."""
    propensity: float
    error: str | None
    """Why no reply came, where none did."""


@dataclass(frozen=True, slots=True)
class ChoiceBook:
    """The choices of a ledger, of several for one question the newest."""

    by_key: dict[str, LoggedChoice]
    models: dict[str, Model]

    @classmethod
    def of(cls, ledger: Ledger, resolve: Callable[[str], Model]) -> ChoiceBook:
        """Reads the choices of which each asked one model; what a comparison asked is left out.

        Args:
            ledger: Where they are.
            resolve: Name or alias to the model.

        Raises:
            WorkspaceError: If the ledger cannot be read.
        """
        book = cls({}, {})
        if not ledger.is_begun():
            return book
        for number, row in enumerate(ledger.sql(_CHOICES).to_dict("records")):
            candidates = _resolved(row["candidates"], resolve)
            model = candidates.get(row["model"])
            if model is not None:  # else an alias stands for another model now than when it was chosen
                book.models[model.name] = model
                book.by_key[row["cache_key"]] = LoggedChoice(
                    number=number,
                    model=model.name,
                    candidates=frozenset(candidates),
                    propensity=float(row["propensity"]),
                    error=None if row["status"] == "ok" else str(row["error"]),
                )
        return book

    def find(self, request: Request) -> LoggedChoice | None:
        """The newest choice that was made for this very question, or ``None``."""
        found = [self.by_key.get(_key(request, model)) for model in self.models.values()]
        return max((choice for choice in found if choice is not None), key=lambda choice: choice.number, default=None)


@dataclass(slots=True, eq=False)
class AsLogged:
    """Answers each request as the log did, and keeps which request was which item's."""

    book: ChoiceBook
    choices: dict[int, list[tuple[Request, LoggedChoice]]] = field(default_factory=dict)
    """By item: its requests that were found in the log."""

    def strategy(self) -> Strategy:
        """The strategy that does so."""

        async def as_logged(request: Request, ask: Ask) -> Reply:
            choice = self.book.find(request)
            if choice is None:
                raise MissingReply("No random choice is logged for this question.")
            self.choices.setdefault(request.origin.item, []).append((request, choice))
            if choice.error is not None:
                raise CallError(choice.error)
            return await ask(choice.model)

        return as_logged


def _resolved(names: Iterable[Any], resolve: Callable[[str], Model]) -> dict[str, Model]:
    found = {}
    for name in names:
        try:
            model = resolve(name)
        except UnknownModelError:
            continue
        found[model.name] = model
    return found


def _key(request: Request, model: Model) -> str:
    return cache_key(request, model, sample=request.sample, max_tokens=most_output_tokens(request, model))
