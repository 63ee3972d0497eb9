"""``%orchestrate dashboard``: the ledger in a notebook, with filters, the list of runs, one run, one request.

While a run goes on it refreshes itself; the page says when that was and what it took.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from pathlib import Path
from typing import Any, Final

from IPython.display import display

from orchestration_nb.clock import Clock, SystemClock
from orchestration_nb.errors import OrchestrationError, UsageError
from orchestration_nb.ledger import METRIC_GROUPINGS, Ledger, Metrics, Scope
from orchestration_nb.ledger.metrics import Kind, metric_grouping
from orchestration_nb.notebook.arguments import Flag, read_flags, read_whole
from orchestration_nb.notebook.ledger_figure import SHOWN, SLOTS, USUAL, layout, traces, visible
from orchestration_nb.notebook.ledger_page import (
    groups_table,
    head_card,
    request_label,
    run_card,
    run_rows,
    static_bundle,
    static_figure,
    write_dashboard,
)
from orchestration_nb.notebook.screen import has_outputs
from orchestration_nb.notebook.session import Session
from orchestration_nb.notebook.waterfall import TRACE_HEADER, trace_rows, trace_sentence, waterfall
from orchestration_nb.pages import markup
from orchestration_nb.terminal import printable
from orchestration_nb.workspace import Workspace

MIME: Final = "application/vnd.plotly.v1+json"
WIDGET: Final = "application/vnd.jupyter.widget-view+json"
DASHBOARD_USAGE: Final = (
    "%orchestrate dashboard [by model|step|flow|strategy|all|tag:NAME] [--days N] [--flow NAME] "
    "[--kind real|simulated] [--html FILE]"
)
REFRESH_S: Final = 3.0
"""How long a dashboard stands while a run goes on."""
LOOK_S: Final = 10.0
"""How long it stands otherwise before it looks whether a run has begun."""
ALL_DAYS: Final = 0.0
"""Stands for all days, as an empty text for all flows: a control that holds ``None`` shows nothing."""
WIDTH_PX: Final = 1170
"""Of the figures: what a laptop's screen leaves; a widget that is drawn before it is placed cannot know."""
_RANGES: Final = (
    ("last hour", 1 / 24),
    ("last 24 hours", 1.0),
    ("last 7 days", 7.0),
    ("last 30 days", 30.0),
    ("last 90 days", 90.0),
    ("all", ALL_DAYS),
)
_KINDS: Final = (("real, else simulated", ""), ("real", "real"), ("simulated", "simulated"))
_followers: set[asyncio.Task[None]] = set()


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
    ledger = Workspace.current().ledger
    if "html" in values:
        path = Path(values["html"])
        size = write_dashboard(ledger, scope, path)
        print(f"{printable(str(path))} is written, {size / 1e6:.1f} MB: it opens with no kernel and no network.")  # noqa: T201
        return
    if not has_outputs(session.shell):
        display(static_bundle(ledger.metrics(scope)), raw=True)  # type: ignore[no-untyped-call]
        return
    board = Dashboard(ledger, scope)
    board.show()
    task = asyncio.get_running_loop().create_task(board.follow(), context=contextvars.Context())
    _followers.add(task)
    task.add_done_callback(_followers.discard)


def _by(words: list[str]) -> str:
    named = words[1:] if words[:1] == ["by"] else words
    if len(named) > 1 or (words and not named):
        raise UsageError(f"Calls cannot be told apart by {' '.join(words)!r}.", hint=DASHBOARD_USAGE)
    return metric_grouping(named[0]) if named else "model"


