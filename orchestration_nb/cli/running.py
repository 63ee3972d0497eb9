"""Notebooks run headlessly and gone on with, and the batches that runs leave at their providers."""

from __future__ import annotations

import os
import sys
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from orchestration_nb.cli.application import (
    FormOption,
    WorkspaceOption,
    app,
    folder_of,
    form_of,
    ledger_of,
    print_rows,
    print_texts,
    put,
    say,
    workspace_of,
)
from orchestration_nb.cli.flags import (
    BudgetFlag,
    ParameterFlag,
    ParamsFlag,
    RetriesFlag,
    SecretFlag,
    TagFlag,
    TimeoutFlag,
)
from orchestration_nb.cli.narrating import narrator_for
from orchestration_nb.cli.several import run_several
from orchestration_nb.config import find_workspace
from orchestration_nb.errors import UsageError
from orchestration_nb.pipelines import EXIT_CODES, NotebookRun, RunOptions, run_notebook
from orchestration_nb.pipelines.as_json import run_as_json
from orchestration_nb.pipelines.references import parse_references
from orchestration_nb.pipelines.values import Typed, read_file, read_pairs
from orchestration_nb.terminal import as_json, printable, records

if TYPE_CHECKING:
    from orchestration_nb.ledger import Ledger
    from orchestration_nb.pipelines.launching import Enrolled

OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="Folder of the executed copy; otherwise .orchestrate/runs, which only you can read."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object at the end, and nothing else.")]


