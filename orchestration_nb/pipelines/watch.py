"""Watches headless runs: each against what ``[watch]`` allows, and against the past runs of the same notebook.

Compared are runs with the same parameters; where fewer than eight of those are known, runs that were given parameters
of the same names (a date that differs each day). At most one in a hundred quiet runs is to be taken for a bad one,
whatever number of figures is watched: they share that one chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from orchestration_nb.clock import Clock, SystemClock
from orchestration_nb.config import WatchRule, load_settings
from orchestration_nb.ledger import Ledger
from orchestration_nb.ledger.journal import JournalFile
from orchestration_nb.pipeline_events import PipelineAlert
from orchestration_nb.pipelines.baseline import FEWEST, SCALES, Passed, Scale, Seen, passed
from orchestration_nb.pipelines.figures import Figures, figures, latency_metric
from orchestration_nb.pipelines.webhooks import tell

if TYPE_CHECKING:
    from orchestration_nb.pipelines.outcome import NotebookRun

FALSE_ALARMS: Final = 0.004
"""The share of quiet runs that is aimed at; the rest, up to one in a hundred, is for drift and odd shapes."""
_TOLD_OF: Final = frozenset({"failed", "over budget", "paused"})


def check(done: NotebookRun, *, clock: Clock | None = None) -> str | None:
    """Looks at a run that has ended, records and sends what is wrong with it, and says it in sentences.

    Where ``orchestrate.toml`` has no ``[watch]``, nothing is watched.

    Raises:
        WorkspaceError: If the ledger cannot be read.
    """
    settings, clock = load_settings(done.workspace), clock or SystemClock()
    if "watch" not in settings.model_fields_set:
        return None
    path = done.notebook
    notebook = str(path.relative_to(done.workspace)) if path.is_relative_to(done.workspace) else str(path)
    rule = settings.watch.rule(notebook)
    runs = figures(Ledger(done.workspace), notebook, rule.latency_percentile)
    at = next((place for place, run in enumerate(runs) if run.root == done.root), None)
    alerts = [] if at is None else found_in(runs[: at + 1], rule)
    if done.status in _TOLD_OF:
        alerts.insert(0, Alert("status", None, None, "threshold", f"{done.status} ({done.error_type or 'no error'})"))
    events = [
        PipelineAlert(
            pipeline_id=done.pipeline_id,
            notebook=notebook,
            metric=alert.metric,
            value=alert.value,
            limit=alert.limit,
            basis=alert.basis,
            message=f"{notebook}: {alert.message}.",
            raised_at=clock.now(),
        )
        for alert in alerts
    ]
    return raise_alerts(done.workspace, events, rule)


def raise_alerts(workspace: Path, events: Sequence[PipelineAlert], rule: WatchRule) -> str | None:
    """Journals alerts, tells the webhooks, and says both in lines of text; ``None``: there are none.

    Raises:
        JournalWriteError: If they cannot be journalled.
    """
    if not events:
        return None
    journal = JournalFile(workspace)
    try:
        for event in events:
            journal.write(event)
    finally:
        journal.close()
    troubles = tell(workspace, events, rule.webhooks)
    return "\n".join([*(f"Alert: {event.message}" for event in events), *troubles])


@dataclass(frozen=True, slots=True)
class Alert:
    """What is wrong with a run."""

    metric: str
    value: float | None
    limit: float | None
    basis: Literal["threshold", "history"]
    message: str


def found_in(runs: Sequence[Figures], rule: WatchRule) -> list[Alert]:
    """What is wrong with the last of the runs: first what the rule does not allow, then what past runs let not expect.

    Args:
        runs: The runs of one notebook, the oldest first.
        rule: What is watched.
    """
    last, alerts = runs[-1], []
    for metric, limit, worse in _limits(rule):
        value = last.values.get(metric)
        if value is not None and limit is not None and worse * (value - limit) > 0:
            beyond = "more" if worse > 0 else "less"
            said = f"{_named(metric)} is {_shown(metric, value)}, {beyond} than the {_shown(metric, limit)} allowed"
            alerts.append(Alert(metric, value, limit, "threshold", said))
    if rule.history and last.done:
        told = {alert.metric for alert in alerts}
        for metric, beyond_usual in unusual(runs).items():
            if metric not in told:
                value = last.values[metric]
                alerts.append(
                    Alert(metric, value, beyond_usual.limit, "history", _sentence(metric, value, beyond_usual))
                )
    return alerts


def unusual(runs: Sequence[Figures]) -> dict[str, Passed]:
    """Which figures of the last run are worse than those of past runs let expect, by metric."""
    *before, last = runs
    past = _comparable(before, last)
    watched = [metric for metric in last.values if sum(metric in run.values for run in past) >= FEWEST]
    found = {}
    for metric in watched:
        seen = [_seen(run, metric) for run in past if metric in run.values]
        scale = _scale(metric, [*seen, _seen(last, metric)])
        if scale is SCALES["log"]:
            if last.values[metric] <= 0:  # the cache answered all of it
                continue
            seen = [each for each in seen if each.value > 0]
        beyond = passed(seen, _seen(last, metric), scale, false_alarms=FALSE_ALARMS / len(watched))
        if beyond is not None:
            found[metric] = beyond
    return found


def _comparable(before: Sequence[Figures], last: Figures) -> list[Figures]:
    alike = [run for run in before if run.done and run.simulated == last.simulated and run.names == last.names]
    same = [run for run in alike if run.given == last.given]
    return same if len(same) >= FEWEST else alike


def _seen(run: Figures, metric: str) -> Seen:
    weight = run.requests if metric == "error_rate" and run.requests else float("inf")
    return Seen(run.values[metric], run.weekday, weight)


def _scale(metric: str, seen: Sequence[Seen]) -> Scale:
    if metric == "error_rate":
        return SCALES["rate"]
    if metric == "quality":
        return SCALES["share" if all(0 <= each.value <= 1 for each in seen) else "points"]
    return SCALES["log"]


def _limits(rule: WatchRule) -> list[tuple[str, float | None, int]]:
    return [
        ("cost_usd", rule.cost_usd, 1),
        (latency_metric(rule.latency_percentile), rule.latency_ms, 1),
        ("error_rate", rule.error_rate, 1),
        ("quality", rule.quality, -1),
    ]


def _sentence(metric: str, value: float, beyond: Passed) -> str:
    usual = f"usual are {_shown(metric, beyond.usual)}, and {_shown(metric, beyond.limit)} at the worst"
    said = f"{_named(metric)} is {_shown(metric, value)}; {usual}, by {beyond.past} past runs"
    return said if beyond.runs == 1 else f"{said} and the last {beyond.runs} together"


def _named(metric: str) -> str:
    if metric.endswith("_latency_ms"):
        return f"the {metric.partition('_')[0]} latency"
    return {"cost_usd": "the cost", "error_rate": "the error rate"}.get(metric, f"the {metric}")


def _shown(metric: str, value: float) -> str:
    if metric == "cost_usd":
        return f"${value:,.4f}" if value < 0.1 else f"${value:,.2f}"
    if metric.endswith("_ms"):
        return f"{value:,.0f} ms"
    return f"{value:.1%}" if metric == "error_rate" else f"{value:.3f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A time at which a schedule was to start a notebook."""

    schedule: str
    notebook: str
    """As the ledger names it."""
    due_at: datetime
    """Naive UTC."""


