"""The dashboard of the ledger where no kernel answers: as outputs of a saved notebook, and as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from orchestration_nb.ledger import METRIC_GROUPINGS, Ledger, Metrics, Scope
from orchestration_nb.ledger.runs import RunDetails
from orchestration_nb.notebook.ledger_figure import GROUP_HEADER, SHOWN, USUAL, group_rows, ledger_figure, visible
from orchestration_nb.notebook.waterfall import TRACE_HEADER, trace_rows, trace_sentence, waterfall
from orchestration_nb.pages import markup
from orchestration_nb.pages.figures import MISSING, count, latency, span, text_of, usd
from orchestration_nb.pages.text import table_text
from orchestration_nb.pages.web_page import choice, page, write_page
from orchestration_nb.spending import NO_MONEY
from orchestration_nb.terminal import printable, records

if TYPE_CHECKING:
    import pandas as pd

RUN_HEADER: Final = ("run", "flow", "_status", "began (UTC)", "took", "items", "failed", "calls", "billed", "strategy")
_RUN_NUMBERS: Final = ("items", "failed", "calls", "billed")
_PAGE_RUNS, _PAGE_REQUESTS = 10, 5


def headline(metrics: Metrics) -> str:
    """What the calls of the range come to, in a line; simulated dollars are never called money."""
    whole, scope = metrics.whole, metrics.scope
    when = "in the whole ledger" if scope.days is None else f"in the last {_days(scope.days)}"
    of = f" of {scope.flow}" if scope.flow is not None else ""
    if not whole.calls:
        return f"No {'simulated ' if metrics.simulated else ''}call{of} was made {when}.{_left_out(metrics)}"
    kind = "simulated " if metrics.simulated else ""
    money = f"{usd(whole.usd)} ({NO_MONEY})" if metrics.simulated else f"{usd(whole.usd)} spent"
    return (
        f"{count(whole.calls, f'{kind}call')}{of} {when}: {money}, {whole.error_rate:.1%} failed, "
        f"{whole.hit_rate:.1%} from the cache.{_left_out(metrics)}"
    )


def _days(days: float) -> str:
    return count(round(days * 24), "hour") if days < 2 else f"{days:g} days"


def _left_out(metrics: Metrics) -> str:
    kind = "real" if metrics.simulated else "simulated"
    return f" {count(metrics.left_out, f'{kind} call')} left out." if metrics.left_out else ""


def head_card(metrics: Metrics) -> str:
    """Name, chip and headline as HTML."""
    chip = f'<span class="chip sim">{NO_MONEY}</span>' if metrics.simulated else ""
    return f'<div class="head"><span class="name">Ledger</span>{chip}<span>{markup.esc(headline(metrics))}</span></div>'


def groups_header(metrics: Metrics) -> tuple[str, ...]:
    """The header of the table of groups."""
    money = "cost, simulated" if metrics.simulated else "spent"
    return (metrics.scope.by, *(money if name == "usd" else name for name in GROUP_HEADER))


def groups_table(metrics: Metrics) -> str:
    """The groups as an HTML table, at most a hundred."""
    header = groups_header(metrics)
    return markup.table(header, group_rows(metrics.groups[:100]), header[1:]) if metrics.groups else ""


def run_rows(runs: pd.DataFrame) -> list[tuple[str, ...]]:
    """The runs as texts under :data:`RUN_HEADER`."""
    return [
        (
            str(run["run_id"])[-8:],
            str(run["flow"]),
            str(run["status"]),
            f"{run['started_at']:%d %b %H:%M:%S}" if run["started_at"] else MISSING,
            span(run["seconds"]) if run["seconds"] is not None else MISSING,
            *(f"{run[name]:,.0f}" if run[name] is not None else MISSING for name in ("items", "items_failed", "calls")),
            usd(run["billed_usd"]) + (" simulated" if run["simulated"] else ""),
            run["strategy"] or MISSING,
        )
        for run in records(runs)
    ]


def runs_table(runs: pd.DataFrame) -> str:
    """The list of runs as HTML."""
    return markup.table(RUN_HEADER, run_rows(runs), _RUN_NUMBERS)


def run_card(found: RunDetails) -> str:
    """One run as HTML: its steps, its models, its errors."""
    tables = [
        markup.part(title, markup.table(*_table(frame)))
        for title, frame in (("Steps", found.steps), ("Models", found.models), ("Errors", found.errors))
        if len(frame)
    ]
    simulated = f'<span class="chip sim">{NO_MONEY}</span>' if found.run["simulated"] else ""
    head = (
        f'<div class="head"><span class="name">{markup.esc(str(found.run["flow"]))}</span>'
        f"{markup.chip(str(found.run['status']))}{simulated}<span>{markup.esc(str(found.run['run_id']))}</span></div>"
    )
    error = markup.wrong(str(found.run["error"])) if found.run["error"] else ""
    return head + error + "".join(tables)


def _table(frame: pd.DataFrame) -> tuple[list[str], list[tuple[str, ...]], list[str]]:
    header = [str(name) for name in frame.columns]
    words = ("step", "model", "error_type", "error", "simulated")
    return [name.removesuffix("_usd").removesuffix("_ms") for name in header], _texts(frame), [
        name.removesuffix("_usd").removesuffix("_ms") for name in header if name not in words]  # fmt: skip


def _texts(frame: pd.DataFrame) -> list[tuple[str, ...]]:
    return [tuple(_text(name, value) for name, value in row.items()) for row in records(frame)]


def _text(name: str, value: Any) -> str:
    if value is None:
        return MISSING
    if name.endswith("_usd"):
        return usd(value)
    return latency(value) if name.endswith("_ms") else text_of(value)


def request_label(row: Any) -> str:
    """A request of the list in a line."""
    error = f" {row.error_type}" if isinstance(row.error_type, str) else ""
    return (
        f"{row.status}{error} · {latency(row.latency_ms)} · {row.step} · item {row.item} · "
        f"{row.model or 'no model'} · {count(int(row.calls), 'call')}"
    )


def static_bundle(metrics: Metrics) -> dict[str, Any]:
    """Figure, tables and text for whoever opens the notebook without a kernel."""
    body = markup.page(
        head_card(metrics), groups_table(metrics), markup.part("Runs", runs_table(metrics.runs.head(20)))
    )
    text = [headline(metrics)]
    if metrics.groups:
        text.append(table_text(groups_header(metrics), group_rows(metrics.groups[:100]), width=48))
    if len(metrics.runs):
        text.append(table_text(tuple(name.lstrip("_") for name in RUN_HEADER), run_rows(metrics.runs.head(20))))
    return {"text/html": body, "text/plain": "\n\n".join(map(printable, text))}


def static_figure(metrics: Metrics) -> dict[str, Any]:
    """The figure as a saved notebook holds it; a menu of plotly's own chooses the percentile."""
    drawn, slots = ledger_figure(metrics), len(metrics.drawn)
    buttons = [
        {"label": name, "method": "restyle", "args": [{"visible": visible(metrics, name, slots=slots)}]}
        for name in SHOWN
    ]
    menu = {
        "type": "buttons", "direction": "right", "buttons": buttons, "active": SHOWN.index(USUAL), "x": 1,
        "xanchor": "right", "y": 1, "yanchor": "bottom", "showactive": True, "font": {"size": 10},
        "pad": {"t": 0, "b": 2},
    }  # fmt: skip
    return {**drawn, "layout": {**drawn["layout"], "updatemenus": [menu]}}


