"""How a headless run is told while it goes on: drawn anew in a terminal, a line a cell elsewhere, or not at all."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Final, Protocol, TextIO

from orchestration_nb.cli.application import put, say
from orchestration_nb.clock import Clock, SystemClock
from orchestration_nb.pages.figures import count, span, usd
from orchestration_nb.pipelines import Begun, CellEnded, Spent, Unwatched, Watcher
from orchestration_nb.pipelines.eta import Pace, pace_of
from orchestration_nb.terminal import printable

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

SIMULATED: Final = "All models are simulated: nothing is paid, and no answer is a real model's."
LONGEST_TITLE: Final = 100
DRAWN_A_SECOND: Final = 4
LOOKED_BACK_AFTER_S: Final = 2.0
"""Only a run that takes longer than this is worth the second that the ledger takes to say how long it will be."""


class Narrator(Watcher, Protocol):
    """A watcher that is told when nothing more will come."""

    def close(self) -> None:
        """Leaves the terminal as it should be."""


class Silent(Unwatched):
    """Says nothing while the notebook runs."""

    def close(self) -> None:
        """Nothing."""


class LineNarrator(Silent):
    """Prints a line a cell, and the account of each run."""

    def starts(self, begun: Begun) -> None:
        """Says that nothing is paid, where that is so."""
        if begun.simulated and begun.attempt == 1:
            say(SIMULATED)

    def begins(self, number: int, total: int, title: str) -> None:
        """Begins the line of a cell."""
        put(one_line(f"[{number}/{total}] {title}"))

    def ended(self, cell: CellEnded) -> None:
        """Ends it, and shows what the cell has to say."""
        say(f"  {how_it_ended(cell)}")
        for text in cell.accounts:
            say(f"\n{text}\n")
        if cell.error_type:
            put(f"{printable(cell.error)}\n", sys.stderr)

    def retries(self, attempt: int, wait_s: float, because: str) -> None:
        """Says that the notebook begins anew."""
        say(retry_line(attempt, wait_s, because))

    def said(self, sentence: str) -> None:
        """Says it."""
        say(sentence)


class LiveNarrator(Silent):
    """Keeps the cell that runs in view: which it is, for how long, what it has cost, and what is still to come."""

    def __init__(self, out: TextIO, clock: Clock | None = None) -> None:
        from rich.console import Console  # noqa: PLC0415 - slow to load, and only a terminal needs it
        from rich.live import Live  # noqa: PLC0415

        self._console = Console(file=out, highlight=False, markup=False, emoji=False)
        self._clock = clock or SystemClock()
        self._begun: Begun | None = None
        self._begun_s = 0.0
        self._cell: tuple[int, int, str] = (0, 0, "The kernel starts")
        self._cell_s = 0.0
        self.pace: Pace | None = None
        """How long the cells took before, once the ledger has said it."""
        self._looking: threading.Timer | None = None
        self._live: Live = Live(
            console=self._console,
            get_renderable=self._drawn,
            refresh_per_second=DRAWN_A_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def starts(self, begun: Begun) -> None:
        """Begins to draw."""
        if begun.simulated and begun.attempt == 1:
            self._console.print(SIMULATED)
        self._begun, self._cell = begun, (0, begun.cells, "The kernel starts")
        self._begun_s = self._cell_s = self._clock.monotonic()
        if self._looking is None:
            self._looking = threading.Timer(LOOKED_BACK_AFTER_S, self._look_back, [begun])
            self._looking.daemon = True
            self._looking.start()
        self._live.start()

    def begins(self, number: int, total: int, title: str) -> None:
        """Draws another cell."""
        self._cell, self._cell_s = (number, total, title), self._clock.monotonic()

    def ended(self, cell: CellEnded) -> None:
        """Leaves a line of it above what is drawn."""
        _, total, _ = self._cell
        self._say(one_line(f"[{cell.number}/{total}] {cell.title}") + f"  {how_it_ended(cell)}")
        for text in cell.accounts:
            self._say(f"\n{text}\n")
        if cell.error_type:
            self._say(cell.error)

    def retries(self, attempt: int, wait_s: float, because: str) -> None:
        """Says that the notebook begins anew."""
        self._live.stop()
        self._say(retry_line(attempt, wait_s, because))

    def said(self, sentence: str) -> None:
        """Says it."""
        self._say(sentence)

    def close(self) -> None:
        """Takes what is drawn away; what was said stays."""
        if self._looking is not None:
            self._looking.cancel()
        self._live.stop()

    def _say(self, text: str) -> None:
        self._console.print(printable(text), soft_wrap=True)

    def _look_back(self, begun: Begun) -> None:
        self.pace = pace_of(begun)

    def _drawn(self) -> Text:
        from rich.text import Text  # noqa: PLC0415

        return Text(self.shown(), no_wrap=True, overflow="ellipsis", style="cyan")

    def shown(self) -> str:
        """The line that is drawn."""
        if self._begun is None:
            return ""
        number, total, title = self._cell
        now_s = self._clock.monotonic()
        parts = [span(now_s - self._cell_s), f"{span(now_s - self._begun_s)} in all", money(self._begun.spent())]
        if self.pace is not None and number:
            parts.append(f"about {span(self.pace.left_s(number, now_s - self._cell_s))} left")
        line = one_line(f"[{number}/{total}] {title}")
        return f"{line}  {' · '.join(filter(None, parts))}"


def narrator_for(out: TextIO, *, silent: bool) -> Narrator:
    """What fits where the output goes."""
    if silent:
        return Silent()
    return LiveNarrator(out) if out.isatty() else LineNarrator()


def how_it_ended(cell: CellEnded) -> str:
    """A cell's end in half a line: how, after how long, and what it asked."""
    return " · ".join(filter(None, (f"{cell.status}, {cell.seconds:.1f} s", money(cell.spent))))


def money(spent: Spent) -> str:
    """Calls and what they cost; nothing where nothing was asked."""
    if not spent.calls:
        return ""
    return f"{count(spent.calls, 'call')} · {usd(spent.cost_usd)}{' simulated' if spent.simulated else ''}"


def retry_line(attempt: int, wait_s: float, because: str) -> str:
    """Why and when the notebook begins anew."""
    return f"Attempt {attempt} begins in {span(wait_s)}: {because}"


def one_line(title: str) -> str:
    """A title that takes no more than a line."""
    text = printable(title).replace("\n", " ").replace("\t", " ")
    return text if len(text) <= LONGEST_TITLE else text[: LONGEST_TITLE - 1] + "…"
