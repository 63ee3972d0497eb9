"""Where a run shows how far it is: a notebook's output, a terminal's line, or a log's sparse lines.

A notebook's display is an output with an id that is drawn again in place. Unlike a widget it needs no package on the
other side, is saved with the notebook as it last stood, and so is the same thing in a headless run.
"""

from __future__ import annotations

import shutil
import sys
import uuid
from typing import Any, Protocol, TextIO

from IPython.display import display

from orchestration_nb.clock import Clock, SystemClock
from orchestration_nb.notebook import cards
from orchestration_nb.notebook.account import account_of
from orchestration_nb.notebook.text import account_text
from orchestration_nb.notebook.words import progress_line
from orchestration_nb.pages import markup
from orchestration_nb.runs import Run

REFRESH_S = 0.18
"""How long a display stands before it is drawn again: a little under four looks of 50 ms, so five times a second."""
FIRST_LINE_S, SPARSEST_S = 5.0, 60.0


class Screen(Protocol):
    """Shows one run."""

    def refresh(self, run: Run) -> None:
        """Shows how far the run is, if it is time to."""

    def stand(self, run: Run) -> None:
        """Shows the run as it stands just now, before a question below it."""

    def settle(self, run: Run) -> None:
        """Shows how the run ended; nothing is drawn after that."""


class OutputScreen:
    """An output of the notebook, drawn again in place."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next_s = -1.0
        self._id = ""

    def refresh(self, run: Run) -> None:
        """Draws the progress, at most five times a second."""
        now_s = self._clock.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + REFRESH_S
            self.show(progress_bundle(run))

    def stand(self, run: Run) -> None:
        """Draws the progress at once."""
        self.show(progress_bundle(run))

    def settle(self, run: Run) -> None:
        """Draws the account over the progress."""
        self.show(account_bundle(run))

    def show(self, bundle: dict[str, Any]) -> None:
        """Draws a MIME bundle in the place of what stands there."""
        self._draw(bundle, raw=True)

    def show_object(self, value: Any) -> None:
        """Draws anything that IPython can show, a widget for instance."""
        self._draw(value, raw=False)

    def _draw(self, value: Any, *, raw: bool) -> None:
        update = bool(self._id)
        self._id = self._id or uuid.uuid4().hex
        display(value, raw=raw, display_id=self._id, update=update)  # type: ignore[no-untyped-call]


class TerminalScreen:
    """One line of a terminal, written over again."""

    def __init__(self, clock: Clock, out: TextIO) -> None:
        self._clock = clock
        self._out = out
        self._next_s = -1.0

    def refresh(self, run: Run) -> None:
        """Writes the line again, at most five times a second."""
        now_s = self._clock.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + REFRESH_S
        width = shutil.get_terminal_size().columns - 1
        self._out.write(f"\r{progress_line(run.flow.name, run.progress)[:width]}\x1b[K")
        self._out.flush()

    def stand(self, run: Run) -> None:
        """Writes the line as a whole and begins another."""
        self._out.write(f"\r{progress_line(run.flow.name, run.progress)}\x1b[K\n")
        self._out.flush()

    def settle(self, run: Run) -> None:
        """Takes the line away and prints the account."""
        self._out.write(f"\r\x1b[K{account_text(account_of(run))}\n")
        self._out.flush()


class LineScreen:
    """Lines for a log: the first after five seconds, then ever fewer, and the account."""

    def __init__(self, clock: Clock, out: TextIO) -> None:
        self._clock = clock
        self._out = out
        self._wait_s = FIRST_LINE_S
        self._next_s = clock.monotonic() + FIRST_LINE_S

    def refresh(self, run: Run) -> None:
        """Prints a line, if the last is old enough."""
        now_s = self._clock.monotonic()
        if now_s < self._next_s:
            return
        self._wait_s = min(self._wait_s * 2, SPARSEST_S)
        self._next_s = now_s + self._wait_s
        self._out.write(f"{progress_line(run.flow.name, run.progress)}\n")
        self._out.flush()

    def stand(self, run: Run) -> None:
        """Prints a line."""
        self._out.write(f"{progress_line(run.flow.name, run.progress)}\n")
        self._out.flush()

    def settle(self, run: Run) -> None:
        """Prints the account."""
        self._out.write(f"{account_text(account_of(run))}\n")
        self._out.flush()


def has_outputs(shell: Any) -> bool:
    """Whether the shell belongs to a Jupyter kernel, whose outputs can be drawn again."""
    return getattr(shell, "kernel", None) is not None


def screen_for(shell: Any, clock: Clock | None = None) -> Screen:
    """The screen that fits where the cell runs."""
    clock = clock or SystemClock()
    if has_outputs(shell):
        return OutputScreen(clock)
    return TerminalScreen(clock, sys.stdout) if sys.stdout.isatty() else LineScreen(clock, sys.stdout)


def progress_bundle(run: Run) -> dict[str, str]:
    """How far a run is, as HTML and as text."""
    return {
        "text/html": markup.page(cards.progress_card(run.flow.name, run.progress)),
        "text/plain": progress_line(run.flow.name, run.progress),
    }


def account_bundle(run: Run) -> dict[str, str]:
    """How a run ended, as HTML and as text."""
    account = account_of(run)
    return {"text/html": markup.page(cards.account_card(account)), "text/plain": account_text(account)}
