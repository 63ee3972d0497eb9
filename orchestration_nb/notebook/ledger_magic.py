"""``%orchestrate dashboard``: the ledger as widgets, as plain output, or as one HTML file."""

from __future__ import annotations

import asyncio
import contextvars
from pathlib import Path
from typing import Final

from IPython.display import display

from orchestration_nb.clock import SystemClock
from orchestration_nb.errors import UsageError
from orchestration_nb.ledger import Scope
from orchestration_nb.ledger.metrics import Kind, metric_grouping
from orchestration_nb.notebook.arguments import Flag, read_flags, read_whole
from orchestration_nb.notebook.drawn import Drawn
from orchestration_nb.notebook.ledger_dashboard import Dashboard
from orchestration_nb.notebook.ledger_page import static_bundle, write_dashboard
from orchestration_nb.notebook.screen import has_outputs
from orchestration_nb.notebook.session import Session
from orchestration_nb.terminal import printable
from orchestration_nb.workspace import Workspace

DASHBOARD_USAGE: Final = (
    "%orchestrate dashboard [by model|step|flow|strategy|all|tag:NAME] [--days N] [--flow NAME] "
    "[--kind real|simulated] [--html FILE]"
)
_followers: set[asyncio.Task[None]] = set()
"""An event loop holds its tasks weakly; these live until they end."""


def _kind(flag: str, text: str) -> Kind:
    if text == "real":
        return "real"
    if text == "simulated":
        return "simulated"
    raise UsageError(f"{flag} is `real` or `simulated`, not {text!r}.", hint=DASHBOARD_USAGE)


DASHBOARD_FLAGS: Final = (
    Flag(name="--days", value="N", about="the last days, of 24 hours each", read=read_whole),
    Flag(name="--flow", value="NAME", about="only the calls of this flow"),
    Flag(name="--kind", value="real|simulated", about="which calls; never both in one sum", read=_kind),
    Flag(name="--html", value="FILE", about="write it as one HTML file that needs no kernel and no network"),
)


def dashboard(session: Session, rest: str) -> None:
    """Shows the ledger's dashboard, or writes it to a file."""
    words, values = read_flags(rest, DASHBOARD_FLAGS, DASHBOARD_USAGE)
    scope = Scope(
        by=_by(words), days=values.get("days", 30), flow=values.get("flow"), kind=values.get("kind")
    )  # fmt: skip
    ledger, clock = Workspace.current().ledger, SystemClock()
    if "html" in values:
        path = Path(values["html"])
        size = write_dashboard(ledger, scope, path, clock)
        print(f"{printable(str(path))} is written, {size / 1e6:.1f} MB: it opens with no kernel and no network.")  # noqa: T201
        return
    if not has_outputs(session.shell):
        drawn, metrics = Drawn(clock), ledger.metrics(scope)
        drawn.has_read()
        display(static_bundle(metrics, drawn.sentence()), raw=True)  # type: ignore[no-untyped-call]
        return
    board = Dashboard(ledger, scope, clock)
    board.show()
    start_following(board)


def start_following(board: Dashboard) -> asyncio.Task[None]:
    """Lets a dashboard follow what is journalled, on the running loop; it says so when it cannot any more."""
    # In a context of its own, what it draws is sent by whichever cell runs then, as headless runners expect.
    task = asyncio.get_running_loop().create_task(board.follow(), context=contextvars.Context())
    _followers.add(task)
    task.add_done_callback(lambda ended: _ended(board, ended))
    return task


def _ended(board: Dashboard, task: asyncio.Task[None]) -> None:
    _followers.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        board.complain(f"This follows no more: {type(error).__name__}: {error}. Refresh may still work.")


def _by(words: list[str]) -> str:
    named = words[1:] if words[:1] == ["by"] else words
    if len(named) > 1 or (words and not named):
        raise UsageError(f"Calls cannot be told apart by {' '.join(words)!r}.", hint=DASHBOARD_USAGE)
    return metric_grouping(named[0]) if named else "model"
