"""What a scorer may be and what it gives: the type of the result says what it means.

A float is a score, a str a label, a bool an assertion. A scorer that raises gives a failed :class:`Score` with the
reason, and the other items go on.
"""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, Self, runtime_checkable

from orchestration_nb.calls import OutputSchema, Reply, Request
from orchestration_nb.errors import OrchestrationError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How good one reply was."""

    value: float | None = None
    """A score, from 0 to 1 by convention."""
    label: str | None = None
    passed: bool | None = None
    """An assertion: whether the reply is right."""
    reason: str = ""
    """Why, in words; of a failed score what went wrong."""
    cost_usd: float = 0.0
    """What the scoring itself cost at list price, where a model was asked; never part of a strategy's cost."""

    @property
    def failed(self) -> bool:
        """Whether nothing was scored: the scorer raised, or there was no reply."""
        return self.value is None and self.label is None and self.passed is None

    @property
    def quality(self) -> float:
        """The score as one number: the value, else 1 or 0 for what passed or did not, else nan."""
        if self.value is not None:
            return self.value
        return math.nan if self.passed is None else float(self.passed)


NOT_RECORDED: Final = Score(reason="no score of this reply is recorded")
"""That nobody knows what a reply is worth, though it may have been good: the item cannot be told."""

Marked = float | bool | str | Score
"""What a scorer may return."""

Scorer = Callable[[Any, Mapping[str, Any]], Marked | Awaitable[Marked]]
"""Any function of (value of the step, item): named, the user's own, or a judge; it may be async."""


class AskJudge(Protocol):
    """How a judge asks its model. Whoever passes it sees to budget, cache and ledger."""

    async def __call__(self, prompt: str, *, model: str, output: OutputSchema) -> Reply:
        """Asks once; ``reply.value`` is what ``output`` made of the text.

        Raises:
            CallError: No usable reply came.
        """


@runtime_checkable
class ChecksItems(Protocol):
    """A scorer that looks at the items before a run begins."""

    def ready(self, items: Sequence[Mapping[str, Any]]) -> Scorer:
        """The scorer to score these items with.

        Raises:
            UsageError: A column or a gold value is missing or unusable.
        """


@runtime_checkable
class AsksModel(Protocol):
    """A scorer that asks a model."""

    def asking(self, ask: AskJudge) -> Scorer:
        """The same scorer, asking by ``ask``."""


@runtime_checkable
class ScoresReplies(Protocol):
    """A scorer that goes by what was asked and what came back, and not by the value of the step."""

    def score_of(self, request: Request, reply: Reply) -> Score:
        """The score of a reply to a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepScorer:
    """A scorer and the step whose values it scores: what ``STEP=SCORER:COLUMN`` says."""

    step: str
    scorer: Scorer
    text: str
    """As it was written, or the name of the function."""

    def ready(self, items: Sequence[Mapping[str, Any]], *, ask: AskJudge | None = None) -> Self:
        """Checks the items and binds a judge to its model; to be called before the run begins.

        Args:
            items: All items of the run.
            ask: How a judge asks, where the scorer is one.

        Raises:
            UsageError: A gold column or value is missing or unusable; one sentence says which.
        """
        scorer = self.scorer
        if isinstance(scorer, AsksModel) and ask is not None:
            scorer = scorer.asking(ask)
        if isinstance(scorer, ChecksItems):
            scorer = scorer.ready(items)
        return replace(self, scorer=scorer)

    async def score(self, value: Any, item: Mapping[str, Any]) -> Score:
        """Scores one value; an error of the scorer becomes a failed score."""
        try:
            scored = self.scorer(value, item)
            return as_score(await scored if inspect.isawaitable(scored) else scored)
        except OrchestrationError as error:
            return Score(reason=str(error))
        except Exception as error:  # noqa: BLE001 - the wall of an item: a scorer's error is its score's reason
            return Score(reason=f"{self.text} failed: {type(error).__name__}: {error}")


def as_score(scored: Any) -> Score:
    """What a scorer returned, as a :class:`Score`.

    Raises:
        UsageError: It is no float, bool, str or Score, or no finite number.
    """
    if isinstance(scored, Score):
        return scored
    if isinstance(scored, str):
        return Score(label=scored)
    if type(scored).__module__ == "numpy" and hasattr(scored, "item"):
        scored = scored.item()
    if isinstance(scored, bool):
        return Score(passed=scored)
    if isinstance(scored, numbers.Real) and math.isfinite(scored):
        return Score(value=float(scored))
    raise UsageError(
        f"A scorer returned {scored!r}, which is no score.",
        hint="Return a float (a score), a bool (right or wrong), a str (a label) or a Score.",
    )
