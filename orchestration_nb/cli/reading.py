"""What the workspace knows: its models, its runs, its ledger, how it stands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from orchestration_nb.cli.application import (
    FormOption,
    ShowFormOption,
    WorkspaceOption,
    app,
    folder_of,
    form_of,
    ledger_of,
    print_rows,
    put,
    say,
    workspace_of,
)
from orchestration_nb.cli.history import list_pipelines
from orchestration_nb.errors import UsageError
from orchestration_nb.terminal import as_json, records
from orchestration_nb.whence import FILE_NAME

RUN_COLUMNS = ("run_id", "flow", "status", "started_at", "items", "items_failed", "calls", "cost_usd")
"""What people see of a run in the list; the other forms have it all."""


@app.command()
def models(form: FormOption = None, workspace: WorkspaceOption = None) -> None:
    """List the models that can be asked now, and why the others cannot."""
    import pandas as pd  # noqa: PLC0415

    from orchestration_nb.workspace import Workspace  # noqa: PLC0415

    house = Workspace(folder_of(workspace))
    house.discover()
    rows = [
        {
            "model": status.name,
            "alias": ", ".join(status.aliases),
            "usable": "yes" if status.usable else "no",
            "note": status.why,
            "input_usd_per_mtok": status.price.input_usd_per_mtok if status.price else None,
            "output_usd_per_mtok": status.price.output_usd_per_mtok if status.price else None,
            "simulated": "simulated" if status.simulated else "",
        }
        for status in house.models()
    ]
    print_rows(pd.DataFrame(rows), form)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="SQL that reads, in DuckDB's dialect; - reads it from standard input.")],
    form: FormOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Ask the ledger a question in SQL."""
    print_rows(ledger_of(workspace).sql(sys.stdin.read() if query == "-" else query), form)


@app.command()
def runs(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many of the last runs.")] = 20,
    pipelines: Annotated[bool, typer.Option("--pipelines", help="Of whole notebooks that ran headlessly.")] = False,
    form: FormOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """List the last runs: what they did, how they ended, what they cost."""
    if pipelines:
        list_pipelines(ledger_of(workspace).pipelines(limit), form_of(form))
        return
    rows = ledger_of(workspace).runs(limit)
    if form_of(form) == "table":
        rows = rows[list(RUN_COLUMNS)].rename(columns={"items_failed": "failed"})
    print_rows(rows, form)


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="The run's id, the beginning or the end of it, or: last.")],
    form: Annotated[
        Literal["table", "json"], typer.Option("--format", "-f", help="For people or for programs.")
    ] = "table",
    workspace: WorkspaceOption = None,
) -> None:
    """Tell what is known of one run: its steps, models, costs and errors."""
    import pandas as pd  # noqa: PLC0415

    details = ledger_of(workspace).run(run)
    told = {"steps": details.steps, "models": details.models, "errors": details.errors}
    facts = records(pd.DataFrame([details.run], dtype=object))[0]
    if form == "json":
        everything = {"run": facts, **{name: records(frame) for name, frame in told.items()}}
        put(as_json(everything))
        return
    source = facts.pop("source", "")
    print_rows(pd.DataFrame({"run": facts.keys(), facts.pop("run_id"): facts.values()}, dtype=object), "table")
    for name, frame in told.items():
        if len(frame):
            say(f"\n{name}\n")
            print_rows(frame, "table")
    say(f"\nsource\n\n{source.strip()}")


@app.command()
def why(
    request: Annotated[
        str, typer.Argument(help="A request's id, the beginning or the end of it; RUN:ITEM; last or last:ITEM.")
    ],
    workspace: WorkspaceOption = None,
) -> None:
    """Tell why a request was answered as it was: strategy, candidates, calls and outcome."""
    from orchestration_nb.notebook.reasons import reasons  # noqa: PLC0415 - loads IPython

    say("\n\n".join(reasons(ledger_of(workspace), request)))


@app.command()
def strategies(form: FormOption = None, workspace: WorkspaceOption = None) -> None:
    """List the strategies that can be named, and what each does."""
    import pandas as pd  # noqa: PLC0415

    from orchestration_nb.workspace import Workspace  # noqa: PLC0415

    rows = Workspace(folder_of(workspace)).strategies.listing()
    print_rows(pd.DataFrame(rows, columns=["strategy", "about"]), form)


@app.command()
def dashboard(
    html: Annotated[Path, typer.Option("--html", help="The file to write; it needs no kernel and no network.")],
    by: Annotated[str, typer.Option("--by", help="model, step, flow, strategy, all or tag:NAME.")] = "model",
    days: Annotated[int, typer.Option("--days", min=1, help="The last days, of 24 hours each.")] = 30,
    flow: Annotated[str | None, typer.Option("--flow", help="Only the calls of this flow.")] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Write spend, latency, errors and cache hits over time, runs and requests, as one HTML file."""
    from orchestration_nb.ledger import Scope  # noqa: PLC0415 - loads DuckDB and pandas
    from orchestration_nb.ledger.metrics import metric_grouping  # noqa: PLC0415
    from orchestration_nb.notebook.ledger_page import write_dashboard  # noqa: PLC0415

    scope = Scope(by=metric_grouping(by), days=days, flow=flow)
    size = write_dashboard(ledger_of(workspace), scope, html)
    say(f"{html} is written, {size / 1e6:.1f} MB.")


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Where the files go; made where it is missing.")],
    workspace: WorkspaceOption = None,
) -> None:
    """Write every table of the ledger to Parquet files."""
    for path in ledger_of(workspace).export(folder):
        say(str(path))


@app.command()
def prune(
    older_than: Annotated[int, typer.Option("--older-than", min=0, help="Days; what is older is deleted for good.")],
    workspace: WorkspaceOption = None,
) -> None:
    """Delete the runs, calls and texts that are older than so many days."""
    deleted = ledger_of(workspace).prune(older_than)
    say("Deleted: " + ", ".join(f"{count:,} {table}" for table, count in deleted.items()) + ".")


@app.command()
def status(form: ShowFormOption = "table", workspace: WorkspaceOption = None) -> None:
    """Tell how budgets, quotas, circuits and batches stand, over all processes of the workspace."""
    from orchestration_nb.notebook.standing import recorded_standing, standing_text  # noqa: PLC0415 - loads pandas

    tables = recorded_standing(workspace_of(workspace))
    if form == "json":
        told = {table.title: [dict(zip(table.header, row, strict=True)) for row in table.rows] for table in tables}
        put(as_json(told))
    else:
        say(standing_text(tables) or "No budget or quota is set, no circuit has opened, and no batch is under way.")


@app.command()
def trust(workspace: WorkspaceOption = None) -> None:
    """Trust the hosts that orchestrate.toml names, as it now stands."""
    folder = folder_of(workspace)
    from orchestration_nb.config import trust as trust_settings  # noqa: PLC0415 - loads pydantic

    path = folder / FILE_NAME
    if not path.is_file():
        raise UsageError(f"{folder} has no {FILE_NAME}, so there is nothing to trust.")
    trust_settings(folder)
    say(path.read_text(encoding="utf-8", errors="replace").rstrip())
    say(f"\n{path} is trusted as it stands above; when it changes, it has to be trusted again.")
