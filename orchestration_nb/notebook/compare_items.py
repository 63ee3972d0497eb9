"""The items of a comparison as plain data, for the browser of items in the notebook and in the exported page.

What stands in it is data of others (prompts, replies, columns, errors): the browser shows it as text and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

from orchestration_nb.comparing.comparison import Comparison
from orchestration_nb.evals.outcomes import Answer, Outcomes
from orchestration_nb.pages.figures import FULL_TEXT, MISSING, latency, shortened, text_of, usd
from orchestration_nb.terminal import printable

MOST_ROWS: Final = 5000
"""Items that can be listed; the rest stand in ``comparison.frame``."""
_TITLE: Final = 110


def heading(comparison: Comparison) -> dict[str, Any]:
    """What is the same for all items: names, which of them are the user's, and whether the models are simulated."""
    setup = comparison.setup
    return {
        "names": [printable(name) for name in comparison.names],
        "users": len(setup.strategies),
        "simulated": setup.simulated,
        "slice_column": None if setup.slice_column is None else printable(setup.slice_column),
        "step": setup.step,
        "items": len(comparison.items),
    }


def item_rows(comparison: Comparison) -> dict[str, Any]:
    """A line an item: its number, a title, its slice, and the score and model of each strategy.

    The items on which the user's strategies disagree come first, so that they are there whatever is left out.
    """
    every = [comparison.outcomes(name) for name in comparison.names]
    divided = comparison.disagreements()
    apart = set(divided)
    ended = [item for item in range(len(comparison.items)) if any(outcomes.ended[item] for outcomes in every)]
    shown = [*divided, *(item for item in ended if item not in apart)][:MOST_ROWS]
    models: dict[str, int] = {}
    slices = comparison.slices
    rows = [
        {
            "item": item,
            "title": _title(comparison, item),
            "slice": None if slices is None else printable(slices[item]),
            "scores": [_quality(outcomes, item) for outcomes in every],
            "models": [_model(outcomes.model[item], models) for outcomes in every],
            "split": item in apart,
        }
        for item in shown
    ]
    return {"rows": rows, "models": [printable(model) for model in models], "more": len(ended) - len(shown)}


def item_detail(comparison: Comparison, item: int) -> dict[str, Any]:
    """All that there is about one item: its columns, and each strategy's prompt, decision, reply and score."""
    answers = [dict(comparison.answers[name]).get(item) for name in comparison.names]
    prompts = {answer.prompt for answer in answers if answer is not None and answer.prompt}
    shared = prompts.pop() if len(prompts) == 1 else None
    return {
        "item": item,
        "columns": [[printable(name), _text(value)] for name, value in comparison.items[item].items()],
        "prompt": None if shared is None else _text(shared),
        "answers": [None if answer is None else _answer(answer, shared) for answer in answers],
    }


def item_details(comparison: Comparison, items: Iterable[int], *, most_characters: int) -> dict[str, Any]:
    """The same of several items, by their number, as far as they have room."""
    details: dict[str, Any] = {}
    for item in items:
        detail = item_detail(comparison, item)
        most_characters -= len(repr(detail))
        if most_characters < 0:
            break
        details[str(item)] = detail
    return details


def mark_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """What people said so far."""
    return [
        {"item": mark.item, "strategy": printable(mark.strategy), "versus": printable(mark.versus), "mark": mark.mark}
        for mark in comparison.marks
    ]


def _answer(answer: Answer, shared: str | None) -> dict[str, Any]:
    score = f"{answer.quality:g}" if math.isfinite(answer.quality) else MISSING
    return {
        "score": score if answer.label is None else f"{score} ({printable(answer.label)})",
        "comment": _text(answer.comment),
        "reply": _text(answer.value),
        "prompt": None if shared is not None else _text(answer.prompt),
        "model": printable(answer.model or MISSING),
        "asked": [printable(model) for model in answer.asked],
        "reason": _text(answer.reason),
        "cost": usd(answer.cost_usd),
        "latency": latency(answer.latency_ms),
        "error": None if answer.error is None else _text(answer.error),
    }


def _text(value: Any) -> str:
    text = text_of(value)
    return printable(text if len(text) <= FULL_TEXT else f"{text[:FULL_TEXT]} … ({len(text):,} characters in all)")


def _title(comparison: Comparison, item: int) -> str:
    """The longest text of the item: most often what was asked."""
    texts = [value for value in comparison.items[item].values() if isinstance(value, str)]
    return printable(shortened(max(texts, key=len, default=""), _TITLE))


def _quality(outcomes: Outcomes, item: int) -> float | None:
    quality = float(outcomes.quality[item])
    return round(quality, 4) if outcomes.ended[item] and math.isfinite(quality) else None


def _model(model: str | None, models: dict[str, int]) -> int | None:
    return None if model is None else models.setdefault(model, len(models))
