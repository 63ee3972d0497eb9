"""Headless runs, and what two of them differ in, as rows of texts for terminals and notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from orchestration_nb.ledger.pipelines import Row
from orchestration_nb.lookback.diff import LEAST_ITEMS, CellChange, Change, Measure, PairedDifference, PipelineDiff
from orchestration_nb.pages.figures import MISSING, count, latency, span, usd

_MOST_LINES: Final = 12
"""Of one changed cell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of texts."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def short(run: Row) -> str:
    """The end of a headless run's id: enough to name it, also among several that one runner made."""
    return str(run["pipeline_id"])[-12:]


def share(quality: float | None) -> str:
    """A quality from 0 to 1 in words."""
    return MISSING if quality is None else f"{quality:.1%}"


def history_rows(runs: Sequence[Row]) -> list[tuple[str, ...]]:
    """Headless runs as texts under :data:`HISTORY_HEADER`, for people."""
    return [
        (
            short(row),
            str(row["notebook"]),
            str(row["status"]),
            f"{row['started_at']:%d %b %H:%M:%S}",
            span(row["seconds"]) if row["seconds"] is not None else MISSING,
            f"{row['cells_done'] if row['cells_done'] is not None else MISSING}/{row['cells']}",
            f"{row['calls']:,}",
            usd(row["cost_usd"]) + (" simulated" if row["simulated"] else ""),
            share(row["quality"]),
            str(row["schedule"] or MISSING),
            f"{row['error_type']}" if row["error_type"] else "",
        )
        for row in runs
    ]


HISTORY_HEADER: Final = (
    "run",
    "notebook",
    "status",
    "began (UTC)",
    "took",
    "cells",
    "calls",
    "cost",
    "quality",
    "schedule",
    "error",
)
"""Of :func:`history_rows`."""


def diff_sentences(found: PipelineDiff) -> list[str]:
    """What two headless runs differ in, in a few lines."""
    left, right = found.left.run, found.right.run
    lines = [f"{_named(left)}  →  {_named(right)}"]
    if not (found.cells or found.settings or found.models):
        lines.append("Nothing differs in the notebook, its parameters, models or prices.")
    if not found.differences:
        lines.append("They share no item of a flow that ended well in both, so no difference can be paired.")
    lines += [_told(one) for one in found.differences if one.is_shown]
    if found.differences and not any(one.is_shown for one in found.differences):
        lines.append("No difference of quality, cost or latency is more than chance, as far as these items tell.")
    return lines


def diff_tables(found: PipelineDiff) -> list[Table]:
    """The same, whole: paired differences, settings, models and prices, cells; what is empty is left out."""
    left, right = (short(run) for run in (found.left.run, found.right.run))
    settings = [*found.settings, *found.models]
    every = (
        Table(
            title="Paired differences",
            header=("flow", "what", left, right, "difference", "95 % interval", "items"),
            rows=tuple(map(_paired, found.differences)),
        ),
        Table(title="Whole runs", header=("what", left, right), rows=_wholes(found)),
        Table(title="Settings, models and prices", header=("what", left, right), rows=tuple(map(_setting, settings))),
        Table(title="Cells", header=("cell", "what", "change"), rows=tuple(map(_cell, found.cells))),
    )
    return [table for table in every if table.rows]


def _named(run: Row) -> str:
    return f"{run['notebook']} of {run['started_at']:%d %b %Y %H:%M} UTC ({run['status']}, {short(run)})"


_NAMES: Final[dict[Measure, str]] = {"quality": "quality", "cost_usd": "cost of an item", "latency_ms": "latency"}


def _said(measure: Measure, value: float) -> str:
    if measure == "quality":
        return f"{value:.1%}"
    return usd(value) if measure == "cost_usd" else latency(value)


def _signed(measure: Measure, value: float) -> str:
    if measure == "quality":
        return f"{100 * value:+.1f} points"
    sign = "-" if value < 0 else "+"
    return f"{sign}{_said(measure, abs(value))}"


def _paired(one: PairedDifference) -> tuple[str, ...]:
    interval = f"too few items: {LEAST_ITEMS} are needed"
    if one.low is not None and one.high is not None:
        interval = f"{_signed(one.measure, one.low)} to {_signed(one.measure, one.high)}"
    items = f"{one.items:,}"
    if one.same_prompts != one.items:
        items += f", of which {one.same_prompts:,} with the same prompts"
    values = (_said(one.measure, one.left), _said(one.measure, one.right), _signed(one.measure, one.difference))
    return (one.flow, _NAMES[one.measure], *values, interval, items)


def _told(one: PairedDifference) -> str:
    assert one.low is not None
    assert one.high is not None
    interval = f"{_signed(one.measure, one.low)} to {_signed(one.measure, one.high)}"
    return (
        f"{one.flow}: {_NAMES[one.measure]} {_said(one.measure, one.left)} → {_said(one.measure, one.right)}, "
        f"{_signed(one.measure, one.difference)} (95 %: {interval}; {count(one.items, 'item')})"
    )


def _wholes(found: PipelineDiff) -> tuple[tuple[str, str, str], ...]:
    left, right = found.left.run, found.right.run
    rows = (
        ("status", str(left["status"]), str(right["status"])),
        ("time", *(span(run["seconds"]) if run["seconds"] is not None else MISSING for run in (left, right))),
        ("calls", f"{left['calls']:,}", f"{right['calls']:,}"),
        ("cost", *(usd(run["cost_usd"]) + (" simulated" if run["simulated"] else "") for run in (left, right))),
        ("quality", share(left["quality"]), share(right["quality"])),
    )
    return tuple(row for row in rows if row[1] != row[2])  # type: ignore[misc]


def _setting(change: Change) -> tuple[str, str, str]:
    return (change.name, change.left or MISSING, change.right or MISSING)


def _cell(change: CellChange) -> tuple[str, str, str]:
    number = str(change.right or change.left)
    if change.left and change.right and change.left != change.right:
        number = f"{change.left} → {change.right}"
    lines = list(change.lines[:_MOST_LINES]) or [change.title]
    if len(change.lines) > _MOST_LINES:
        lines.append(f"… {len(change.lines) - _MOST_LINES} more lines")
    return (number, change.what, "\n".join(lines))
