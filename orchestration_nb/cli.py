"""The command line: ``orchestrate``, and the same as ``jupyter orchestrate``.

Each command parses its arguments and delegates; what models and prompts say reaches the terminal escaped.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from orchestration_nb import __version__
from orchestration_nb.config import FILE_NAME, find_workspace
from orchestration_nb.config import trust as trust_settings
from orchestration_nb.errors import OrchestrationError, UsageError
from orchestration_nb.pipelines import EXIT_CODES, CellEnded, NotebookRun, resumed_run, run_notebook
from orchestration_nb.state import FOLDER_NAME
from orchestration_nb.terminal import Form, as_json, printable, records, write

if TYPE_CHECKING:
    import pandas as pd

    from orchestration_nb.ledger import Ledger
    from orchestration_nb.workspace import Workspace

app = typer.Typer(
    name="orchestrate",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace", "-w", help="A folder of the workspace; otherwise found from the current folder upward."
    ),
]
FormOption = Annotated[
    Form | None,
    typer.Option("--format", "-f", help="How rows are written; otherwise table in a terminal, csv in a pipe or file."),
]
ShowFormOption = Annotated[
    Literal["table", "json"], typer.Option("--format", "-f", help="Tables for people, or json for programs.")
]

RUN_COLUMNS = ("run_id", "flow", "status", "started_at", "items", "items_failed", "calls", "cost_usd")
"""What people see of a run in the list; the other forms have it all."""


def main() -> int:
    """Runs the command line and returns its exit code.

    0 done, 1 failed, 2 wrong usage, 3 a budget that rejects, 4 waiting for a person to raise one, 130 cancelled.
    """
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        return app(standalone_mode=False) or 0
    except typer.Abort:
        return 130
    except OrchestrationError as error:
        _complain(str(error), error.hint)
        return 2 if isinstance(error, UsageError) else 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever reads, e.g. `head`, has had enough
        return 0
    except Exception as error:  # noqa: BLE001 - the edge of the command: no traceback reaches the user
        if hasattr(error, "format_message"):  # typer's own: an unknown command, a missing argument
            _complain(
                error.format_message(),
                "`orchestrate --help` lists the commands and `orchestrate COMMAND --help` what they take.",
            )
            return 2
        _complain(f"{type(error).__name__}: {error}", "This is a mistake of the package, please report it.")
        return 1


def _complain(sentence: str, hint: str) -> None:
    """One line that says what is wrong, and one that says how to mend it."""
    lines = [f"Error: {sentence}", hint] if hint else [f"Error: {sentence}"]
    sys.stderr.write("".join(f"{printable(line)}\n" for line in lines))


def _say(text: str) -> None:
    sys.stdout.write(printable(text) + "\n")


def _print(frame: pd.DataFrame, form: Form | None) -> None:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    sys.stdout.write(write(frame, _form(form), width=width))


def _form(asked: Form | None) -> Form:
    return asked or ("table" if sys.stdout.isatty() else "csv")


def _folder(start: Path | None) -> Path:
    if start is not None and not start.is_dir():
        raise UsageError(f"There is no folder {str(start)!r}.")
    return find_workspace(start or Path.cwd())


def _ledger(start: Path | None) -> Ledger:
    from orchestration_nb.ledger import Ledger  # noqa: PLC0415 - loads DuckDB and pandas

    folder = _folder(start)
    if not (folder / FILE_NAME).exists() and not (folder / FOLDER_NAME).exists():
        raise UsageError(
            f"Nothing was run in {folder} yet.",
            hint="Go to the folder of the notebook, or name it with --workspace.",
        )
    return Ledger(folder)


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and leave.")] = False,
) -> None:
    """Ask the workspace of the current folder: its models, its runs, its ledger."""
    if version:
        _say(f"orchestration_nb {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        _say(context.get_help())


@app.command()
def models(form: FormOption = None, workspace: WorkspaceOption = None) -> None:
    """List the models that can be asked now, and why the others cannot."""
    import pandas as pd  # noqa: PLC0415

    from orchestration_nb.workspace import Workspace  # noqa: PLC0415

    house = Workspace(_folder(workspace))
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
    _print(pd.DataFrame(rows), form)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="SQL that reads, in DuckDB's dialect; - reads it from standard input.")],
    form: FormOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Ask the ledger a question in SQL."""
    _print(_ledger(workspace).sql(sys.stdin.read() if query == "-" else query), form)


