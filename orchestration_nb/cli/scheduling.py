"""Schedules: added, listed, paused, exported; and the service that begins what is due."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from orchestration_nb.cli.application import (
    FormOption,
    WorkspaceOption,
    app,
    folder_of,
    form_of,
    print_rows,
    put,
    say,
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
from orchestration_nb.clock import SystemClock
from orchestration_nb.config import load_settings
from orchestration_nb.errors import UsageError
from orchestration_nb.pages.figures import count

if TYPE_CHECKING:
    from orchestration_nb.pipelines.schedules import Schedule, ScheduleBook

schedules = typer.Typer(
    name="schedule", help="When notebooks run: add, list, pause, resume, remove, next, export.", no_args_is_help=True
)
app.add_typer(schedules)

NameArgument = Annotated[str, typer.Argument(help="The schedule's name.")]


@schedules.command()
def add(  # noqa: PLR0913, PLR0917 - a flag for each rule of a schedule
    notebook: Annotated[Path, typer.Argument(help="The notebook, which lies in the workspace.")],
    cron: Annotated[str, typer.Option("--cron", help='Five fields, such as "0 6 * * 1-5", or @daily.')],
    tz: Annotated[str, typer.Option("--tz", help="The time zone that it is meant in, such as Europe/Berlin.")] = "UTC",
    name: Annotated[str | None, typer.Option("--name", help="Its name; otherwise the notebook's.")] = None,
    catch_up: Annotated[
        Literal["none", "last", "all"],
        typer.Option("--catch-up", help="What is made up for of that which came due while no scheduler ran."),
    ] = "none",
    overlap: Annotated[
        Literal["skip", "queue", "allow"],
        typer.Option("--overlap", help="What comes due while the run before is under way: left out, kept, or run."),
    ] = "skip",
    retries: RetriesFlag = 0,
    jitter: Annotated[float, typer.Option("--jitter", min=0, help="Begin later by up to so many seconds.")] = 0,
    parameter: ParameterFlag = None,
    params: ParamsFlag = None,
    budget: BudgetFlag = None,
    timeout: TimeoutFlag = None,
    secret: SecretFlag = None,
    tag: TagFlag = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Run a notebook at the times of a cron expression; `orchestrate scheduler` is the service that does it."""
    from orchestration_nb.pipelines.schedules import Schedule, named_values, within  # noqa: PLC0415

    folder = folder_of(workspace)
    schedule = Schedule(
        name=name or notebook.stem,
        notebook=within(folder, notebook, "notebook"),
        cron=cron,
        zone=tz,
        catch_up=catch_up,
        overlap=overlap,
        retries=retries,
        jitter_s=jitter,
        parameters=tuple(parameter or ()),
        params_file=within(folder, params, "file of parameters") if params else None,
        budget_usd=budget,
        timeout_s=timeout,
        secrets=named_values(secret or [], "--secret"),
        tags=named_values(tag or [], "--tag"),
    )
    _book(workspace).add(schedule)
    say(f"{schedule.name}: {schedule.words}; next due {_next_due(schedule)}.")
    say("`orchestrate scheduler` begins what is due.")


@schedules.command("list")
def list_(form: FormOption = None, workspace: WorkspaceOption = None) -> None:
    """List the schedules: what runs when, what is next, and how the last run went."""
    import pandas as pd  # noqa: PLC0415

    from orchestration_nb.pipelines.overview import COLUMNS, overview  # noqa: PLC0415 - loads DuckDB and pandas

    rows = overview(_book(workspace))
    if rows or form_of(form) != "table":
        print_rows(pd.DataFrame(rows, columns=list(COLUMNS)), form)
    else:
        say("There is no schedule. `orchestrate schedule add NOTEBOOK --cron ...` makes one.")


@schedules.command()
def pause(name: NameArgument, workspace: WorkspaceOption = None) -> None:
    """Let no run of a schedule begin until it is resumed; what runs goes on."""
    _book(workspace).pause(name)
    say(f"{name} is paused.")


@schedules.command("resume")
def resume_(name: NameArgument, workspace: WorkspaceOption = None) -> None:
    """Let a paused schedule go on from now."""
    book = _book(workspace)
    book.resume(name)
    say(f"{name} goes on; next due {_next_due(book.named(name).schedule)}.")