@app.command()
def run(  # noqa: PLR0913, PLR0917 - a flag for each option of a run
    notebooks: Annotated[
        list[Path] | None, typer.Argument(metavar="NOTEBOOK...", help="The notebooks; they are only read.")
    ] = None,
    parameter: ParameterFlag = None,
    params: ParamsFlag = None,
    budget: BudgetFlag = None,
    timeout: TimeoutFlag = None,
    cell_timeout: Annotated[float | None, typer.Option("--cell-timeout", help="The most seconds for a cell.")] = None,
    retries: RetriesFlag = 0,
    out: OutOption = None,
    tag: TagFlag = None,
    secret: SecretFlag = None,
    resume: Annotated[
        str | None, typer.Option("--resume", help="A pipeline run to go on with: its id, or last.")
    ] = None,
    models: Annotated[Literal["sim"] | None, typer.Option("--models", help="sim: every model is simulated.")] = None,
    schedule: Annotated[str | None, typer.Option("--schedule", hidden=True)] = None,
    due: Annotated[datetime | None, typer.Option("--due", hidden=True, formats=["%Y-%m-%dT%H:%M:%S%z"])] = None,
    again: Annotated[bool, typer.Option("--again", hidden=True)] = False,
    parallel: Annotated[
        int | None, typer.Option("--parallel", min=1, help="How many notebooks run at once; 1 unless given.")
    ] = None,
    dag: Annotated[
        str | None, typer.Option("--dag", help="Run the graph of notebooks of that name, [dags.NAME.NODE].")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Run a notebook from top to bottom with nobody to ask; a copy with its outputs is kept.

    Of several notebooks, or a graph of them, each runs in a process of its own and is told in a line; the exit code is
    the worst of them. Exit codes: 0 done, 1 a cell failed, 2 wrong usage, 3 a budget that rejects was reached, 4 a run
    waits for its budget to be raised (`orchestrate resume`), 130 cancelled.
    """
    typed = {name: Typed(text) for name, text in read_pairs(parameter or ()).items()}
    due_at = due.astimezone(UTC).replace(tzinfo=None) if due else None
    options = RunOptions(
        parameters={**(read_file(params) if params else {}), **typed},
        secrets=parse_references(secret or ()),
        budget_usd=budget,
        timeout_s=timeout,
        cell_timeout_s=cell_timeout,
        retries=retries,
        out=out,
        tags=read_pairs(tag or (), what="--tag"),
        models=models,
        resumes=resume,
        schedule=schedule,
        due_at=due_at,
        dag=os.environ.get("ORCHESTRATE_DAG"),
    )
    named = notebooks or []
    if dag is not None or parallel is not None or len(named) != 1:
        run_several(named, dag, options, parallel=parallel or 1, in_json=json)
    elif schedule is None:
        _run(named[0], options, in_json=json)
    else:
        _run_due(named[0], options, in_json=json, again=again)


def _run_due(notebook: Path, options: RunOptions, *, in_json: bool, again: bool) -> None:
    """Runs it for a schedule, while the claim holds for which it was begun."""
    from orchestration_nb.pipelines.launching import enrolled  # noqa: PLC0415

    folder = find_workspace(notebook.resolve().parent)
    with enrolled(folder) as due_run:
        if again and options.due_at is not None:
            options = _going_on(folder, options, due_run)
        _run(notebook, options, in_json=in_json, due_run=due_run)


def _going_on(folder: Path, options: RunOptions, due_run: Enrolled) -> RunOptions:
    """The options with the run of the same due time that is gone on with; leaves where that one has ended."""
    from orchestration_nb.pipelines.launching import last_pipeline, status_of_code  # noqa: PLC0415

    assert options.schedule is not None
    assert options.due_at is not None
    pipeline, code = last_pipeline(folder, options.schedule, options.due_at)
    if code is not None:
        due_run.status = status_of_code(code)
        say(f"The run of this due time has ended already: {due_run.status}.")
        raise typer.Exit(code)
    return replace(options, resumes=pipeline)


@app.command()
def inspect(
    notebook: Annotated[Path, typer.Argument(help="The notebook; it is only read.")], form: FormOption = None
) -> None:
    """List the parameters of a notebook: name, type, default, and what its comment says."""
    import pandas as pd  # noqa: PLC0415

    from orchestration_nb.pipelines.files import read_notebook  # noqa: PLC0415 - loads nbformat
    from orchestration_nb.pipelines.parameters import declared  # noqa: PLC0415

    found = declared(read_notebook(notebook))
    columns = ["name", "type", "default", "comment"]
    rows = [[one.name, one.kind.text, one.default or None, one.comment] for one in found or ()]
    if form_of(form) != "table" or rows:
        print_rows(pd.DataFrame(rows, columns=columns), form)
    elif found is None:
        say(f"{notebook} has no cell tagged `parameters`: it takes any, in a new cell at its top.")
    else:
        say(f"The parameters cell of {notebook} declares none.")


@app.command()
def resume(
    run: Annotated[str, typer.Argument(help="The id of a run or pipeline run, the beginning or end of it, or: last.")],
    budget: Annotated[
        float | None, typer.Option("--budget", min=0, help="The new budget in US dollars, what is spent included.")
    ] = None,
    out: OutOption = None,
    json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Go on with a run of a notebook: the notebook is run again, and what was answered is not paid twice.

    The run goes on under the budget of the one it resumes, with its parameters. Exit codes as for `orchestrate run`.
    """
    from orchestration_nb.pipelines.chain import notebook_of  # noqa: PLC0415
    from orchestration_nb.pipelines.resuming import resumed_run  # noqa: PLC0415 - loads what reckons budgets

    ledger, folder = ledger_of(workspace), folder_of(workspace)
    pipeline = _pipeline(ledger, run)
    if pipeline is not None:
        options = RunOptions(out=out, budget_usd=budget, resumes=pipeline["pipeline_id"])
        _run(notebook_of(pipeline, folder), options, in_json=json)
    found = resumed_run(ledger, folder, run)
    if not json:
        say(found.sentence(budget))
    row = records(ledger.sql("select pipeline_id from runs where run_id = ?", [found.run_id]))[0]
    environ = {"ORCHESTRATE_RESUME": found.variable(budget)}
    options = RunOptions(out=out, resumes=row["pipeline_id"], even_if_done=True)  # done, and yet rows of it failed
    _run(found.notebook, options, in_json=json, environ=environ)


def _pipeline(ledger: Ledger, name: str) -> dict[str, Any] | None:
    """The pipeline run that is meant; ``None``: a run of a flow is, which ``last`` always means."""
    from orchestration_nb.pipelines.chain import find_pipeline  # noqa: PLC0415

    if name == "last":
        return None
    try:
        return find_pipeline(ledger, name)
    except UsageError:
        return None


def _run(
    notebook: Path,
    options: RunOptions,
    *,
    in_json: bool,
    environ: dict[str, str] | None = None,
    due_run: Enrolled | None = None,
) -> None:
    narrator = narrator_for(sys.stdout, silent=in_json)
    try:
        done = run_notebook(notebook, options=options, watcher=narrator, environ=environ)
    finally:
        narrator.close()
    if due_run is not None:
        due_run.status = done.status
    _leave(done, in_json=in_json)


@app.command()
def batches(
    action: Annotated[Literal["cancel"] | None, typer.Argument(help="cancel, to cancel one at its provider.")] = None,
    batch: Annotated[str | None, typer.Argument(help="Which: how it begins is enough.")] = None,
    form: FormOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """List the batches under way at their providers, or cancel one there."""
    import pandas as pd  # noqa: PLC0415

    from orchestration_nb.notebook.standing import NO_BATCH, batches_table  # noqa: PLC0415 - loads pandas
    from orchestration_nb.state.batches import BatchRow  # noqa: PLC0415

    house = workspace_of(workspace)
    if action is not None:
        if batch is None:
            raise UsageError("Which batch is to be cancelled?", hint="`orchestrate batches` lists them.")
        say(house.cancel_batch(batch))
        return
    rows = house.batches_under_way()
    if form_of(form) != "table":
        names = [field.name for field in fields(BatchRow) if field.name != "owner"]
        print_rows(pd.DataFrame([[getattr(row, name) for name in names] for row in rows], columns=names), form)
    elif rows:
        table = batches_table(rows)
        print_texts(table.header, table.rows)
    else:
        say(NO_BATCH)


def _leave(done: NotebookRun, *, in_json: bool) -> None:
    if in_json:
        put(as_json(run_as_json(done)))
    else:
        if done.error and not (done.cells and done.cells[-1].error_type):
            put(f"{printable(done.error)}\n", sys.stderr)  # what no cell has said
        if done.report is not None:
            say(f"report: {done.report}")
        say(f"{done.status}: {done.copy}")
    raise typer.Exit(EXIT_CODES[done.status])