@app.command()
def runs(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many of the last runs.")] = 20,
    form: FormOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """List the last runs: what they did, how they ended, what they cost."""
    rows = _ledger(workspace).runs(limit)
    if _form(form) == "table":
        rows = rows[list(RUN_COLUMNS)].rename(columns={"items_failed": "failed"})
    _print(rows, form)


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

    details = _ledger(workspace).run(run)
    told = {"steps": details.steps, "models": details.models, "errors": details.errors}
    facts = records(pd.DataFrame([details.run], dtype=object))[0]
    if form == "json":
        everything = {"run": facts, **{name: records(frame) for name, frame in told.items()}}
        sys.stdout.write(as_json(everything))
        return
    source = facts.pop("source", "")
    _print(pd.DataFrame({"run": facts.keys(), facts.pop("run_id"): facts.values()}, dtype=object), "table")
    for name, frame in told.items():
        if len(frame):
            _say(f"\n{name}\n")
            _print(frame, "table")
    _say(f"\nsource\n\n{source.strip()}")


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Where the files go; made where it is missing.")],
    workspace: WorkspaceOption = None,
) -> None:
    """Write every table of the ledger to Parquet files."""
    for path in _ledger(workspace).export(folder):
        _say(str(path))


@app.command()
def prune(
    older_than: Annotated[int, typer.Option("--older-than", min=0, help="Days; what is older is deleted for good.")],
    workspace: WorkspaceOption = None,
) -> None:
    """Delete the runs, calls and texts that are older than so many days."""
    deleted = _ledger(workspace).prune(older_than)
    _say("Deleted: " + ", ".join(f"{count:,} {table}" for table, count in deleted.items()) + ".")


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
    _leave(run_notebook(notebook, watcher=_Narrator(), out=out))


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
    found = resumed_run(_ledger(workspace), _folder(workspace), run)
    _say(found.sentence(budget))
    environ = {"ORCHESTRATE_RESUME": found.variable(budget)}
    _leave(run_notebook(found.notebook, watcher=_Narrator(), out=out, environ=environ))


@app.command()
def status(form: ShowFormOption = "table", workspace: WorkspaceOption = None) -> None:
    """Tell how budgets, quotas, circuits and batches stand, over all processes of the workspace."""
    from orchestration_nb.notebook.standing import recorded_standing, standing_text  # noqa: PLC0415 - loads pandas
    from orchestration_nb.workspace import Workspace  # noqa: PLC0415

    _ledger(workspace)  # refuses a folder where nothing was run
    tables = recorded_standing(Workspace(_folder(workspace)))
    if form == "json":
        told = {table.title: [dict(zip(table.header, row, strict=True)) for row in table.rows] for table in tables}
        sys.stdout.write(as_json(told))
    else:
        _say(standing_text(tables) or "No budget or quota is set, no circuit has opened, and no batch is under way.")


class _Narrator:
    """Prints a line a cell, and the account of each run."""

    def begins(self, number: int, total: int, title: str) -> None:
        sys.stdout.write(printable(f"[{number}/{total}] {title[:100]}").replace("\n", " "))
        sys.stdout.flush()

    def ended(self, cell: CellEnded) -> None:
        sys.stdout.write(f"  {'failed' if cell.error_type else 'ok'}, {cell.seconds:.1f} s\n")
        for text in cell.accounts:
            _say(f"\n{text}\n")
        if cell.error_type:
            sys.stderr.write(f"{printable(cell.error)}\n")
        sys.stdout.flush()


def _leave(done: NotebookRun) -> None:
    _say(f"{done.status}: {done.copy}")
    raise typer.Exit(EXIT_CODES[done.status])


