"""Notebooks run headlessly and gone on with, and the batches that runs leave at their providers."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Literal

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
    say,
    workspace_of,
)
from orchestration_nb.errors import UsageError
from orchestration_nb.pipelines import (
    EXIT_CODES,
    CellEnded,
    NotebookRun,
    RunOptions,
    Unwatched,
    resumed_run,
    run_notebook,
)
from orchestration_nb.state.batches import BatchRow
from orchestration_nb.terminal import printable

OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="Folder of the executed copy; otherwise .orchestrate/runs, which only you can read."),
]


@app.command()
def run(
    notebook: Annotated[Path, typer.Argument(help="The notebook; it is only read.")], out: OutOption = None
) -> None:
    """Run a notebook from top to bottom with nobody to ask; a copy with its outputs is kept.

    Exit codes: 0 done, 1 a cell failed, 2 wrong usage, 3 a budget that rejects was reached, 4 a run waits for its
    budget to be raised (`orchestrate resume`), 130 cancelled.
    """
    _leave(run_notebook(notebook, options=RunOptions(out=out), watcher=_Narrator()))


@app.command()
def resume(
    run: Annotated[str, typer.Argument(help="The run's id, the beginning or the end of it, or: last.")],
    budget: Annotated[
        float | None, typer.Option("--budget", min=0, help="The new budget in US dollars, what is spent included.")
    ] = None,
    out: OutOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Go on with a run of a notebook: the notebook is run again, and what was answered is not paid twice.

    The run goes on under the budget of the one it resumes. Exit codes as for `orchestrate run`.
    """
    found = resumed_run(ledger_of(workspace), folder_of(workspace), run)
    say(found.sentence(budget))
    environ = {"ORCHESTRATE_RESUME": found.variable(budget)}
    _leave(run_notebook(found.notebook, options=RunOptions(out=out), watcher=_Narrator(), environ=environ))


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


class _Narrator(Unwatched):
    """Prints a line a cell, and the account of each run."""

    def begins(self, number: int, total: int, title: str) -> None:
        sys.stdout.write(printable(f"[{number}/{total}] {title[:100]}").replace("\n", " "))
        sys.stdout.flush()

    def ended(self, cell: CellEnded) -> None:
        sys.stdout.write(f"  {'failed' if cell.error_type else 'ok'}, {cell.seconds:.1f} s\n")
        for text in cell.accounts:
            say(f"\n{text}\n")
        if cell.error_type:
            sys.stderr.write(f"{printable(cell.error)}\n")
        sys.stdout.flush()


def _leave(done: NotebookRun) -> None:
    say(f"{done.status}: {done.copy}")
    raise typer.Exit(EXIT_CODES[done.status])
