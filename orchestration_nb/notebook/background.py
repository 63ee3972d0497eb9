"""A run that goes on while the notebook is used: its display follows it, and its buttons are obeyed.

In ipykernel a click is answered when no cell is executing, and the display moves then too: it is drawn by a task on the
kernel's own loop, so that nothing is drawn in the middle of another cell. The run itself goes on all the while.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from contextlib import suppress
from typing import Any

from orchestration_nb.clock import Clock, SystemClock
from orchestration_nb.errors import OrchestrationError
from orchestration_nb.notebook import markup
from orchestration_nb.notebook.screen import REFRESH_S, OutputScreen, has_outputs
from orchestration_nb.notebook.session import Session
from orchestration_nb.runs import Run

_followers: set[asyncio.Task[None]] = set()
"""An event loop holds its tasks weakly; these live until they end."""


def follow(session: Session, run: Run, *, into: str | None, clock: Clock | None = None) -> None:
    """Shows a run that is under way and returns at once.

    Args:
        session: Where the run was started.
        run: The run.
        into: The variable that gets the results when the run ends, or ``None``.
        clock: Times the drawing.
    """
    if not has_outputs(session.shell):
        print(f"{run.flow.name} runs in the background ({run.id}): `%orchestrate status`, `%orchestrate cancel`.")  # noqa: T201
        if into:
            threading.Thread(target=_bind_at_end, args=(session, run, into), daemon=True).start()
        return
    screen = ControlledScreen(run, clock or SystemClock())
    screen.open()
    # In a context of its own, what it draws is sent by whichever cell runs then, as headless runners expect; the
    # display's id brings it to its place.
    task = asyncio.get_running_loop().create_task(_follow(session, run, screen, into), context=contextvars.Context())
    _followers.add(task)
    task.add_done_callback(_followers.discard)


def _bind_at_end(session: Session, run: Run, into: str) -> None:
    with suppress(OrchestrationError):  # stands in the run
        run.wait()
    session.namespace[into] = run.results


async def _follow(session: Session, run: Run, screen: ControlledScreen, into: str | None) -> None:
    while run.status in {"running", "paused"}:
        screen.refresh(run)
        await screen.clock.sleep(REFRESH_S)
    if into:
        session.namespace[into] = run.results
    screen.settle(run)


class ControlledScreen(OutputScreen):
    """The display of a run in the background, with Pause and Cancel."""

    def __init__(self, run: Run, clock: Clock) -> None:
        import ipywidgets  # noqa: PLC0415 - half a second, and only buttons need it

        super().__init__(clock)
        self.clock = clock
        self._run = run
        self._card = ipywidgets.HTML()
        self._pause = ipywidgets.Button(
            description="Pause", icon="pause", tooltip="Lets the calls in flight end, starts no more"
        )
        self._cancel = ipywidgets.Button(
            description="Cancel", icon="stop", tooltip="Cancels what is in flight, keeps what is done"
        )
        self._pause.on_click(self._toggle)
        self._cancel.on_click(self._stop)
        self._buttons = ipywidgets.HBox([self._pause, self._cancel])
        self._whole = ipywidgets.VBox([self._card, self._buttons])

    def open(self) -> None:
        """Draws it for the first time."""
        self.refresh(self._run)
        self.show_object(self._whole)

    def refresh(self, run: Run) -> None:
        """Draws the progress."""
        self._card.value = markup.page(markup.progress_card(run.flow.name, run.progress))
        self._pause.description = "Resume" if run.status == "paused" else "Pause"
        self._pause.icon = "play" if run.status == "paused" else "pause"

    def settle(self, run: Run) -> None:
        """Puts the account, which needs no widget, in the place of card and buttons."""
        super().settle(run)
        for widget in (self._whole, self._buttons, self._card, self._pause, self._cancel):
            widget.close()

    def _toggle(self, _button: Any) -> None:
        if self._run.status == "paused":
            self._run.resume()
        else:
            self._run.pause()
        self.refresh(self._run)

    def _stop(self, _button: Any) -> None:
        self._cancel.disabled = self._pause.disabled = True
        self._cancel.description = "Cancelling"
        self._run.cancel()