@app.command()
def trust(workspace: WorkspaceOption = None) -> None:
    """Trust the hosts that orchestrate.toml names, as it now stands."""
    folder = _folder(workspace)
    path = folder / FILE_NAME
    if not path.is_file():
        raise UsageError(f"{folder} has no {FILE_NAME}, so there is nothing to trust.")
    trust_settings(folder)
    _say(path.read_text(encoding="utf-8", errors="replace").rstrip())
    _say(f"\n{path} is trusted as it stands above; when it changes, it has to be trusted again.")


@app.command()
def spend(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[by] model|step|flow|user|day|notebook|tag:NAME")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, help="The last days, today included.")] = 30,
    form: FormOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Tell where the money went, and how fast each budget burns."""
    from orchestration_nb.ledger import grouping  # noqa: PLC0415 - loads DuckDB and pandas
    from orchestration_nb.spending import BURN_HEADER, burn_rows, headline, shown_columns, spending  # noqa: PLC0415

    found = spending(_workspace(workspace), grouping(words or ()), days)
    told = found.spend
    if _form(form) == "csv":
        _print(told.rows, "csv")
        return
    if form == "json":
        facts = {"by": told.by, "since": told.since, "simulated": told.simulated, "rows": records(told.rows)}
        budgets = {"budgets": [asdict(burn) for burn in found.burns], "alerts": records(told.alerts)}
        sys.stdout.write(as_json(facts | budgets))
        return
    _say("\n".join(headline(found)) + "\n")
    if len(told.rows):
        _print(told.rows[shown_columns(told)].rename(columns={"unknown_usd": "maybe_billed_usd"}), "table")
    if found.burns:
        _say("")
        _print_texts(BURN_HEADER, burn_rows(found.burns))
    for alert in told.alerts.itertuples():
        _say(f"{alert.raised_at:%Y-%m-%d %H:%M}  {alert.message}")


def _usd(flag: str) -> Any:
    return typer.Option(flag, min=0, help="US dollars per million tokens.")


@app.command()
def reprice(  # noqa: PLR0913, PLR0917 - a flag for each class of tokens
    model: Annotated[str, typer.Argument(help="The model whose price was wrong: provider/name.")],
    since: Annotated[str | None, typer.Option("--since", help="Calls that began then or later (UTC).")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Calls that began before (UTC).")] = None,
    input_: Annotated[float | None, _usd("--input")] = None,
    output: Annotated[float | None, _usd("--output")] = None,
    cached: Annotated[float | None, _usd("--cached")] = None,
    cache_write: Annotated[float | None, _usd("--cache-write")] = None,
    reasoning: Annotated[float | None, _usd("--reasoning")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Reckon past calls anew when a price was wrong; without prices, with those that hold now."""
    from orchestration_nb import spending  # noqa: PLC0415 - loads DuckDB and pandas

    house = _workspace(workspace)
    wanted = spending.PriceToMend(
        model=model,
        since=spending.moment(since) if since else None,
        until=spending.moment(until) if until else None,
        paid={
            "input_usd_per_mtok": input_,
            "output_usd_per_mtok": output,
            "cached_usd_per_mtok": cached,
            "cache_write_usd_per_mtok": cache_write,
            "reasoning_usd_per_mtok": reasoning,
        },
    )
    events = wanted.corrections(house)
    changes = house.ledger.changes(events)
    if changes.calls:
        _print_texts(spending.REPRICING_HEADER, spending.repricing_rows(changes))
    _say("\n".join(spending.repricing_sentences(events, changes)))
    if not changes.calls:
        return
    if not yes and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("Nothing was changed.", hint="Add --yes where nobody can be asked.")
    if yes or typer.confirm("Change them?"):
        house.ledger.reprice(events)
        _say(f"Done. {spending.BUDGETS_KEEP}")
    else:
        _say("Nothing was changed.")


def _workspace(start: Path | None) -> Workspace:
    from orchestration_nb.workspace import Workspace  # noqa: PLC0415

    _ledger(start)  # refuses a folder where nothing was run
    return Workspace(_folder(start))


def _print_texts(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    import pandas as pd  # noqa: PLC0415

    _print(pd.DataFrame(rows, columns=list(header)), "table")


if __name__ == "__main__":
    sys.exit(main())
