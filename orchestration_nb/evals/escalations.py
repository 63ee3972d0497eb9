"""Where a strategy stands between a cheap and a strong model: both ways that each item can go, from what was compared.

The way that an item did not go is known where the models were compared alone as well: a comparison has their answers to
the same items. What nobody can know (an answer that was chosen among several, a model that was not shown alone) is not
guessed: then there is a sentence instead of figures.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from orchestration_nb.calls import Graded
from orchestration_nb.evals.curves import Escalation, Floats
from orchestration_nb.evals.outcomes import Answer

TARGETS: Final = (0.95, 0.99, 1.0)
"""Shares of the strong model's quality at which savings are shown."""

SingleOf = Callable[[str], str | None]
"""A model's name or alias to the name under which it is compared alone, or ``None`` where it is not."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ways:
    """A strategy that asks a strong model for some items, and what each item would have come to either way."""

    kept: tuple[str, ...]
    """The models whose replies it takes where the strong one is not asked, by the names of the comparison."""
    strong: str
    escalation: Escalation
    cost_strong_usd: Floats
    """Of the strong model alone, per item."""
    escalated: npt.NDArray[np.bool_]
    """Which items went to the strong model."""
    has_scores: bool
    """Whether its decisions have scores; else it is only known which items went to the strong model."""


def ways_of(answers: Sequence[Answer], singles: Mapping[str, Sequence[Answer]], single_of: SingleOf) -> Ways | str:
    """Both ways that each item could have gone.

    Args:
        answers: What the strategy came to, an item each.
        singles: What each model came to alone, on the same items in the same order.
        single_of: Finds the model's name in ``singles``.

    Returns:
        The ways, or in words why they are not known.
    """
    if any(answer.questions > 1 for answer in answers):
        return "it asks more than one question of an item"
    grades = [answer.graded for answer in answers]
    if sum(grade is not None for grade in grades) * 2 > len(grades):
        told = [_Told.by_grade(answer, single_of) for answer in answers]
    else:
        found = _told_by_asks(answers, singles, single_of)
        if isinstance(found, str):
            return found
        told = found
    named = [one for one in told if one.strong is not None]
    strong = {one.strong for one in named}
    if len(strong) != 1:
        return "it does not choose between cheap models and one strong one"
    missing = [one.missing for one in named if one.missing]
    if missing:
        return f"{missing[0]} is not compared alone (--models {missing[0]})"
    return _ways(answers, told, singles, strong.pop() or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What one item's decision was, in the names of the comparison."""

    kept: str | None
    strong: str | None
    """``None`` where the decision is not known: the item then counts as it went, whatever the threshold."""
    score: float = math.nan
    escalated: bool = False
    after_reply: bool = False
    missing: str = ""
    """A model that is not compared alone."""

    @classmethod
    def by_grade(cls, answer: Answer, single_of: SingleOf) -> _Told:
        grade: Graded | None = answer.graded
        if grade is None or not math.isfinite(grade.score):
            return cls(kept=None, strong=None)
        kept, strong = single_of(grade.kept), single_of(grade.strong)
        missing = grade.kept if kept is None else grade.strong if strong is None else ""
        asked = {single_of(model) for model in answer.asked}
        return cls(
            kept=kept,
            strong=strong or grade.strong,
            score=grade.score,
            escalated=strong in asked,
            after_reply=grade.after_reply,
            missing=missing,
        )


