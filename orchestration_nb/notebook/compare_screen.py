"""Where a comparison shows how far it is: a notebook's dashboard, or the sparse lines of a terminal or a log.

The dashboard is drawn from the beginning. Below it the notebook keeps table and figure as plain output, for those who
open it without a kernel; where the dashboard lives they are hidden.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Mapping
from typing import Any, Final

from IPython.display import display

from orchestration_nb.clock import Clock, SystemClock
from orchestration_nb.comparing.comparison import Comparison
from orchestration_nb.comparing.standing import standing_of
from orchestration_nb.evals.outcomes import Answer
from orchestration_nb.notebook.compare_dashboard import Dashboard
from orchestration_nb.notebook.compare_figure import MIME, compare_figure
from orchestration_nb.notebook.compare_table import compare_card, compare_text
from orchestration_nb.notebook.compare_words import headline
from orchestration_nb.notebook.edge import told
from orchestration_nb.notebook.screen import OutputScreen, has_outputs
from orchestration_nb.pages.figures import count
from orchestration_nb.terminal import printable

LINE_S: Final = 5.0
"""How long a line of a log stands before the next."""
LOOK_S: Final = 0.2
"""Between two looks at a comparison in the background."""
_GO_ON: Final = "Run the cell again: what was answered comes from the cache and is not paid twice."
_followers: set[asyncio.Task[None]] = set()
"""An event loop holds its tasks weakly; these live until they end."""


def watch_comparison(shell: Any, comparison: Comparison, clock: Clock | None = None) -> None:
    """Shows a comparison until it has ended.

    Raises:
        OrchestrationError: If it failed as a whole; what was answered is shown.
        KeyboardInterrupt: If it was interrupted; what was answered is shown.
    """
    clock = clock or SystemClock()
    dashboard = _dashboard(comparison, clock) if has_outputs(shell) else None
    lines = _Lines(clock)
    interrupted = False
    try:
        comparison.wait(on_tick=dashboard.refresh if dashboard else lambda: lines.refresh(comparison))
    except KeyboardInterrupt:
        interrupted = True
    if dashboard:
        dashboard.settle()
    _keep(shell, comparison)
    if interrupted:
        ended = min(_ended_before(answers) for answers in comparison.answers.values())
        sentence = f"Cancelled: {ended:,} of {count(len(comparison.items), 'item')} ended before for every strategy."
        raise told(KeyboardInterrupt(f"comparison {comparison.id} was cancelled"), sentence, _GO_ON)
    if comparison.error is not None:
        raise comparison.error


def _ended_before(answers: Mapping[int, Answer]) -> int:
    return sum(answer.status in {"ok", "degraded", "failed"} for answer in dict(answers).values())


def show_comparison(shell: Any, comparison: Comparison) -> None:
    """Shows how a comparison stands now."""
    if has_outputs(shell):
        _dashboard(comparison, SystemClock())
    _keep(shell, comparison)


def follow_comparison(shell: Any, comparison: Comparison, clock: Clock | None = None) -> None:
    """Shows a comparison that goes on in the background, and returns at once."""
    if not has_outputs(shell):
        print(f"{comparison.setup.flow} is compared in the background: `%orchestrate compare` shows it.")  # noqa: T201
        return
    clock = clock or SystemClock()
    dashboard = _dashboard(comparison, clock, can_cancel=True)
    card, figure = OutputScreen(clock), OutputScreen(clock)
    card.show({"text/plain": "Not ended yet.", "text/html": _SAVED.format("")})
    figure.show({"text/plain": ""})
    task = asyncio.get_running_loop().create_task(
        _follow(comparison, dashboard, clock, (card, figure)), context=contextvars.Context()
    )
    _followers.add(task)
    task.add_done_callback(_followers.discard)


async def _follow(
    comparison: Comparison, dashboard: Dashboard, clock: Clock, kept: tuple[OutputScreen, OutputScreen]
) -> None:
    while comparison.status == "running":
        dashboard.refresh()
        await clock.sleep(LOOK_S)
    dashboard.settle()
    for screen, bundle in zip(kept, saved_bundles(comparison), strict=False):
        screen.show(bundle)


def _dashboard(comparison: Comparison, clock: Clock, *, can_cancel: bool = False) -> Dashboard:
    dashboard = Dashboard(comparison, clock, can_cancel=can_cancel)
    display(dashboard.whole)  # type: ignore[no-untyped-call]
    return dashboard


_SAVED: Final = '<div class="onb-saved">{}</div>'


def saved_bundles(comparison: Comparison) -> list[dict[str, Any]]:
    """What a notebook keeps of a comparison, as MIME bundles: table and sentences, and the figure."""
    standing = standing_of(comparison)
    html = _SAVED.format(compare_card(comparison, standing))
    bundles: list[dict[str, Any]] = [{"text/html": html, "text/plain": compare_text(comparison, standing)}]
    if standing.rows:
        figure = compare_figure(standing, simulated=comparison.setup.simulated)
        bundles.append({MIME: figure, "text/plain": "The same as a figure: quality against cost."})
    return bundles


def _keep(shell: Any, comparison: Comparison) -> None:
    bundles = saved_bundles(comparison)
    for bundle in bundles if has_outputs(shell) else bundles[:1]:
        display(bundle, raw=True)  # type: ignore[no-untyped-call]


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
