"""``%orchestrate status``, ``pause``, ``resume`` and ``cancel``: the runs under way, and what may hold them up."""

from __future__ import annotations

import difflib
from typing import Final

from IPython.display import display

from orchestration_nb.errors import UsageError
from orchestration_nb.flows import Flow
from orchestration_nb.notebook.arguments import near_miss, read_money, words_of
from orchestration_nb.notebook.asking import RUN_BUDGET
from orchestration_nb.notebook.formatters import run_bundle
from orchestration_nb.notebook.session import Session, is_under_way
from orchestration_nb.notebook.standing import NO_BATCH, batches_table, standing_bundle, standing_of
from orchestration_nb.runs import Run
from orchestration_nb.terminal import printable
from orchestration_nb.workspace import Workspace

BATCHES_USAGE: Final = "batches [cancel BATCH]"
_BUDGET: Final = "--budget"


def show_status(session: Session, _rest: str) -> None:
    """Shows the runs in the background and those under way, and how budgets, circuits, limits and batches stand."""
    shown = _runs_here(session)
    for run in shown:
        display(run_bundle(run), raw=True)  # type: ignore[no-untyped-call]
    if not shown:
        print("No run is under way, and none was started with --background in this notebook.")  # noqa: T201
    tables = standing_of(Workspace.current())
    if tables:
        display(standing_bundle(tables), raw=True)  # type: ignore[no-untyped-call]
    else:
        print("Every circuit is closed, and no limit or budget holds a call up.")  # noqa: T201


def pause(session: Session, rest: str) -> None:
    """Pauses a run under way."""
    run = _under_way(session, rest)
    run.pause()
    _say("pause", run)


def cancel(session: Session, rest: str) -> None:
    """Cancels a run under way."""
    run = _under_way(session, rest)
    run.cancel()
    _say("cancel", run)


def resume(session: Session, rest: str) -> None:
    """Lets a paused run go on; one that waits for its budget with a new amount.

    Raises:
        UsageError: If no such run is under way, with what to write for one of the ledger; or if the amount is missing
            or too small.
    """
    name, budget_usd = _read_resume(rest)
    run = _find(session, name)
    if run is None:
        _refuse_ended(name)
        raise _nothing_under_way(session, name)
    waits_for = run.waits_for
    if waits_for is not None and budget_usd is None and waits_for.budget == RUN_BUDGET:
        raise UsageError(f"{waits_for}", hint=f"%orchestrate resume {run.id} --budget USD gives it more.")
    run.resume(budget=budget_usd)
    _say("resume", run)


def batches(_session: Session, rest: str) -> None:
    """Shows the batches of the workspace, or cancels one at its provider.

    Raises:
        UsageError: If the line says something else, or there is no such batch.
        CallError: If the provider cannot be asked, or has ended it.
    """
    workspace, words = Workspace.current(), words_of(rest)
    if words:
        if words[0] != "cancel" or len(words) != 2:
            raise UsageError(f"`batches` does not know {rest!r}.", hint=f"%orchestrate {BATCHES_USAGE}")
        print(printable(workspace.cancel_batch(words[1])))  # noqa: T201
        return
    table = batches_table(workspace.batches_under_way())
    if table.rows:
        display(standing_bundle([table]), raw=True)  # type: ignore[no-untyped-call]
    else:
        print(NO_BATCH)  # noqa: T201


def _say(verb: str, run: Run) -> None:
    print(f"{verb}: {run.flow.name} ({run.id})")  # noqa: T201


def _read_resume(line: str) -> tuple[str, float | None]:
    """The name of the run, perhaps empty, and the amount."""
    usage = "%orchestrate resume [RUN] [--budget USD]"
    names: list[str] = []
    budget_usd: float | None = None
    words = words_of(line)
    while words:
        flag, equals, value = words.pop(0).partition("=")
        if flag == _BUDGET:
            if not equals and not words:
                raise UsageError(f"{_BUDGET} needs a value.", hint=usage)
            budget_usd = read_money(_BUDGET, value if equals else words.pop(0))
        elif flag.startswith("-"):
            raise UsageError(f"`resume` has no flag {flag!r}.", hint=near_miss(flag, [_BUDGET], usage))
        else:
            names.append(flag)
    if len(names) > 1:
        raise UsageError(f"{names[1]!r} is one run too many.", hint=usage)
    return names[0] if names else "", budget_usd


def _runs_here(session: Session) -> list[Run]:
    """Runs of the background, and whatever else is under way in this kernel, oldest first."""
    flows = [value for value in session.namespace.values() if isinstance(value, Flow)]
    others = [flow.last for flow in flows if flow.last is not None and is_under_way(flow.last)]
    found = {run.id: run for run in (*session.background, *others)}
    return [found[run_id] for run_id in sorted(found)]


def _find(session: Session, prefix: str) -> Run | None:
    going = [run for run in _runs_here(session) if is_under_way(run)]
    found = [run for run in going if str(run.id).startswith(prefix) or run.flow.name == prefix]
    if len(found) > 1:
        raise UsageError(
            "More than one run is under way.", hint=f"Say which: {', '.join(str(run.id) for run in found)}"
        )
    return found[0] if found else None


def _under_way(session: Session, prefix: str) -> Run:
    run = _find(session, prefix)
    if run is None:
        raise _nothing_under_way(session, prefix)
    return run


def _nothing_under_way(session: Session, prefix: str) -> UsageError:
    going = [run.flow.name for run in _runs_here(session) if is_under_way(run)]
    near = difflib.get_close_matches(prefix, going, n=1)
    return UsageError(
        f"No run {prefix!r} is under way." if prefix else "No run is under way.",
        hint=f"Did you mean {near[0]}?" if near else "%orchestrate status lists them.",
    )


def _refuse_ended(name: str) -> None:
    """For a run that only the ledger knows, says how to go on with it.

    Raises:
        UsageError: If the ledger knows the run.
    """
    ledger = Workspace.current().ledger
    if not name or not ledger.is_begun():
        return
    try:
        run = ledger.run(name).run
    except UsageError:  # it does not: then no run of that name is under way is all that can be said
        return
    where = f" of {run['notebook']}" if run["notebook"] else ""
    raise UsageError(
        f"The run {run['run_id']} is {run['status']} and not under way here.",
        hint=f"Run the cell {run['flow']!r}{where} again with --resume {run['run_id']} --budget USD: "
        "what was answered is not paid again.",
    )
