"""The account of a run: what its display says, as text that no renderer needs to think about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestration_nb.notebook.edge import in_short
from orchestration_nb.notebook.figures import latency, text_of, usd

if TYPE_CHECKING:
    from orchestration_nb.engine.progress import Progress
    from orchestration_nb.flows import Run

MOST_ROWS = 10
MOST_INPUTS = 4
MOST_STEPS = 10
MOST_PROBLEMS = 8
MOST_POSITIONS = 12


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
    billed_usd: float
    error: str
    """Why the run as a whole failed, or an empty string."""
    columns: tuple[str, ...]
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
    results, errors = run.results, run.errors
    shown = _shown(list(results.columns), run)
    problems = _problems(errors)
    return RunAccount(
        flow=run.flow.name,
        run_id=str(run.id),
        progress=run.progress,
        statuses=tuple(Counter(str(status) for status in results["_status"]).most_common()),
        billed_usd=run.billed_usd,
        error=in_short(run.error) if run.error is not None else "",
        columns=tuple(str(results.columns[place]) for place in shown),
        rows=tuple(_rows(results, shown)),
        row_count=len(results),
        hidden_columns=len(results.columns) - len(shown) - sum(c == "_error" for c in results.columns),
        steps=tuple(_steps(run)),
        problems=problems[:MOST_PROBLEMS],
        other_problems=len(errors) - sum(problem.count for problem in problems[:MOST_PROBLEMS]),
    )


def _shown(columns: Sequence[Any], run: Run) -> list[int]:
    """Places of the columns that the table shows: some inputs, the steps, and how it ended."""
    steps = {step.name for step in run.flow.graph.steps}
    ends = ("_status", "_cost_usd", "_latency_ms")
    inputs = [place for place, column in enumerate(columns) if column not in steps and not _is_ours(column)]
    made = [place for place, column in enumerate(columns) if column in steps]
    return [
        *inputs[:MOST_INPUTS],
        *made[:MOST_STEPS],
        *(place for place, column in enumerate(columns) if column in ends),
    ]


def _is_ours(column: Any) -> bool:
    return column in {"_status", "_error", "_cost_usd", "_latency_ms"}


def _rows(results: Any, shown: Sequence[int]) -> Iterable[tuple[str, ...]]:
    head = results.iloc[:MOST_ROWS]
    texts = [[_cell(str(head.columns[place]), value) for value in head.iloc[:, place]] for place in shown]
    return zip(*texts, strict=True)


def _cell(column: str, value: Any) -> str:
    if column == "_cost_usd" and isinstance(value, float):
        return usd(value)
    if column == "_latency_ms" and isinstance(value, float):
        return latency(value)
    return text_of(value)


def _steps(run: Run) -> Iterable[StepLine]:
    for line in run.steps.to_dict("records"):
        yield StepLine(
            step=str(line["step"]),
            kind=str(line["kind"]),
            calls=int(line["calls"]),
            models=str(line["models"]),
            cost_usd=float(line["cost_usd"]),
            p50_ms=float(line["p50_ms"]),
            p95_ms=float(line["p95_ms"]),
            errors=int(line["errors"]),
        )


def _problems(errors: Any) -> tuple[Problem, ...]:
    places: dict[tuple[str, str, str], list[int]] = {}
    for line in errors.to_dict("records"):
        key = (str(line["step"]), str(line["error_type"]), str(line["error"]))
        places.setdefault(key, []).append(int(line["item"]))
    ordered = sorted(places.items(), key=lambda entry: -len(entry[1]))
    return tuple(
        Problem(count=len(items), step=step, error_type=kind, message=message, positions=_positions(items))
        for (step, kind, message), items in ordered
    )


def _positions(items: Sequence[int]) -> str:
    if set(items) == {-1}:
        return "the steps that are evaluated once"
    listed = ", ".join(str(item) for item in sorted(items)[:MOST_POSITIONS])
    more = len(items) - MOST_POSITIONS
    return f"{'row' if len(items) == 1 else 'rows'} {listed}" + (f" and {more:,} more" if more > 0 else "")
