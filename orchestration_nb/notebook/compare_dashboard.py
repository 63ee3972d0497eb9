"""The dashboard of a comparison: figure, table, sentences, slices and items, drawn again while it goes on.

What it shows moves while a cell executes; what is clicked in it is answered when no cell does.
"""

from __future__ import annotations

from typing import Any, Final

from orchestration_nb.clock import Clock
from orchestration_nb.comparing.comparison import Comparison
from orchestration_nb.comparing.standing import standing_of
from orchestration_nb.notebook.compare_figure import CONFIG, KINDS, layout, traces
from orchestration_nb.notebook.compare_style import TABLE
from orchestration_nb.notebook.compare_table import compare_head, compare_table, compare_told
from orchestration_nb.notebook.compare_widget import Items
from orchestration_nb.notebook.compare_words import standing_in
from orchestration_nb.notebook.later_pages import keep_for_later_pages
from orchestration_nb.pages import markup
from orchestration_nb.terminal import printable

LEAST_S: Final = 1.0
"""How long a drawing stands at the least; what takes long to draw stands four times as long."""
MOST_SLICES: Final = 50


class Dashboard:
    """The widgets of one comparison.

    Args:
        comparison: Whose.
        clock: Times the drawing.
        can_cancel: Whether there is a button that cancels; in a busy cell it would not be heard.
    """

    def __init__(self, comparison: Comparison, clock: Clock, *, can_cancel: bool = False) -> None:
        import ipywidgets  # noqa: PLC0415 - half a second, and only dashboards need it
        import plotly.graph_objects as go  # noqa: PLC0415

        self._comparison = comparison
        self._clock = clock
        self._next_s = -1.0
        self._seen = -1
        self._slice: str | None = None
        self._head, self._table, self._told = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        standing = standing_of(comparison)
        self._figure = go.FigureWidget(
            data=[go.Scatter(**trace) for trace in traces(standing)],
            layout=layout(standing, comparison.setup.simulated),
        )
        self._figure._config = CONFIG  # noqa: SLF001 - plotly has no public name for it
        for place, _ in enumerate(KINDS):
            self._figure.data[place].on_click(self._clicked)
        self._items = Items(comparison, self._complain)
        self._slices = ipywidgets.Dropdown(options=_slice_options(comparison), description="Slice")
        self._slices.layout.display = "" if comparison.slices else "none"
        self._slices.observe(self._choose_slice, names="value")
        self._cancel = ipywidgets.Button(description="Cancel", icon="stop", tooltip="Keeps what was answered")
        self._cancel.layout.display = "" if can_cancel else "none"
        self._cancel.on_click(self._stop)
        bar = ipywidgets.HBox([self._slices, self._cancel])
        self.whole = ipywidgets.VBox(
            [self._head, bar, self._figure, self._table, self._told, self._items.widget], layout={"width": "100%"}
        )
        self.refresh(now=True)

    def refresh(self, *, now: bool = False) -> None:
        """Draws what came since, if it is time to, or now."""
        begun_s = self._clock.monotonic()
        seen = sum(self._comparison.progress.values())
        if not now and (begun_s < self._next_s or seen == self._seen):
            return
        self._seen = seen
        self._draw()
        self._items.refresh()
        took_s = self._clock.monotonic() - begun_s
        self._next_s = begun_s + max(LEAST_S, 4 * took_s)

    def settle(self) -> None:
        """Draws how the comparison ended."""
        self._cancel.layout.display = "none"
        self.refresh(now=True)

    def _draw(self) -> None:
        comparison = self._comparison
        standing = standing_in(comparison, self._slice)
        self._head.value = markup.page(compare_head(comparison))
        self._table.value = markup.page(f"<style>{TABLE}</style>", compare_table(standing))
        self._told.value = markup.page(compare_told(standing, comparison))
        with self._figure.batch_update():
            for drawn, trace in zip(self._figure.data, traces(standing), strict=True):
                drawn.update(trace, overwrite=False)
            self._figure.layout.update(layout(standing, comparison.setup.simulated))
        keep_for_later_pages(self._figure)

    def _clicked(self, trace: Any, points: Any, _state: Any) -> None:
        names = self._comparison.names
        for place in points.point_inds:
            if trace.customdata[place] in names:
                self._items.list_items_of(trace.customdata[place])

    def _choose_slice(self, change: Any) -> None:
        self._slice = None if change["new"] == 0 else _slices_of(self._comparison)[change["new"] - 1]
        self._items.keep(self._slice)
        self._draw()

    def _stop(self, _button: Any) -> None:
        self._cancel.disabled = True
        self._cancel.description = "Cancelling"
        self._comparison.cancel()

    def _complain(self, sentence: str) -> None:
        self._told.value = markup.page(markup.wrong(sentence))


def _slices_of(comparison: Comparison) -> list[str]:
    return sorted(set(comparison.slices or ()))[:MOST_SLICES]


def _slice_options(comparison: Comparison) -> list[tuple[str, int]]:
    """What can be chosen, and its number: 0 stands for all items."""
    return [(printable(name), place) for place, name in enumerate(["all items", *_slices_of(comparison)])]
