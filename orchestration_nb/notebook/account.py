"""The account of a run: what its display says, as text that no renderer needs to think about."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from orchestration_nb.engine.batches_left import left_under_way
from orchestration_nb.engine.progress import Progress
from orchestration_nb.notebook.afterwards import came_of
from orchestration_nb.notebook.story import CHRONICLE
from orchestration_nb.pages.figures import latency, text_of, usd
from orchestration_nb.runs import Run

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 10
MOST_INPUTS = 4
MOST_STEPS = 10
MOST_PROBLEMS = 8
MOST_POSITIONS = 12
_NUMBER = re.compile(r"\d[\d.,]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLine:
    """What one step did in all items."""

    step: str
    kind: str
    calls: int
    models: str
    cost_usd: float
    p50_ms: float
    p95_ms: float
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One error, however often it came."""

    count: int
    step: str
    error_type: str
    message: str
    positions: str
    """Where: the first positions in the input, from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAccount:
    """Everything that the settled display of a run says."""

    flow: str
    run_id: str
    progress: Progress
    statuses: tuple[tuple[str, int], ...]
    """How many items ended in each way."""
    sample: str
    """How the items were drawn from the table, or an empty string."""
    error: str
    """Why the run as a whole failed, or an empty string."""
    story: tuple[str, ...]
    """What it came through, a sentence a line."""
    columns: tuple[str, ...]
    inputs: int
    """How many of ``columns``, from the first, came with the input."""
    rows: tuple[tuple[str, ...], ...]
    """The first rows; as many texts as ``columns``."""
    row_count: int
    hidden_columns: int
    steps: tuple[StepLine, ...]
    problems: tuple[Problem, ...]
    other_problems: int
    """How many errors are in no line of ``problems``."""


def account_of(run: Run) -> RunAccount:
    """Reads a run that has ended (or as far as it is)."""
    results = run.results
    steps = frozenset(step.name for step in run.flow.graph.steps)
    scored = [scores.column for scores in run.scores]
    shown = _shown([str(column) for column in results.columns], [*steps, *scored], _used(run))
    problems = _problems(run.errors)
    return RunAccount(
        flow=run.flow.name,
        run_id=str(run.id),
        progress=run.progress,
        statuses=tuple(Counter(str(status) for status in results["_status"]).most_common()),
        sample="" if run.sample is None else f"a sample, drawn with seed {run.seed}",
        error="" if run.error is None else str(run.error),
        story=tuple(filter(None, _story(run))),
        columns=tuple(str(results.columns[place]) for place in shown),
        inputs=sum(results.columns[place] not in {*steps, *scored} for place in shown) - 3,
        rows=tuple(_rows(results, shown)),
        row_count=len(results),
        hidden_columns=len(results.columns) - len(shown) - 1,  # errors have a table of their own
        steps=tuple(_steps(run.steps)),
        problems=problems[:MOST_PROBLEMS],
        other_problems=sum(problem.count for problem in problems[MOST_PROBLEMS:]),
    )


def _story(run: Run) -> list[str]:
    came = [*CHRONICLE.of(run.id).lines(), came_of(run.plan), left_under_way(run.batches_left)]
    return [*came, *run.score_lines]


def _used(run: Run) -> frozenset[str]:
    return frozenset(given.name for step in run.flow.graph.steps for given in step.inputs)


def _shown(columns: Sequence[str], steps: Collection[str], used: Collection[str]) -> list[int]:
    """Places of the columns that the table shows: the first and the used inputs, the steps, and how it ended."""
    ended = len(columns) - 4  # status, error, cost, latency stand at the end
    inputs = [place for place, column in enumerate(columns[:ended]) if column not in steps]
    made = [place for place, column in enumerate(columns[:ended]) if column in steps]
    telling = [place for place in inputs if columns[place] in used] or inputs[1:]
    chosen = sorted({*inputs[:1], *telling[: MOST_INPUTS - 1]})
    return [*chosen, *made[:MOST_STEPS], ended, ended + 2, ended + 3]


def _rows(results: pd.DataFrame, shown: Sequence[int]) -> Iterable[tuple[str, ...]]:
    head = results.iloc[:MOST_ROWS]
    texts = [[_cell(str(head.columns[place]), value) for value in head.iloc[:, place]] for place in shown]
    return zip(*texts, strict=True)


def _steps(steps: pd.DataFrame) -> Iterable[StepLine]:
    names = [field.name for field in fields(StepLine)]
    return (StepLine(**dict(zip(names, line, strict=True))) for line in steps[names].itertuples(index=False, name=None))


def _cell(column: str, value: Any) -> str:
    if column == "_cost_usd":
        return usd(value)
    return latency(value) if column == "_latency_ms" else text_of(value)


def _problems(errors: pd.DataFrame) -> tuple[Problem, ...]:
    """Errors of one step that differ in numbers alone are one problem; the first says how it sounds."""
    places: dict[tuple[str, str, str], list[int]] = {}
    first: dict[tuple[str, str, str], str] = {}
    for item, step, kind, message in errors[["item", "step", "error_type", "error"]].itertuples(index=False, name=None):
        key = (step, kind, _NUMBER.sub("0", message))
        first.setdefault(key, message)
        places.setdefault(key, []).append(item)
    ordered = sorted(places.items(), key=lambda entry: -len(entry[1]))
    return tuple(
        Problem(count=len(items), step=key[0], error_type=key[1], message=first[key], positions=_positions(items))
        for key, items in ordered
    )


def _positions(items: Sequence[int]) -> str:
    if set(items) == {-1}:
        return "evaluated once, for all rows"
    listed = ", ".join(str(item) for item in items[:MOST_POSITIONS])
    more = len(items) - MOST_POSITIONS
    return f"{'row' if len(items) == 1 else 'rows'} {listed}" + (f" and {more:,} more" if more > 0 else "")