def write_dashboard(ledger: Ledger, scope: Scope, path: Path) -> int:
    """Writes the dashboard as one HTML file and returns its size in bytes.

    Raises:
        UsageError: If it cannot be written there, or calls cannot be told apart by what the scope says.
        WorkspaceError: If the ledger cannot be read.
    """
    return write_page(dashboard_page(ledger, scope), path)


def dashboard_page(ledger: Ledger, scope: Scope) -> str:
    """The dashboard as one HTML file: each grouping, the list of runs, the newest runs, and their worst requests."""
    found = [ledger.metrics(replace(scope, by=by)) for by in dict.fromkeys((scope.by, *METRIC_GROUPINGS))]
    names = [one.scope.by for one in found]
    lines = {
        "figures": {one.scope.by: ledger_figure(one) for one in found},
        "told": {one.scope.by: markup.page(groups_table(one)) for one in found},
        "shown": {one.scope.by: {name: visible(one, name, slots=len(one.drawn)) for name in SHOWN} for one in found},
    }
    runs = found[0].runs
    held: dict[str, Any] = {"lines": lines}
    requests = _requests(ledger, list(runs["run_id"][:_PAGE_RUNS]))
    if requests:
        held["request"] = {
            "figures": {name: figure for name, _, figure, _ in requests},
            "told": {name: told for name, _, _, told in requests},
        }
    cards = "".join(
        markup.part(f"Run {run_id[-8:]}", run_card(ledger.run(run_id))) for run_id in runs["run_id"][:_PAGE_RUNS]
    )
    percentiles = choice("lines", "Latency", [(name, name) for name in (USUAL, *SHOWN) if name in SHOWN][:1]
                         + [(name, name) for name in SHOWN if name != USUAL], suffix="shown")  # fmt: skip
    body = [
        markup.page(head_card(found[0])),
        choice("lines", "By", [(name, name) for name in names]), percentiles,
        '<div class="figure" id="lines"></div><div id="lines-told"></div>',
        markup.page(markup.part("Runs", runs_table(runs))),
    ]  # fmt: skip
    if requests:
        listed = [(name, label) for name, label, _, _ in requests]
        body += [
            choice("request", "A request", listed),
            '<div class="figure" id="request"></div><div id="request-told"></div>',
        ]
    return page("The ledger of a workspace", "".join([*body, markup.page(cards)]), held)


def _requests(ledger: Ledger, runs: Sequence[str]) -> list[tuple[str, str, dict[str, Any], str]]:
    """The worst requests of each run: id, label, figure and what is told of it."""
    listed = []
    for run_id in runs:
        for row in ledger.requests(run_id).head(_PAGE_REQUESTS).itertuples():
            trace = ledger.trace(str(row.request_id))
            told = markup.page(markup.dim(trace_sentence(trace)), markup.table(TRACE_HEADER, trace_rows(trace)))
            label = f"run {run_id[-8:]}: {request_label(row)}"
            listed.append((str(row.request_id), label, waterfall(trace), told))
    return listed
