"""A run as HTML: how far it is, and what it came to."""

from __future__ import annotations

from orchestration_nb.engine.progress import Progress
from orchestration_nb.notebook.account import RunAccount
from orchestration_nb.notebook.text import step_table
from orchestration_nb.notebook.words import (
    SIMULATED_LONG,
    costs,
    counts,
    kind_of_money,
    money,
    more_rows,
    outcome,
    question,
    times,
)
from orchestration_nb.pages.figures import count, shortened
from orchestration_nb.pages.markup import chip, dim, esc, part, table, wrong

_OUR_NUMBERS = frozenset({"_cost_usd", "_latency_ms"})
_STEP_NUMBERS = frozenset({"calls", "cost", "p50", "p95", "errors"})


def _bar(progress: Progress, *, degraded: int = 0) -> str:
    whole = progress.items or 0
    if not whole:
        return '<div class="bar"></div>'
    share = 100 / whole
    ok, failed = max(0, progress.done - progress.failed - degraded) * share, progress.failed * share
    lesser = degraded * share
    flying = max(0, min(100 - ok - lesser - failed, progress.in_flight * share))
    return (
        f'<div class="bar" role="progressbar" aria-valuemax="{whole}" aria-valuenow="{progress.done}">'
        f'<i class="g" style="width:{ok:.2f}%"></i>'
        f'<i class="o" style="width:{lesser:.2f}%"></i><i class="r" style="width:{failed:.2f}%"></i>'
        f'<i class="b" style="width:{flying:.2f}%"></i></div>'
    )


def _badge(progress: Progress) -> str:
    kind = kind_of_money(progress)
    return f'<span class="chip sim" title="{SIMULATED_LONG}">{kind}</span>' if kind else ""


def progress_card(flow: str, progress: Progress) -> str:
    """How far a run is: name, status, bar, counts, cost against budget, time."""
    return (
        f'<div class="head"><span class="name">{esc(flow)}</span>{chip(progress.status)}{_badge(progress)}'
        f'<span class="push">{esc(money(progress))}</span></div>{_bar(progress)}'
        f'<div class="head dim"><span>{esc(" · ".join(counts(progress)))}</span>'
        f'<span class="push">{esc(times(progress))}</span></div>{dim(progress.note)}'
    )


def account_card(account: RunAccount) -> str:
    """The account of a run: totals, first rows, steps, errors, and how to ask for more."""
    return "".join([_totals(account), _results(account), _steps(account), _problems(account), _foot(account)])


def _totals(account: RunAccount) -> str:
    progress = account.progress
    # A pause is no mistake: its reason is told quietly.
    reason = dim if progress.status == "paused" else wrong
    error = reason(account.error) if account.error else ""
    bar = _bar(progress, degraded=dict(account.statuses).get("degraded", 0))
    return (
        f'<div class="head"><span class="name">{esc(account.flow)}</span>{chip(progress.status)}{_badge(progress)}'
        f"<span>{esc(' · '.join(outcome(account)))}</span>"
        f'<span class="push">{esc(costs(account))}</span></div>{bar}{error}{_story(account)}'
    )


def _story(account: RunAccount) -> str:
    lines = "".join(f"<li>{esc(shortened(line, 300))}</li>" for line in account.story)
    return f'<ul class="story">{lines}</ul>' if lines else ""


def _results(account: RunAccount) -> str:
    if not account.rows:
        return ""
    return (
        table(account.columns, account.rows, _OUR_NUMBERS, narrow=account.inputs)
        + f'<div class="dim">{esc(more_rows(account))}</div>'
    )


def _steps(account: RunAccount) -> str:
    return part("Steps", table(*step_table(account), _STEP_NUMBERS)) if account.steps else ""


def _problems(account: RunAccount) -> str:
    if not account.problems:
        return ""
    rows = [(f"{problem.count:,}", problem.step, problem.message, problem.positions) for problem in account.problems]
    more = f"{count(account.other_problems, 'other error')} in {account.flow}.last.errors"
    rest = f'<div class="dim">{esc(more)}</div>' if account.other_problems else ""
    return part("Errors", table(("how often", "step", "error", "where"), rows) + rest)


def _foot(account: RunAccount) -> str:
    return (
        f'<div class="foot">All rows: <code>{esc(account.flow)}.last.results</code> · '
        f"every call: <code>{esc(question(account))}</code></div>"
    )
