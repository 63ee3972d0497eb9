"""Displays as HTML. Every text goes through :func:`esc`; nothing here is a script, loads anything, or is a link.

The classes ``tex2jax_ignore`` and ``mathjax_ignore`` keep JupyterLab from reading ``$`` as mathematics: what a model
says could otherwise become a link, and two prices a formula.
"""

from __future__ import annotations

import html
from collections.abc import Collection, Sequence

from orchestration_nb.engine.progress import Progress
from orchestration_nb.notebook.account import RunAccount
from orchestration_nb.notebook.figures import FULL_TEXT, count, shortened
from orchestration_nb.notebook.style import CSS
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
from orchestration_nb.terminal import printable

SHORT = {"narrow": 60, "some": 90, "wide": 300, "number": 90}
"""Characters of a value that a table shows before it is opened, by the kind of its column."""
_STATUSES = frozenset({"ok", "degraded", "failed", "skipped", "cancelled", "paused", "running", "done"})
_OUR_NUMBERS = frozenset({"_cost_usd", "_latency_ms"})
_STEP_NUMBERS = frozenset({"calls", "cost", "p50", "p95", "errors"})


def esc(text: str) -> str:
    """``text`` as HTML text or as the value of a quoted attribute."""
    return html.escape(printable(text), quote=True)


def page(*parts: str) -> str:
    """Puts parts of a display into their frame, with the style that they need."""
    return f'<div class="onb tex2jax_ignore mathjax_ignore"><style>{CSS}</style>{"".join(parts)}</div>'


def chip(status: str) -> str:
    """A status, coloured and named."""
    known = status if status in _STATUSES else "skipped"
    return f'<span class="chip {known}">{esc(status)}</span>'


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[str] = (), *, narrow: int | None = None
) -> str:
    """A table of texts; long ones open on a click and show in full on hovering.

    Args:
        header: Names of the columns; in ``_status`` a status is drawn as one.
        rows: As many texts as there are columns.
        numbers: Columns that stand on the right.
        narrow: For a table of many columns: how many, from the first, leave the room to the others.
    """
    kinds = [_kind(name in numbers, place, narrow) for place, name in enumerate(header)]
    names = "".join(
        f'<th class="{kind}">{esc(shortened(name, 60))}</th>' for name, kind in zip(header, kinds, strict=True)
    )
    lines = "".join(f"<tr>{_cells(header, row, kinds)}</tr>" for row in rows)
    return f'<div class="scroll"><table class="t"><thead><tr>{names}</tr></thead><tbody>{lines}</tbody></table></div>'


def _kind(is_number: bool, place: int, narrow: int | None) -> str:
    if is_number:
        return "number"
    if narrow is None:
        return "wide"
    return "narrow" if place < narrow else "some"


def _cells(header: Sequence[str], row: Sequence[str], kinds: Sequence[str]) -> str:
    return "".join(
        f"<td>{chip(text)}</td>" if name == "_status" else _cell(text, kind)
        for name, text, kind in zip(header, row, kinds, strict=True)
    )


def _cell(text: str, kind: str) -> str:
    short = shortened(text, SHORT[kind])
    if short == text.strip():
        return f'<td class="{kind}">{esc(text)}</td>'
    full = text if len(text) <= FULL_TEXT else f"{text[:FULL_TEXT]} … ({count(len(text), 'character')} in all)"
    opened = f"<details><summary>{esc(short)}</summary><div>{esc(full)}</div></details>"
    return f'<td class="{kind}" title="{esc(full[:600])}">{opened}</td>'


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


def dim(text: str) -> str:
    """A line that stands back."""
    return f'<div class="dim">{esc(text)}</div>' if text else ""


def wrong(text: str) -> str:
    """A line that says what is wrong."""
    return f'<div class="line">{esc(text)}</div>'


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


def part(title: str, body: str) -> str:
    """A part of a display that can be closed."""
    return f'<details class="part" open><summary>{esc(title)}</summary>{body}</details>'


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
