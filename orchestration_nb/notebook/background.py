"""A run that goes on while the notebook is used: its display follows it, and its buttons are obeyed.

In ipykernel a click is answered when no cell is executing, and the display moves then too: it is drawn by a task on the
kernel's own loop, so that nothing is drawn in the middle of another cell. The run itself goes on all the while.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from orchestration_nb.clock import Clock, SystemClock
from orchestration_nb.errors import OrchestrationError
from orchestration_nb.notebook import cards
from orchestration_nb.notebook.asking import outlook, read_usd
from orchestration_nb.notebook.screen import REFRESH_S, OutputScreen, has_outputs
from orchestration_nb.notebook.session import Session, is_under_way
from orchestration_nb.pages import markup
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
    while is_under_way(run):
        screen.refresh(run)
        await screen.clock.sleep(REFRESH_S)
    if into:
        session.namespace[into] = run.results
    screen.settle(run)


class ControlledScreen(OutputScreen):
    """The display of a run in the background, with Pause and Cancel; a field and Continue where it waits for money."""

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
        self._more = MoreMoney(run, then=lambda: self.refresh(run))
        self._pause.on_click(self._toggle)
        self._cancel.on_click(self._stop)
        self._buttons = ipywidgets.HBox([*self._more.parts, self._pause, self._cancel])
        self._whole = ipywidgets.VBox([self._card, self._buttons, self._more.answer])

    def open(self) -> None:
        """Draws it for the first time."""
        self.refresh(self._run)
        self.show_object(self._whole)

    def refresh(self, run: Run) -> None:
        """Draws the progress."""
        waits = run.waits_for is not None
        card = cards.progress_card(run.flow.name, run.progress)
        self._card.value = markup.page(card, markup.dim(outlook(run.progress)) if waits else "")
        self._pause.description = "Resume" if run.status == "paused" else "Pause"
        self._pause.icon = "play" if run.status == "paused" else "pause"
        self._pause.layout.display = "none" if waits else ""
        self._more.show(waits)

    def settle(self, run: Run) -> None:
        """Puts the account, which needs no widget, in the place of card and buttons."""
        super().settle(run)
        for widget in (self._whole, self._buttons, self._card, self._pause, self._cancel, *self._more.parts):
            widget.close()
        self._more.answer.close()

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


class MoreMoney:
    """The field for a new amount, and Continue: there while a run waits for its budget."""

    def __init__(self, run: Run, *, then: Callable[[], None]) -> None:
        import ipywidgets  # noqa: PLC0415

        self._run = run
        self._then = then
        self._amount = ipywidgets.Text(placeholder="New budget in USD", layout={"width": "170px"})
        self._go_on = ipywidgets.Button(
            description="Continue", icon="play", button_style="primary", tooltip="Goes on with the new budget"
        )
        self._go_on.on_click(self._clicked)
        self.parts = (self._amount, self._go_on)
        self.answer = ipywidgets.HTML()
        """Why an amount was not taken."""

    def show(self, visible: bool) -> None:
        """Shows or hides it; what was typed stays."""
        for part in (*self.parts, self.answer):
            part.layout.display = "" if visible else "none"

    def _clicked(self, _button: Any) -> None:
        self.answer.value = ""
        try:
            self._run.resume(budget=read_usd(self._amount.value))
        except OrchestrationError as error:
            self.answer.value = markup.page(markup.wrong(f"{error} {error.hint}"))
            return
        self._amount.value = ""
        self._then()
