"""What strategies came to, item by item: the form in which all figures of a comparison are reckoned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from orchestration_nb.calls import Graded

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one strategy came to on one item."""

    strategy: str
    item: int
    """Position in the input, from 0."""
    status: str
    """``ok``, ``degraded``, ``failed``, ..., or ``missing`` where recorded replies do not tell."""
    quality: float
    """The score as a number; nan where there is no answer or no score."""
    cost_usd: float
    """What the item would have cost had the strategy run alone, at list price."""
    latency_ms: float
    """What it would have taken alone, on a virtual clock: the longest way through the steps."""
    model: str | None = None
    """The model whose reply was scored."""
    asked: tuple[str, ...] = ()
    """The models that were asked for the item, in order."""
    asked_usd: tuple[float, ...] = ()
    """What each of them cost at list price."""
    answered: tuple[bool, ...] = ()
    """Whether each of them replied."""
    questions: int = 1
    """Requests of the item that the strategy answered."""
    taken: str | None = None
    """The model whose reply the strategy took, where there was one request."""
    graded: Graded | None = None
    """By which score it decided, where it has one and there was one request."""
    reason: str = ""
    """Why the strategy decided so, in its own words."""
    error: str | None = None
    value: Any = None
    """The value of the step that is scored."""
    prompt: str = ""
    label: str | None = None
    """The score, where it is a label."""
    comment: str = ""
    """What the scorer said of it."""

    @property
    def escalated(self) -> bool:
        """Whether more than one model was asked."""
        return len(set(self.asked)) > 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcomes:
    """What one strategy came to on the items of a comparison, in their order; nan where an item has not ended."""

    strategy: str
    quality: Floats
    """Score an item. An item that ended without an answer or a score counts 0, and its error is told."""
    cost_usd: Floats
    """US dollars an item at list price, as if the strategy had run alone."""
    latency_ms: Floats
    """Milliseconds an item on a virtual clock, as if the strategy had run alone."""
    model: tuple[str | None, ...]
    """The model whose reply was scored."""
    asked: tuple[tuple[str, ...], ...]
    """The models that were asked."""
    errors: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.quality)

    @property
    def ended(self) -> npt.NDArray[np.bool_]:
        """Which items have ended."""
        return ~np.isnan(self.cost_usd)

    def at(self, items: npt.NDArray[Any]) -> Outcomes:
        """The same of some items: positions, or a mask.

        Args:
            items: Integer positions, or one bool an item.
        """
        places = np.flatnonzero(items) if items.dtype == np.bool_ else items
        return Outcomes(
            strategy=self.strategy,
            quality=self.quality[places],
            cost_usd=self.cost_usd[places],
            latency_ms=self.latency_ms[places],
            model=tuple(self.model[place] for place in places),
            asked=tuple(self.asked[place] for place in places),
            errors=tuple(self.errors[place] for place in places),
        )


def outcomes_of(strategy: str, answers: Mapping[int, Answer] | Sequence[Answer | None], items: int) -> Outcomes:
    """The outcomes of one strategy.

    Args:
        strategy: Its name.
        answers: What it came to, by the position of the item; those that are not there have not ended.
        items: How many items the comparison has.
    """
    by_item = answers if isinstance(answers, Mapping) else dict(enumerate(answers))
    quality, cost_usd, latency_ms = (np.full(items, math.nan) for _ in range(3))
    models: list[str | None] = [None] * items
    asked: list[tuple[str, ...]] = [()] * items
    errors: list[str | None] = [None] * items
    for item, answer in by_item.items():
        if answer is None or answer.status == "missing":
            continue
        quality[item] = 0.0 if math.isnan(answer.quality) else answer.quality
        cost_usd[item], latency_ms[item] = answer.cost_usd, answer.latency_ms
        models[item], asked[item], errors[item] = answer.model, answer.asked, answer.error
    return Outcomes(
        strategy=strategy,
        quality=quality,
        cost_usd=cost_usd,
        latency_ms=latency_ms,
        model=tuple(models),
        asked=tuple(asked),
        errors=tuple(errors),
    )
