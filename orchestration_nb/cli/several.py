"""Several notebooks at once, or a graph of them: a line each, and the worst exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import typer

from orchestration_nb.cli.application import put, say
from orchestration_nb.cli.narrating import money
from orchestration_nb.errors import UsageError
from orchestration_nb.pages.figures import span
from orchestration_nb.pipelines.options import RunOptions
from orchestration_nb.terminal import as_json, printable
from orchestration_nb.whence import find_workspace


def run_several(
    notebooks: Sequence[Path], dag: str | None, options: RunOptions, *, parallel: int, in_json: bool
) -> NoReturn:
    """Runs them, and leaves with the worst exit code.

    Raises:
        UsageError: If there is nothing to run, or it cannot be run so.
        typer.Exit: At the end.
    """
    from orchestration_nb.pipelines.many import run_dag, run_many  # noqa: PLC0415 - one notebook needs none of it

    watcher = None if in_json else _Lines()
    if dag is not None:
        if notebooks:
            raise UsageError("A graph of notebooks names them itself.", hint="Leave the notebooks or --dag away.")
        done = run_dag(dag, folder=find_workspace(Path.cwd()), parallel=parallel, options=options, watcher=watcher)
    elif notebooks:
        done = run_many(notebooks, parallel=parallel, options=options, watcher=watcher)
    else:
        raise UsageError("Which notebook is to be run?", hint="Name one or more, or a graph of them with --dag.")
    if in_json:
        told: dict[str, Any] = {"exit_code": done.exit_code, "dag": done.dag, "notebooks": [*map(_plain, done.ended)]}
        put(as_json(told))
    elif done.dag is not None:
        say(f"The ledger has them under dag = '{done.dag}'.")
    raise typer.Exit(done.exit_code)


def _plain(one: Any) -> dict[str, Any]:
    told = asdict(one)
    return {**told, **told.pop("spent"), "copy": None if one.copy is None else str(one.copy)}


class _Lines:
    """Prints a line a notebook, when it has ended."""

    def starts(self, name: str) -> None:
        """Nothing: what runs is told when it has ended."""

    def ended(self, one: Any) -> None:
        """One line: how, after how long, what it cost, and why where it is not done."""
        parts = [f"{one.status}, {span(one.seconds)}" if one.seconds else one.status, money(one.spent)]
        said = " · ".join(filter(None, parts))
        tail = one.because if one.exit_code else str(one.copy)
        put(printable(f"{one.name}  {said}  {tail}").replace("\n", " ").rstrip() + "\n")
