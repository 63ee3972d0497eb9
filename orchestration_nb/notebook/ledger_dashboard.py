"""The ledger as widgets: filters, figure, the list of runs, one run, one request.

It follows what is journalled, by this process or another: a look costs some files' sizes, and only news are read, in
a thread, so that the notebook stays usable. In ipykernel it moves when no cell is executing. The page says when the
ledger was read and what that took.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from IPython.display import display

from orchestration_nb.clock import Clock, SystemClock
from orchestration_nb.errors import OrchestrationError
from orchestration_nb.ledger import METRIC_GROUPINGS, Ledger, Metrics, Scope
from orchestration_nb.notebook.drawn import Drawn
from orchestration_nb.notebook.later_pages import keep_for_later_pages
from orchestration_nb.notebook.ledger_figure import CONFIG, SHOWN, SLOTS, USUAL, layout, traces, visible
from orchestration_nb.notebook.ledger_list import RowList
from orchestration_nb.notebook.ledger_page import (
    REQUEST_HEADER,
    REQUEST_NUMBERS,
    RUN_HEADER,
    RUN_NUMBERS,
    groups_table,
    head_card,
    request_rows,
    run_card,
    run_rows,
    saved_bundles,
)
from orchestration_nb.notebook.screen import OutputScreen
from orchestration_nb.notebook.waterfall import TRACE_HEADER, trace_rows, trace_sentence, waterfall
from orchestration_nb.pages import markup
from orchestration_nb.terminal import printable

WIDGET: Final = "application/vnd.jupyter.widget-view+json"
LOOK_S, SELDOM_S = 2.0, 30.0
"""Between two looks whether something was journalled; where reading takes long, up to four times as long as that."""
ALL_DAYS: Final = 0.0
"""Stands for all days, as an empty text for all flows: a control that holds ``None`` shows nothing."""
_RANGES: Final = (
    ("last hour", 1 / 24),
    ("last 24 hours", 1.0),
    ("last 7 days", 7.0),
    ("last 30 days", 30.0),
    ("last 90 days", 90.0),
    ("all", ALL_DAYS),
)
_KINDS: Final = (("real, else simulated", ""), ("real", "real"), ("simulated", "simulated"))
_ALIVE: Final = "The dashboard lives as long as its kernel; as it was when it was drawn, it stands below."


class Dashboard:
    """The widgets; the keyboard reaches each.

    Args:
        ledger: What is shown.
        scope: What is shown first.
        clock: Times the reading, the drawing and the following.
    """

    def __init__(self, ledger: Ledger, scope: Scope, clock: Clock | None = None) -> None:
        import ipywidgets  # noqa: PLC0415 - half a second
        from plotly.graph_objects import FigureWidget  # noqa: PLC0415 - two seconds, which are not the ledger's

        self._ledger, self._clock = ledger, clock or SystemClock()
        self._saved = (OutputScreen(self._clock), OutputScreen(self._clock))
        self._setting = False
        self.took_s = 0.0
        """What the last reading and drawing took."""
        drawn = Drawn(self._clock)
        self.metrics: Metrics = ledger.metrics(scope)
        drawn.has_read()
        style = {"description_width": "initial"}
        self.by = ipywidgets.Dropdown(description="By", style=style, layout={"width": "150px"})
        self.days = ipywidgets.Dropdown(description="Range", style=style, layout={"width": "180px"})
        self.flow = ipywidgets.Dropdown(description="Flow", style=style, layout={"width": "180px"})
        self.kind = ipywidgets.Dropdown(
            options=_KINDS, value=scope.kind or "", description="Calls", style=style, layout={"width": "210px"}
        )
        self.percentile = ipywidgets.Dropdown(
            options=SHOWN, value=USUAL, description="Latency", style=style, layout={"width": "120px"}
        )
        self.again = ipywidgets.Button(description="Refresh", icon="refresh", layout={"width": "100px"})
        self.said, self.head, self.groups = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        self.run, self.request = ipywidgets.HTML(), ipywidgets.HTML()
        self.runs = RowList("Runs, newest first", RUN_HEADER, RUN_NUMBERS, self._show_run)
        self.requests = RowList(
            "Requests of the run, failed and slowest first", REQUEST_HEADER, REQUEST_NUMBERS, self._show_request
        )
        self._drawn, self._axes = traces(self.metrics, slots=SLOTS), layout(self.metrics)
        self.figure = FigureWidget(self._drawn, self._axes)
        self.figure._config = CONFIG  # noqa: SLF001 - plotly has no public name for it
        self.waterfall = ipywidgets.VBox()
        self.whole = self._put_together(ipywidgets)
        self._tell(drawn, scope)
        self._show_run("")
        self._listen()

    def _put_together(self, ipywidgets: Any) -> Any:
        controls = ipywidgets.HBox(
            [self.by, self.days, self.flow, self.kind, self.percentile, self.again], layout={"flex_flow": "row wrap"}
        )
        parts = [
            *(self.head, controls, self.said, self.figure, self.groups, self.runs.widget),
            *(self.requests.widget, self.request, self.waterfall, self.run),
        ]
        whole = ipywidgets.VBox(parts, layout={"width": "100%"})
        whole.add_class("onb-ledger")
        return whole

    def show(self) -> None:
        """Draws it for the first time, and below it what a reader without a kernel sees instead."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self.whole.model_id}
        display({WIDGET: view, "text/plain": _ALIVE}, raw=True)  # type: ignore[no-untyped-call]
        self.save()

    def save(self) -> None:
        """Draws what the notebook keeps, or draws it again."""
        for screen, bundle in zip(self._saved, saved_bundles(self.metrics, self._told), strict=True):
            screen.show(bundle)

    def refresh(self) -> None:
        """Reads the ledger again and draws what has changed."""
        drawn = Drawn(self._clock)
        try:
            metrics = self._ledger.metrics(self.scope)
        except OrchestrationError as error:
            self.complain(f"{error} {error.hint}")
            return
        drawn.has_read()
        self._put(metrics, drawn)

    @property
    def scope(self) -> Scope:
        """What the controls say."""
        return Scope(
            by=self.by.value,
            days=self.days.value or None,
            flow=self.flow.value or None,
            kind=self.kind.value or None,
        )

    async def follow(self) -> None:
        """Refreshes when something was journalled, until the widget is closed."""
        while self.whole.comm is not None:
            await self._clock.sleep(min(SELDOM_S, max(LOOK_S, 4 * self.took_s)))
            if self.whole.comm is not None and self._ledger.has_news():
                await self._catch_up()

    async def _catch_up(self) -> None:
        scope, drawn, ran = self.scope, Drawn(self._clock), self.metrics.is_running
        try:
            metrics = await asyncio.to_thread(self._ledger.metrics, scope)
        except OrchestrationError as error:
            self.complain(f"{error} {error.hint}")
            return
        if scope != self.scope:  # somebody chose something else meanwhile, which was read at once
            return
        drawn.has_read()
        self._put(metrics, drawn)
        if ran and not metrics.is_running:
            self.save()

    def _put(self, metrics: Metrics, drawn: Drawn) -> None:
        before = dict(zip(self.metrics.runs["run_id"], self.metrics.runs["status"], strict=True))
        self.metrics = metrics
        self._draw()
        if before.get(self.runs.chosen) == "running":
            self._show_run(self.runs.chosen)
        self._tell(drawn, metrics.scope)

    def _draw(self) -> None:
        drawn, axes = traces(self.metrics, self.percentile.value, slots=SLOTS), layout(self.metrics)
        with self.figure.batch_update():
            for held, old, new in zip(self.figure.data, self._drawn, drawn, strict=True):
                # Plotly looks at each value that it is given: what stays as it was is not given again.
                changed = {name: value for name, value in new.items() if value != old[name]}
                if changed:
                    held.update(changed, overwrite=True)
            if axes != self._axes:
                self.figure.layout.update(axes)
        keep_for_later_pages(self.figure)
        self._drawn, self._axes = drawn, axes

    def _tell(self, drawn: Drawn, scope: Scope) -> None:
        self.head.value = markup.page(head_card(self.metrics))
        self.groups.value = markup.page(groups_table(self.metrics))
        self._offer(scope)
        self.took_s = drawn.took_s
        self._told = drawn.sentence()
        going_on = " A run goes on, which this follows." if self.metrics.is_running else ""
        self.said.value = markup.page(markup.dim(f"{self._told}{going_on}"))

    def complain(self, sentence: str) -> None:
        """Says what is wrong, in the place of when it was drawn."""
        self.said.value = markup.page(markup.wrong(sentence))

    def _offer(self, scope: Scope) -> None:
        """Puts what can be chosen into the controls, without taking it for a choice of the user's."""
        self._setting = True
        try:
            tags = [f"tag:{name}" for name in self.metrics.tags]
            groupings = dict.fromkeys((*METRIC_GROUPINGS, *tags, scope.by))
            _offer(self.by, [(printable(name), name) for name in groupings], scope.by)
            ranges = [*_RANGES]
            if (scope.days or ALL_DAYS) not in {days for _, days in ranges}:
                ranges.append((f"last {scope.days:g} days", scope.days or ALL_DAYS))
            _offer(self.days, ranges, scope.days or ALL_DAYS)
            flows = dict.fromkeys((*self.metrics.flows, *filter(None, [scope.flow])))
            _offer(self.flow, [("all", ""), *((printable(name), name) for name in flows)], scope.flow or "")
        finally:
            self._setting = False
        self.runs.offer(list(self.metrics.runs["run_id"]), run_rows(self.metrics.runs))

    def _listen(self) -> None:
        for control in (self.by, self.days, self.flow, self.kind):
            control.observe(lambda _change: None if self._setting else self.refresh(), "value")
        self.again.on_click(lambda _button: self.refresh())
        self.percentile.observe(lambda _change: self._choose_percentile(), "value")

    def _choose_percentile(self) -> None:
        shown = visible(self.metrics, self.percentile.value, slots=SLOTS)
        with self.figure.batch_update():
            for trace, one in zip(self.figure.data, shown, strict=True):
                trace.visible = one
        self._drawn = [{**old, "visible": one} for old, one in zip(self._drawn, shown, strict=True)]

    def _show_run(self, run_id: str) -> None:
        self.requests.show(bool(run_id))
        if not run_id:
            self.run.value = ""
            self.requests.offer([], [])
            return
        try:
            found, requests = self._ledger.run(run_id), self._ledger.requests(run_id)
        except OrchestrationError as error:  # deleted meanwhile
            self.complain(f"{error} {error.hint}")
            return
        self.run.value = markup.page(run_card(found))
        self.requests.offer(list(requests["request_id"]), request_rows(requests))

    def _show_request(self, request_id: str) -> None:
        from plotly.graph_objects import FigureWidget  # noqa: PLC0415

        if not request_id:
            self.request.value, self.waterfall.children = "", ()
            return
        try:
            trace = self._ledger.trace(request_id)
        except OrchestrationError as error:
            self.complain(f"{error} {error.hint}")
            return
        table = markup.part("As a table", markup.table(TRACE_HEADER, trace_rows(trace)))
        self.request.value = markup.page(markup.dim(trace_sentence(trace)), table)
        drawn = waterfall(trace)
        figure = FigureWidget(drawn["data"], drawn["layout"])
        figure._config = CONFIG  # noqa: SLF001
        self.waterfall.children = (figure,)


def _offer(control: Any, options: list[tuple[str, Any]], value: Any) -> None:
    """Sets the options where they differ, keeping what is chosen."""
    if tuple(control.options) != tuple(options):
        control.options = options
    known = {held for _, held in options}
    wanted = value if value in known else None
    if control.value != wanted:
        control.value = wanted