@schedules.command()
def remove(name: NameArgument, workspace: WorkspaceOption = None) -> None:
    """Forget a schedule; its past runs stay in the ledger, and one that is under way is not stopped."""
    _book(workspace).remove(name)
    say(f"{name} is removed.")


@schedules.command("next")
def next_(
    name: NameArgument,
    count: Annotated[int, typer.Argument(metavar="[N]", min=1, max=1000, help="How many.")] = 5,
    workspace: WorkspaceOption = None,
) -> None:
    """Tell when a schedule is due next, in its own time zone and in UTC."""
    from orchestration_nb.pipelines.scheduler import shown  # noqa: PLC0415

    schedule = _book(workspace).named(name).schedule
    moments = schedule.due_times().every_after(SystemClock().now())
    for due, _ in zip(moments, range(count), strict=False):
        say(f"{shown(due, schedule)}  ({due:%Y-%m-%d %H:%M} UTC)")


@schedules.command("export")
def export_(
    name: NameArgument,
    to: Annotated[
        Literal["airflow", "k8s", "systemd", "cron", "github-actions"],
        typer.Option("--to", help="The engine that is to run it."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="The file to write; for several files a folder. Otherwise printed.")
    ] = None,
    image: Annotated[
        str | None, typer.Option("--image", help="For k8s: the container image that holds this package.")
    ] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Write a schedule as what another engine runs natively, with the same rules; what it cannot keep is said."""
    from orchestration_nb.pipelines.exporting import export_schedule, write_files  # noqa: PLC0415

    folder = folder_of(workspace)
    if image is not None and to != "k8s":
        raise UsageError("--image is for --to k8s.")
    files = export_schedule(
        _book(workspace).named(name).schedule, to, folder=folder, now=SystemClock().now(), image=image
    )
    if out is None:
        put("\n".join(files.values()))
        return
    for path in write_files(files, out):
        say(str(path))


@app.command()
def watch(workspace: WorkspaceOption = None) -> None:
    """Raise an alert for each scheduled run that has not begun by its time and the grace of [watch].

    For a cron job or a monitor beside the schedulers: exit code 1 where a run is newly missing, 0 otherwise.
    """
    from orchestration_nb.pipelines.overdue import overdue  # noqa: PLC0415 - loads DuckDB and pandas
    from orchestration_nb.pipelines.schedules import ScheduleBook  # noqa: PLC0415
    from orchestration_nb.pipelines.watch import missing  # noqa: PLC0415

    folder = folder_of(workspace)
    if "watch" not in load_settings(folder).model_fields_set:
        raise UsageError(f"{folder} watches nothing.", hint="Write [watch] into orchestrate.toml.")
    said = missing(folder, overdue(ScheduleBook(folder)))
    say(said or "No scheduled run is missing that was not told of before.")
    raise typer.Exit(1 if said else 0)


@app.command()
def scheduler(workspace: WorkspaceOption = None) -> None:
    """Begin what is due, until SIGTERM or Ctrl-C; then its runs are asked to cancel and are booked.

    Any number of these on one workspace begin each run once; where one is killed, the others take over.
    """
    from orchestration_nb.pipelines.launching import ProcessLauncher  # noqa: PLC0415
    from orchestration_nb.pipelines.scheduler import Scheduler  # noqa: PLC0415
    from orchestration_nb.state.owners import Owners  # noqa: PLC0415

    folder = folder_of(workspace)
    book, owners = _book(workspace), Owners(folder)
    try:
        names = [each.schedule.name for each in book.listed()]
        _tell(
            f"{count(len(names), 'schedule')} of {folder}: {', '.join(names)}."
            if names
            else f"{folder} has no schedule yet."
        )
        asyncio.run(Scheduler(book, ProcessLauncher(folder), owners, _tell).serve())
        _tell("Ended.")
    finally:
        owners.close()
        book.close()


def _book(workspace: Path | None) -> ScheduleBook:
    from orchestration_nb.pipelines.schedules import ScheduleBook  # noqa: PLC0415 - only these commands need it

    return ScheduleBook(folder_of(workspace))


def _next_due(schedule: Schedule) -> str:
    from orchestration_nb.pipelines.scheduler import shown  # noqa: PLC0415

    return shown(schedule.due_times().after(SystemClock().now()), schedule)


def _tell(line: str) -> None:
    say(f"{SystemClock().now():%Y-%m-%d %H:%M:%S} UTC  {line}")