def _told_by_asks(
    answers: Sequence[Answer], singles: Mapping[str, Sequence[Answer]], single_of: SingleOf
) -> list[_Told] | str:
    """The decisions of a strategy that says nothing of them, from the models that it asked."""
    asked = [_answering(answer) for answer in answers]
    names = dict.fromkeys(model for models in asked for model in models)
    alone = {model: single_of(model) for model in names}
    missing = next((model for model, name in alone.items() if name is None), None)
    if missing is not None:
        return f"{missing} is not compared alone (--models {missing})"
    if len(names) < 2:
        return "it asks one model only"
    cost = {model: sum(answer.cost_usd for answer in singles[alone[model] or ""]) for model in names}
    strong = max(names, key=lambda model: cost[model])
    up = [strong in models for models in asked]
    if all(up) or not any(up):
        return f"it asks {alone[strong]} for every item"
    if any(goes and answer.taken not in {strong, None} for goes, answer in zip(up, answers, strict=True)):
        return f"it does not always take the reply of {alone[strong]} where it asks it"
    kept = Counter(answer.taken for goes, answer in zip(up, answers, strict=True) if not goes and answer.taken)
    if len(kept) != 1:
        return f"where it does not ask {alone[strong]}, it takes replies of more than one model"
    cheap = next(iter(kept))
    after_reply = any(len(models) > 1 for goes, models in zip(up, asked, strict=True) if goes)
    return [
        _Told(
            kept=alone[cheap],
            strong=alone[strong],
            score=float(goes),
            escalated=goes,
            after_reply=after_reply,
        )
        for goes in up
    ]


def _answering(answer: Answer) -> dict[str, None]:
    """The models that replied, in order, each once."""
    return dict.fromkeys(model for model, replied in zip(answer.asked, answer.answered, strict=False) if replied)


def _ways(
    answers: Sequence[Answer], told: Sequence[_Told], singles: Mapping[str, Sequence[Answer]], strong: str
) -> Ways:
    rows = [_both(place, answer, one, singles) for place, (answer, one) in enumerate(zip(answers, told, strict=True))]
    quality_kept, cost_kept, quality_escalated, cost_escalated = np.array(rows).T
    scores = np.array([one.score for one in told])
    known = scores[~np.isnan(scores)]
    alone = singles[strong]
    return Ways(
        kept=tuple(dict.fromkeys(one.kept for one in told if one.kept is not None)),
        strong=strong,
        escalation=Escalation(
            quality_kept=quality_kept,
            quality_escalated=quality_escalated,
            cost_kept=cost_kept,
            cost_escalated=cost_escalated,
            # Both ways of an item whose decision is not known are the same, so that its place does not matter.
            scores=np.where(np.isnan(scores), known.min(), scores),
        ),
        cost_strong_usd=np.array([answer.cost_usd for answer in alone]),
        escalated=np.array([one.escalated for one in told]),
        has_scores=len(np.unique(known)) > 2,
    )


def _both(
    place: int, answer: Answer, told: _Told, singles: Mapping[str, Sequence[Answer]]
) -> tuple[float, float, float, float]:
    """Quality and cost of an item that is kept, and of the same item escalated."""
    went = _quality(answer), answer.cost_usd
    if told.strong is None or told.kept is None:
        return (*went, *went)
    if told.escalated:
        beside = _cheap_usd(answer, singles, told, but_kept=True)
        kept = singles[told.kept][place]
        return (_quality(kept), kept.cost_usd + beside, *went)
    strong = singles[told.strong][place]
    paid = _cheap_usd(answer, singles, told, but_kept=False) if told.after_reply else 0.0
    return (*went, _quality(strong), strong.cost_usd + paid)


def _cheap_usd(answer: Answer, singles: Mapping[str, Sequence[Answer]], told: _Told, *, but_kept: bool) -> float:
    """What the cheap calls of an item cost, one of the kept model apart where it is counted elsewhere."""
    strong, kept = (_full_name(singles[name or ""]) for name in (told.strong, told.kept))
    calls = [(model, usd) for model, usd in zip(answer.asked, answer.asked_usd, strict=False) if model != strong]
    if but_kept:
        own = next((place for place, (model, _) in enumerate(calls) if model == kept), None)
        calls = [call for place, call in enumerate(calls) if place != own]
    return sum(usd for _, usd in calls)


def _full_name(answers: Sequence[Answer]) -> str | None:
    return next((answer.taken for answer in answers if answer.taken is not None), None)


def _quality(answer: Answer) -> float:
    return 0.0 if math.isnan(answer.quality) else answer.quality