def missing(workspace: Path, due: Sequence[Due], *, clock: Clock | None = None) -> str | None:
    """Which scheduled runs have not come by their time and the grace after it; each is told of once.

    Args:
        workspace: The folder whose ledger would have them.
        due: The times of late at which schedules were to start notebooks; those that they rightly skipped left out.
        clock: Tells the time.

    Returns:
        Sentences, or ``None`` where nothing is missing or ``orchestrate.toml`` has no ``[watch]``.

    Raises:
        WorkspaceError: If the ledger cannot be read or written.
    """
    settings, clock = load_settings(workspace), clock or SystemClock()
    if "watch" not in settings.model_fields_set:
        return None
    ledger, now, said = Ledger(workspace), clock.now(), []
    come = {(row.schedule, row.due_at) for row in ledger.sql(_COME).itertuples()}
    told = set(ledger.sql("select message from pipeline_alerts where metric = 'missing'")["message"])
    for each in due:
        rule = settings.watch.rule(each.notebook)
        late = now - each.due_at
        message = (
            f"{each.notebook}: the run of {each.schedule} that was due at {each.due_at:%Y-%m-%d %H:%M} has not begun."
        )
        if late <= timedelta(seconds=rule.grace_s) or (each.schedule, each.due_at) in come or message in told:
            continue
        event = PipelineAlert(
            pipeline_id=None,
            notebook=each.notebook,
            schedule=each.schedule,
            metric="missing",
            value=late.total_seconds(),
            limit=rule.grace_s,
            basis="schedule",
            message=message,
            raised_at=now,
        )
        said.append(raise_alerts(workspace, [event], rule) or "")
    return "\n".join(said) or None


_COME: Final = "select distinct schedule, due_at from pipelines where schedule is not null"
