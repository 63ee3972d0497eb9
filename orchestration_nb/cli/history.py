"""Headless runs that ended: the list of them, the report of one, and two side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from orchestration_nb.cli.application import (
    ShowFormOption,
    WorkspaceOption,
    app,
    folder_of,
    ledger_of,
    print_rows,
    print_texts,
    put,
    say,
)
from orchestration_nb.ledger.pipelines import Row
from orchestration_nb.terminal import Form, as_json

RunArgument = Annotated[str, typer.Argument(help="A headless run: its id, the beginning or the end of it, or: last.")]


@app.command()
def report(
    run: RunArgument = "last",
    out: Annotated[
        Path | None, typer.Option("--out", help="The file to write; otherwise beside the executed notebook.")
    ] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Write what a headless run did, found and cost as one HTML file that needs no network."""
    from orchestration_nb.pipelines.report import write_report  # noqa: PLC0415 - loads plotly and nbformat

    say(f"{write_report(ledger_of(workspace), run, workspace=folder_of(workspace), path=out)} is written.")


@app.command()
def diff(
    left: RunArgument, right: RunArgument, form: ShowFormOption = "table", workspace: WorkspaceOption = None
) -> None:
    """Show what two headless runs differ in: cells, parameters, models, and paired quality, cost and latency."""
    from orchestration_nb.lookback.diff import diff as compare  # noqa: PLC0415 - loads DuckDB
    from orchestration_nb.lookback.words import diff_sentences, diff_tables  # noqa: PLC0415

    found = compare(ledger_of(workspace), left, right, workspace=folder_of(workspace))
    if form == "json":
        facts = {"left": found.left.run, "right": found.right.run, "cells": [asdict(cell) for cell in found.cells]}
        changes = {"settings": [asdict(one) for one in found.settings], "models": [asdict(one) for one in found.models]}
        differences = [asdict(one) | {"difference": one.difference} for one in found.differences]
        put(as_json(facts | changes | {"differences": differences}))
        return
    say("\n".join(diff_sentences(found)))
    for table in diff_tables(found):
        say(f"\n{table.title}\n")
        print_texts(table.header, table.rows)


def list_pipelines(runs: Sequence[Row], form: Form) -> None:
    """Prints headless runs, newest first."""
    import pandas as pd  # noqa: PLC0415

    from orchestration_nb.lookback.words import HISTORY_HEADER, history_rows  # noqa: PLC0415 - loads DuckDB

    if form == "table":
        print_texts(HISTORY_HEADER, history_rows(runs))
    else:
        print_rows(pd.DataFrame([dict(row) for row in runs]), form)
