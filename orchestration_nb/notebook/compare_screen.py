"""Where a comparison shows how far it is: a notebook's dashboard, a terminal's line, or a log's sparse lines."""

from __future__ import annotations

import sys
from typing import Any, Final

from IPython.display import display

from orchestration_nb.clock import Clock, SystemClock
from orchestration_nb.comparing.comparison import Comparison
from orchestration_nb.comparing.standing import standing_of
from orchestration_nb.notebook.compare_figure import MIME, compare_figure
from orchestration_nb.notebook.compare_table import compare_card, compare_text
from orchestration_nb.notebook.compare_words import headline
from orchestration_nb.notebook.screen import has_outputs
from orchestration_nb.terminal import printable

LINE_S: Final = 5.0
"""How long a line of a log stands before the next."""


def watch_comparison(shell: Any, comparison: Comparison, clock: Clock | None = None) -> None:
    """Shows a comparison until it has ended.

    Raises:
        OrchestrationError: If it failed as a whole; what was answered is shown.
        KeyboardInterrupt: If it was interrupted; what was answered is shown.
    """
    lines = _Lines(clock or SystemClock())
    try:
        comparison.wait(on_tick=lambda: lines.refresh(comparison))
    finally:
        show_comparison(shell, comparison)
    if comparison.error is not None:
        raise comparison.error


def show_comparison(shell: Any, comparison: Comparison) -> None:
    """Shows how a comparison stands now."""
    standing = standing_of(comparison)
    card, text = compare_card(comparison, standing), compare_text(comparison, standing)
    display({"text/html": card, "text/plain": text}, raw=True)  # type: ignore[no-untyped-call]
    if has_outputs(shell) and standing.rows:
        figure = compare_figure(standing, simulated=comparison.setup.simulated)
        told = "The same as a figure: quality against cost."
        display({MIME: figure, "text/plain": told}, raw=True)  # type: ignore[no-untyped-call]


def follow_comparison(_shell: Any, comparison: Comparison) -> None:
    """Says that a comparison is under way, and returns at once."""
    print(f"{printable(comparison.setup.flow)} is compared in the background: `%orchestrate compare` shows it.")  # noqa: T201


class _Lines:
    """Lines for a log, seconds apart."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next_s = clock.monotonic() + LINE_S

    def refresh(self, comparison: Comparison) -> None:
        """Prints a line, if the last is old enough."""
        if self._clock.monotonic() >= self._next_s:
            self._next_s = self._clock.monotonic() + LINE_S
            sys.stdout.write(printable(f"{comparison.setup.flow} compared: {' · '.join(headline(comparison))}\n"))
            sys.stdout.flush()
