"""The report of a headless run: one HTML file that says what ran, what came of it, what it cost and what went wrong.

It opens with no kernel and no network. Whoever reads it need not know notebooks: the answer stands on top, the code is
folded away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from orchestration_nb.ledger import Ledger, PipelineDetails
from orchestration_nb.ledger.pipelines import Row
from orchestration_nb.lookback.words import share
from orchestration_nb.pages import markup
from orchestration_nb.pages.figures import MISSING, count, latency, span, usd
from orchestration_nb.pages.web_page import page, write_page
from orchestration_nb.pipelines.files import is_reserved, read_notebook
from orchestration_nb.pipelines.outcome import NotebookRun
from orchestration_nb.pipelines.report_figures import cells_figure, history_figure
from orchestration_nb.pipelines.report_outputs import Outputs

NO_MONEY: Final = "simulated, no money"
_STYLE: Final = """
<style>
h1{font-size:1.5em;margin:.2em 0}h2{font-size:1.15em;margin:1.6em 0 .4em}
.tiles{display:flex;flex-wrap:wrap;gap:10px;margin:12px 0}
.tile{border:1px solid rgba(128,128,128,.4);border-radius:6px;padding:8px 14px;min-width:110px}
.tile b{display:block;font-size:1.35em;font-weight:600}.tile span{color:#767676;font-size:.9em}
.cell{border-left:3px solid rgba(128,128,128,.3);padding:2px 0 2px 12px;margin:12px 0}
.cell pre,.words pre{white-space:pre-wrap;overflow-wrap:anywhere;max-height:420px;overflow:auto;
background:rgba(128,128,128,.08);padding:6px 10px;margin:6px 0}
.code>summary{cursor:pointer;color:#767676}.cell img{max-width:100%}.dim{color:#767676}
.cell table,.words table{border-collapse:collapse}.cell td,.cell th,.words td,.words th{padding:3px 8px;text-align:left;
border-bottom:1px solid rgba(128,128,128,.3)}.scroll{overflow-x:auto}
</style>
"""


def write_report(ledger: Ledger, name: str, *, workspace: Path, path: Path | None = None) -> Path:
    """Writes the report of a headless run.

    Args:
        ledger: Knows the run.
        name: The run's id, the beginning or the end of it, or ``last``.
        workspace: The folder to which the ledger's paths are relative.
        path: Where; otherwise beside the executed copy, with the ending ``.html``.

    Returns:
        The file.

    Raises:
        UsageError: If no run is meant, or the file cannot be written.
        WorkspaceError: If the ledger cannot be read.
    """
    details = ledger.pipeline(name)
    copy = workspace / str(details.run["copy"])
    path = path or copy.with_suffix(".html")
    there = copy.is_file() and not is_reserved(copy)
    write_page(report_page(details, read_notebook(copy) if there else None), path)
    return path


def reported(done: NotebookRun) -> NotebookRun:
    """What comes after a headless run: its report, beside the executed copy.

    Raises:
        UsageError: If the file cannot be written.
        WorkspaceError: If the ledger cannot be read.
    """
    path = write_report(Ledger(done.workspace), done.pipeline_id, workspace=done.workspace)
    return replace(done, report=path)


def report_page(details: PipelineDetails, notebook: Any | None) -> str:
    """The report as the text of an HTML file.

    Args:
        details: What the ledger knows of the run.
        notebook: The executed copy, or ``None`` where it is gone.
    """
    outputs = Outputs(notebook) if notebook is not None else None
    shown = outputs.html() if outputs is not None else markup.dim("The executed notebook is not there any more.")
    figures: dict[str, dict[str, Any]] = {}
    if details.cells:
        figures["cells"] = cells_figure(details.cells)
    if details.before:
        figures["history"] = history_figure(details.run, details.before)
    parts = [
        _STYLE,
        markup.page(_head(details), "".join(_problems(details))),
        _tiles(details.run),
        *(f'<div class="figure" id="{place}"></div>' for place in figures),
        markup.page(*_tables(details)),
        "<h2>Results</h2>",
        shown,
        markup.page(*_facts(details)),
    ]
    figures |= outputs.figures if outputs is not None else {}
    held = {place: {"figures": {"": figure}, "told": {}} for place, figure in figures.items()}
    return page(f"{details.run['notebook']}: {details.run['status']}", "".join(parts), held)


def _head(details: PipelineDetails) -> str:
    run = details.run
    # What was restored may come from simulated models, although this run has asked none.
    is_simulated = run["models"] == "sim" or any(row["simulated"] for row in (run, *details.attempts))
    simulated = f'<span class="chip sim">{NO_MONEY}</span>' if is_simulated else ""
    took = f", {span(run['seconds'])}" if run["seconds"] is not None else ""
    due = f" for {run['due_at']:%d %b %Y %H:%M} UTC" if run["due_at"] else ""
    schedule = f", by the schedule {run['schedule']}{due}" if run["schedule"] else ""
    when = f"{run['started_at']:%A, %d %B %Y, %H:%M} UTC{took}{schedule}"
    return (
        f"<h1>{markup.esc(str(run['notebook']))}</h1>"
        f'<div class="head">{markup.chip(str(run["status"]))}{simulated}<span>{markup.esc(when)}</span></div>'
    )


def _problems(details: PipelineDetails) -> Iterator[str]:
    run = details.run
    if run["error"]:
        failed = next((cell for cell in details.cells if cell["status"] == "failed"), None)
        where = f"Cell {failed['cell']}: " if failed else ""
        kind, said = str(run["error_type"] or ""), _first_lines(str(run["error"]))
        yield markup.wrong(f"{where}{said}" if said.startswith(kind) else f"{where}{kind}: {said}")
    for alert in details.alerts:
        yield markup.wrong(str(alert["message"]))
    if run["lost_calls"]:
        yield markup.wrong(
            f"{count(run['lost_calls'], 'call')} may have been billed although no answer came: a process was killed."
        )


def _first_lines(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return " ".join(lines[-2:]) if len(lines) > 3 else " ".join(lines)


def _tiles(run: Row) -> str:
    kind = "simulated" if run["simulated"] else f"of which {usd(run['billed_usd'])} billed"
    done = f"{run['cells_done'] if run['cells_done'] is not None else MISSING} of {run['cells']}"
    tiles = [("cells done", done, ""), ("cost", usd(run["cost_usd"]), kind), ("calls", f"{run['calls']:,}", "")]
    if run["calls"]:
        tiles[-1] = (
            "calls",
            f"{run['calls']:,}",
            f"{run['cache_hits']:,} from the cache, {run['failed_calls']:,} failed",
        )
    if run["p50_ms"] is not None:
        tiles.append(("latency of a call", latency(run["p50_ms"]), f"p95 {latency(run['p95_ms'])}"))
    if run["quality"] is not None:
        tiles.append(("quality", f"{run['quality']:.1%}", f"mean of {count(run['scores'], 'score')}"))
    return f'<div class="tiles">{"".join(map(_tile, tiles))}</div>'


def _tile(said: tuple[str, str, str]) -> str:
    name, value, more = map(markup.esc, said)
    return f'<div class="tile"><span>{name}</span><b>{value}</b><span>{more}</span></div>'


def _tables(details: PipelineDetails) -> Iterator[str]:
    if details.flows:
        yield markup.part("What was asked", markup.table(_FLOWS, [_flow(row) for row in details.flows], _FLOW_NUMBERS))
    if details.models:
        yield markup.part("Models", markup.table(_MODELS, [_model(row) for row in details.models], _MODELS[1:]))
    if details.scores:
        scores = [
            (str(row["flow"]), str(row["step"] or ""), str(row["scorer"]), f"{row['scored']:,}", share(row["quality"]))
            for row in details.scores
        ]
        yield markup.part("Quality", markup.table(_SCORES, scores, _SCORES[3:]))
    if details.errors:
        errors = [
            (f"{row['items']:,}", str(row["flow"]), f"{row['error_type']}: {row['error']}") for row in details.errors
        ]
        yield markup.part("Errors of items", markup.table(_ERRORS, errors, _ERRORS[:1]))


_FLOWS: Final = ("cell", "flow", "_status", "strategy or model", "items", "failed", "calls", "cost", "quality", "took")
_FLOW_NUMBERS: Final = ("cell", *_FLOWS[4:])
_MODELS: Final = ("model", "calls", "from cache", "cost", "p50", "p95")
_SCORES: Final = ("flow", "step", "scorer", "scored", "mean")
_ERRORS: Final = ("how often", "flow", "error")
_ATTEMPTS: Final = ("run", "_status", "began (UTC)", "cells done", "cost", "why it ended")
_ARTIFACTS: Final = ("artifact", "kept as", "bytes")


def _flow(row: Row) -> tuple[str, ...]:
    return (
        str(row["cell"] or MISSING),
        str(row["flow"]),
        str(row["status"]),
        str(row["strategy"] or row["model"] or MISSING),
        *(MISSING if row[name] is None else f"{row[name]:,}" for name in ("items", "items_failed", "calls")),
        usd(row["cost_usd"]),
        share(row["quality"]),
        span(row["seconds"]) if row["seconds"] is not None else MISSING,
    )


def _model(row: Row) -> tuple[str, ...]:
    name = f"{row['model']} (simulated)" if row["simulated"] else str(row["model"])
    middle = (latency(row[column]) if row[column] is not None else MISSING for column in ("p50_ms", "p95_ms"))
    return (name, f"{row['calls']:,}", f"{row['cache_hits']:,}", usd(row["cost_usd"]), *middle)


def _facts(details: PipelineDetails) -> Iterator[str]:
    run = details.run
    facts: list[tuple[str, str]] = [("run", str(run["pipeline_id"]))]
    facts += [(f"parameter {name}", str(value)) for name, value in (run["parameters"] or {}).items()]
    facts += [(f"secret {name}", f"from {where}") for name, where in (run["secrets"] or {}).items()]
    facts += [(f"tag {name}", str(value)) for name, value in (run["tags"] or {}).items()]
    if run["budget_usd"] is not None:
        facts.append(("budget", usd(run["budget_usd"])))
    facts += [("user", str(run["user"] or MISSING)), ("version", f"orchestration_nb {run['package_version']}")]
    facts.append(("executed notebook", str(run["copy"])))
    yield markup.part("This run", markup.table(("what", "value"), facts))
    if len(details.attempts) > 1:
        rows = [_attempt(row) for row in details.attempts]
        yield markup.part("Attempts", markup.table(_ATTEMPTS, rows, _ATTEMPTS[3:5]))
    if details.artifacts:
        kept = [(str(row["name"]), str(row["path"]), f"{row['bytes']:,}") for row in details.artifacts]
        yield markup.part("Artifacts", markup.table(_ARTIFACTS, kept, _ARTIFACTS[2:]))


def _attempt(row: Row) -> tuple[str, ...]:
    return (
        str(row["pipeline_id"]),
        str(row["status"]),
        f"{row['started_at']:%d %b %H:%M:%S}",
        f"{row['cells_done'] if row['cells_done'] is not None else MISSING} of {row['cells']}",
        usd(row["cost_usd"]),
        _first_lines(str(row["error"] or "")),
    )
