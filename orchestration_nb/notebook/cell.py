"""One ``%%orchestrate`` cell: defined, planned, run, or run in the background."""

from __future__ import annotations

from typing import Any, Final

from IPython.display import display

from orchestration_nb.engine.batches_left import left_under_way
from orchestration_nb.errors import OrchestrationError
from orchestration_nb.flows import Flow
from orchestration_nb.notebook.arguments import CellArguments, read_cell_line
from orchestration_nb.notebook.asking import Asking, can_ask, is_headless, paused_error
from orchestration_nb.notebook.background import follow
from orchestration_nb.notebook.edge import told
from orchestration_nb.notebook.formatters import flow_bundle, plan_bundle
from orchestration_nb.notebook.screen import screen_for
from orchestration_nb.notebook.session import Session
from orchestration_nb.pages.figures import count
from orchestration_nb.runs import Run

_GO_ON: Final = "Run the cell again: what was answered comes from the cache and is not paid twice."
_LISTS: Final = "`%orchestrate batches` lists what is under way, and cancels it there."


def run_cell(session: Session, line: str, text: str) -> None:
    """Does what the line of the cell says with the flow that its body holds.

    Raises:
        OrchestrationError: If the line, the flow or the run as a whole cannot go on.
        KeyboardInterrupt: If the run was interrupted; what was finished is kept.
    """
    cell = read_cell_line(line)
    session.check_free(cell.name)
    frame = None if cell.over is None else session.frame(cell.over)
    flow = Flow.from_source(text, name=cell.name, namespace=session.namespace)
    if cell.define:
        session.bind(flow)
        display(flow_bundle(flow), raw=True)  # type: ignore[no-untyped-call]
    elif cell.plan:
        plan = flow.plan(frame, **_choices(cell))
        session.bind(flow)
        display(plan_bundle(plan), raw=True)  # type: ignore[no-untyped-call]
    else:
        _run(session, cell, flow, frame)


def _choices(cell: CellArguments) -> dict[str, Any]:
    """The options of the run, of those that may be left to the settings only what was written."""
    choices = {
        "strategy": cell.strategy,
        "model": cell.model,
        "budget": cell.budget,
        "concurrency": cell.concurrency,
        "sample": cell.sample,
        "on_error": cell.on_error,
        "fresh": cell.fresh,
    }
    written = {
        "on_budget": cell.on_budget,
        "degrade": cell.degrade,
        "batch": cell.batch,
        "tags": dict(cell.tag),
        "score": cell.score,
        "resumes": cell.resume,
    }
    return choices | {name: value for name, value in written.items() if value}


def _run(session: Session, cell: CellArguments, flow: Flow, frame: Any) -> None:
    run = flow.start(frame, **_choices(cell))
    session.bind(flow)
    session.last = run
    if (
        cell.background and not is_headless()
    ):  # there, nobody uses the notebook meanwhile, and its end would be the run's
        session.background.append(run)
        follow(session, run, into=cell.into)
    else:
        _watch(session, run, into=cell.into)


def _watch(session: Session, run: Run, *, into: str | None) -> None:
    screen = screen_for(session.shell)
    unrecorded: OrchestrationError | None = None
    try:
        screen.refresh(run)
        asking = Asking(run, show=lambda: screen.stand(run)) if can_ask(session.shell) else None
        run.wait(on_tick=lambda: screen.refresh(run), ask=asking)
    except KeyboardInterrupt:
        run.cancel()
        run.wait()
    except OrchestrationError as error:
        unrecorded = error
    except BaseException:
        run.cancel()  # nobody would see it going on
        raise
    screen.settle(run)
    if into:
        session.namespace[into] = run.results
    _raise_unless_done(run, unrecorded)


def _raise_unless_done(run: Run, unrecorded: OrchestrationError | None) -> None:
    if run.status == "cancelled":
        statuses = run.results["_status"]
        kept = f"{statuses.isin(['ok', 'degraded', 'failed']).sum():,} of {count(len(statuses), 'item')}"
        raise told(
            KeyboardInterrupt(f"run {run.id} was cancelled"),
            f"Cancelled: {kept} ended before and stand in {run.flow.name}.last.results.",
            " ".join(filter(None, [_GO_ON, left_under_way(run.batches_left), _LISTS if run.batches_left else ""])),
        )
    error = paused_error(run) if run.status == "paused" else run.error or unrecorded
    if error is not None:
        raise error