class Dashboard:
    """The widgets: each is the browser's own control, so that the keyboard reaches it.

    Args:
        ledger: What is shown.
        scope: What is shown first.
        clock: Times the refreshing.
    """

    def __init__(self, ledger: Ledger, scope: Scope, clock: Clock | None = None) -> None:
        import ipywidgets  # noqa: PLC0415 - half a second
        import plotly.graph_objects as go  # noqa: PLC0415 - slow to load

        self._ledger, self._clock = ledger, clock or SystemClock()
        self.metrics: Metrics = ledger.metrics(scope)
        self._setting = False
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
        self.runs = ipywidgets.Select(rows=7, layout={"width": "auto"})
        self.requests = ipywidgets.Select(rows=7, layout={"width": "auto"})
        self._drawn, self._axes = traces(self.metrics, slots=SLOTS), {**layout(self.metrics), "width": WIDTH_PX}
        self.figure = go.FigureWidget(self._drawn, self._axes)
        self.waterfall = ipywidgets.VBox()
        self._whole = ipywidgets.VBox(self._parts(ipywidgets))
        self._offer(scope)
        self._listen()

    def _parts(self, ipywidgets: Any) -> list[Any]:
        controls = ipywidgets.HBox(
            [self.by, self.days, self.flow, self.kind, self.percentile, self.again], layout={"flex_flow": "row wrap"}
        )
        runs = ipywidgets.VBox([ipywidgets.Label("Runs, newest first"), self.runs], layout={"width": "50%"})
        worst = ipywidgets.Label("Requests of the run, failed and slowest first")
        requests = ipywidgets.VBox([worst, self.requests], layout={"width": "50%"})
        lists = ipywidgets.HBox([runs, requests])
        return [self.head, controls, self.said, self.figure, self.groups, lists, self.request, self.waterfall, self.run]

    def show(self) -> None:
        """Draws it for the first time, with what a reader without a kernel sees instead."""
        began_s = time.perf_counter()
        self._tell(began_s, began_s, began_s)
        bundle = static_bundle(self.metrics)
        view = {"version_major": 2, "version_minor": 0, "model_id": self._whole.model_id}
        display({WIDGET: view, MIME: static_figure(self.metrics), **bundle}, raw=True)  # type: ignore[no-untyped-call]

    def refresh(self) -> None:
        """Reads the ledger again and draws what has changed."""
        began_s = time.perf_counter()
        try:
            self.metrics = self._ledger.metrics(self.scope)
        except OrchestrationError as error:
            self.said.value = markup.page(markup.wrong(f"{error} {error.hint}"))
            return
        read_s = time.perf_counter()
        self._draw()
        self._tell(began_s, read_s, time.perf_counter())

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
        """Refreshes while a run goes on, until the widget is closed."""
        while self._whole.comm is not None:
            await self._clock.sleep(REFRESH_S if self.metrics.is_running else LOOK_S)
            if self._whole.comm is not None:
                self.refresh()

    def _draw(self) -> None:
        drawn, axes = (
            traces(self.metrics, self.percentile.value, slots=SLOTS),
            {**layout(self.metrics), "width": WIDTH_PX},
        )
        with self.figure.batch_update():
            for held, old, new in zip(self.figure.data, self._drawn, drawn, strict=True):
                # Plotly looks at each value that it is given: what stays as it was is not given again.
                changed = {name: value for name, value in new.items() if value != old[name]}
                if changed:
                    held.update(changed, overwrite=True)
            if axes != self._axes:
                self.figure.layout.update(axes)
        self._drawn, self._axes = drawn, axes

    def _tell(self, began_s: float, read_s: float, drawn_s: float) -> None:
        self.head.value = markup.page(head_card(self.metrics))
        self.groups.value = markup.page(groups_table(self.metrics))
        self._offer(self.metrics.scope)
        took = f" in {drawn_s - began_s:.2f} s (ledger {read_s - began_s:.2f} s)" if drawn_s > began_s else ""
        going_on = f" A run goes on: again every {REFRESH_S:g} s." if self.metrics.is_running else ""
        self.said.value = markup.page(markup.dim(f"Refreshed {self._clock.now():%H:%M:%S} UTC{took}.{going_on}"))

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
            listed = [(" · ".join(row), run_id) for row, run_id in zip(
                run_rows(self.metrics.runs), self.metrics.runs["run_id"], strict=True)]  # fmt: skip
            held = self.runs.value
            _offer(self.runs, [(printable(text), run_id) for text, run_id in listed], held)
        finally:
            self._setting = False

    def _listen(self) -> None:
        for control in (self.by, self.days, self.flow, self.kind):
            control.observe(lambda _change: None if self._setting else self.refresh(), "value")
        self.again.on_click(lambda _button: self.refresh())
        self.percentile.observe(lambda _change: self._choose_percentile(), "value")
        self.runs.observe(lambda _change: None if self._setting else self._show_run(), "value")
        self.requests.observe(lambda _change: None if self._setting else self._show_request(), "value")

    def _choose_percentile(self) -> None:
        shown = visible(self.metrics, self.percentile.value, slots=SLOTS)
        with self.figure.batch_update():
            for trace, one in zip(self.figure.data, shown, strict=True):
                trace.visible = one

    def _show_run(self) -> None:
        run_id = self.runs.value
        self.request.value, self.waterfall.children = "", ()
        if run_id is None:
            return
        self.run.value = markup.page(run_card(self._ledger.run(run_id)))
        found = self._ledger.requests(run_id)
        self._setting = True
        try:
            listed = [(printable(request_label(row)), row.request_id) for row in found.itertuples()]
            _offer(self.requests, listed, None)
        finally:
            self._setting = False

    def _show_request(self) -> None:
        import plotly.graph_objects as go  # noqa: PLC0415

        if self.requests.value is None:
            return
        trace = self._ledger.trace(self.requests.value)
        table = markup.part("As a table", markup.table(TRACE_HEADER, trace_rows(trace)))
        self.request.value = markup.page(markup.dim(trace_sentence(trace)), table)
        drawn = waterfall(trace)
        self.waterfall.children = (go.FigureWidget(drawn["data"], {**drawn["layout"], "width": WIDTH_PX}),)


def _offer(control: Any, options: list[tuple[str, Any]], value: Any) -> None:
    """Sets the options where they differ, keeping what is chosen."""
    if tuple(control.options) != tuple(options):
        control.options = options
    known = {held for _, held in options}
    wanted = value if value in known else None
    if control.value != wanted:
        control.value = wanted
