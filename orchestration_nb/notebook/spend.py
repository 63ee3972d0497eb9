"""``%orchestrate spend`` and ``%orchestrate reprice``: where the money went, and prices that were wrong."""

from __future__ import annotations

from typing import Any

from IPython.display import display

from orchestration_nb.errors import UsageError
from orchestration_nb.ledger import DAYS, grouping
from orchestration_nb.notebook.arguments import Flag, read_flags, read_money, read_whole
from orchestration_nb.notebook.screen import has_outputs
from orchestration_nb.notebook.session import Session
from orchestration_nb.notebook.spend_figure import spend_figure
from orchestration_nb.pages import markup
from orchestration_nb.pages.figures import usd
from orchestration_nb.pages.text import table_text
from orchestration_nb.spending import (
    BUDGETS_KEEP,
    BURN_HEADER,
    NO_MONEY,
    REPRICING_HEADER,
    PriceToMend,
    Spending,
    burn_rows,
    headline,
    moment,
    repricing_rows,
    repricing_sentences,
    shown_columns,
    spending,
)
from orchestration_nb.terminal import printable
from orchestration_nb.workspace import Workspace

MIME = "application/vnd.plotly.v1+json"
SPEND_USAGE = "%orchestrate spend [by model|step|flow|user|day|notebook|tag:NAME] [--days N]"
REPRICE_USAGE = (
    "%orchestrate reprice MODEL [--since DATE] [--until DATE] [--input USD --output USD [--cached USD] "
    "[--cache-write USD] [--reasoning USD]] [--yes]"
)
SPEND_FLAGS = (Flag(name="--days", value="N", about="the last days, today included", read=read_whole),)
CLASSES = ("input", "output", "cached", "cache_write", "reasoning")
"""The classes of tokens that have a price, as flags say them with a dash."""
REPRICE_FLAGS = (
    Flag(name="--since", value="DATE", about="calls that began then or later", read=lambda _flag, text: moment(text)),
    Flag(name="--until", value="DATE", about="calls that began before", read=lambda _flag, text: moment(text)),
    *(
        Flag(name=f"--{name.replace('_', '-')}", value="USD", about="per million tokens", read=read_money)
        for name in CLASSES
    ),
    Flag(name="--yes", about="do it"),
)
_COUNTS = frozenset({"calls", "from_cache", "input_tokens", "output_tokens"})
_TITLES = {
    "from_cache": "from cache",
    "input_tokens": "tokens in",
    "output_tokens": "tokens out",
    "spent_usd": "spent",
    "simulated_usd": "cost, simulated",
    "unknown_usd": "maybe billed",
}


def show_spend(session: Session, rest: str) -> None:
    """Shows where the money went: a figure (in a notebook) and a table."""
    words, values = read_flags(rest, SPEND_FLAGS, SPEND_USAGE)
    found = spending(Workspace.current(), grouping(words), values.get("days", DAYS))
    display(spend_bundle(found), raw=True)  # type: ignore[no-untyped-call]
    if has_outputs(session.shell) and (len(found.spend.daily) or found.burns):
        figure = {MIME: spend_figure(found), "text/plain": "The same as a figure: spend by day, and each budget."}
        display(figure, raw=True)  # type: ignore[no-untyped-call]


def spend_bundle(spending: Spending) -> dict[str, str]:
    """What was spent as HTML and as text."""
    tables = _tables(spending)
    chip = f'<span class="chip sim">{NO_MONEY}</span>' if spending.spend.simulated else ""
    said = "".join(f"<div>{markup.esc(line)}</div>" for line in headline(spending))
    head = f'<div class="head"><span class="name">Spend</span>{chip}</div>{said}'
    drawn = [markup.table(header, rows, header[1:]) for header, rows in tables]
    alerts = "".join(f'<div class="sim">{markup.esc(line)}</div>' for line in alert_lines(spending))
    text = [" ".join(headline(spending)), *(table_text(*table, width=60) for table in tables)]
    text += [printable(line) for line in alert_lines(spending)]
    return {"text/html": markup.page(head, *drawn, alerts), "text/plain": "\n\n".join(text)}


def alert_lines(spending: Spending) -> list[str]:
    """The alerts of these days, newest first, a line each."""
    return [f"{row.raised_at:%d %b %H:%M}  {row.message}" for row in spending.spend.alerts.itertuples()]


def _tables(spending: Spending) -> list[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    tables = []
    if len(spending.spend.rows):
        shown = shown_columns(spending.spend)
        header = [_TITLES.get(name, name) for name in shown]
        lines = spending.spend.rows[shown].itertuples(index=False, name=None)
        tables.append((tuple(header), [tuple(map(_told, shown, line)) for line in lines]))
    if spending.burns:
        tables.append((BURN_HEADER, burn_rows(spending.burns)))
    return tables


def _told(name: str, value: Any) -> str:
    if name.endswith("_usd"):
        return usd(value)
    return f"{int(value):,}" if name in _COUNTS else str(value)


def reprice(_session: Session, rest: str) -> None:
    """Shows what a right price would change, and with ``--yes`` changes it."""
    names, values = read_flags(rest, REPRICE_FLAGS, REPRICE_USAGE)
    if len(names) != 1:
        raise UsageError("`%orchestrate reprice` needs one model.", hint=REPRICE_USAGE)
    workspace = Workspace.current()
    paid = {f"{name}_usd_per_mtok": values.get(name) for name in CLASSES}
    wanted = PriceToMend(model=names[0], since=values.get("since"), until=values.get("until"), paid=paid)
    events = wanted.corrections(workspace)
    changes = workspace.ledger.changes(events)
    said = repricing_sentences(events, changes)
    if changes.calls and values.get("yes"):
        workspace.ledger.reprice(events)
        said += ["Done.", BUDGETS_KEEP]
    elif changes.calls:
        said += ["Nothing is changed yet: add --yes to do it."]
    rows = repricing_rows(changes)
    html = "".join(f"<div>{markup.esc(line)}</div>" for line in said)
    text = " ".join(map(printable, said))
    if rows:
        html = markup.table(REPRICING_HEADER, rows, REPRICING_HEADER[2:]) + html
        text = f"{table_text(REPRICING_HEADER, rows)}\n\n{text}"
    display({"text/html": markup.page(html), "text/plain": text}, raw=True)  # type: ignore[no-untyped-call]
